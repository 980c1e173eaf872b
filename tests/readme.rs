//! The commands of the README work as they stand.

#![allow(missing_docs, clippy::unwrap_used, reason = "a test that cannot go on may panic")]

use serde_json::Value;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

const README: &str = include_str!("../README.md");

/// The lines of its blocks for a shell, without comments.
fn shell_lines() -> Vec<&'static str> {
    let blocks = README.split("```sh\n").skip(1).filter_map(|rest| rest.split("\n```").next());
    let lines = blocks.flat_map(str::lines).map(|line| line.split("  #").next().unwrap().trim());
    lines.filter(|line| !line.is_empty()).collect()
}

/// The words of a command as a shell would split it, for the quotes that occur.
fn words(command: &str) -> Vec<String> {
    let output = Command::new("sh")
        .args(["-c", &format!("for word in {command}; do printf '%s\\n' \"$word\"; done")])
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn the_program_takes_what_it_is_shown_with() {
    let mut seen = 0;
    for line in shell_lines() {
        for command in line.split('|').map(str::trim) {
            let stripped = command
                .strip_prefix("millgate ")
                .or_else(|| command.strip_prefix("cargo run --release -- "));
            let Some(arguments) = stripped else { continue };
            seen += 1;
            // A server would not end, and files of other programs are not here: only the words count.
            let is_server = arguments.starts_with("serve");
            let mut program = Command::new(env!("CARGO_BIN_EXE_millgate"));
            program.args(words(arguments)).args(is_server.then_some("--help")).env_clear();
            program.env("MILLGATE_AUTH__JWT__SECRET", "a secret of thirty-two bytes or so");
            let mut child = program
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap();
            let _no_reader_is_fine = child.stdin.take().unwrap().write_all(token().as_bytes());
            let output = child.wait_with_output().unwrap();
            // A million connections do not fit everywhere, which is the answer that was asked for.
            let is_answer = output.status.code() == Some(1) && arguments.starts_with("doctor");
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success() || is_answer, "{command}: {said}");
        }
    }
    assert!(seen > 5, "{seen} commands");
}

fn token() -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_millgate"))
        .args(["gen-token", "--user", "ann", "--app", "101"])
        .env_clear()
        .env("MILLGATE_AUTH__JWT__SECRET", "a secret of thirty-two bytes or so")
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn files_and_scripts_that_it_names_are_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for line in shell_lines() {
        let names = line.split_whitespace().filter(|word| {
            ["scripts/", "config/", "sysctl/"].iter().any(|folder| word.starts_with(folder))
        });
        for name in names {
            assert!(root.join(name).exists(), "{line}");
        }
    }
    let echo = shell_lines().iter().position(|line| line.contains("ws://127.0.0.1:8089/echo"));
    let before = &shell_lines()[..echo.expect("an echo is measured")];
    // Echoes are off by default.
    assert!(before.iter().any(|line| line.ends_with("serve --set echo.path=/echo")));
}

struct Gateway(Child, String);

impl Gateway {
    fn start() -> Self {
        let mut program = Command::new(env!("CARGO_BIN_EXE_millgate"))
            .args(["serve", "--threads", "1", "--websocket", "127.0.0.1:0"])
            .args(["--http", "127.0.0.1:0", "--set", "log.format=json"])
            .env_clear()
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(program.stderr.take().unwrap()).lines();
        let http = lines.by_ref().find_map(|line| {
            let line: Value = serde_json::from_str(&line.unwrap()).unwrap();
            Some(line["http"].as_str().filter(|_| line["message"] == "listening")?.to_owned())
        });
        // Reads on, lest the program waits for a reader.
        std::thread::spawn(move || lines.for_each(drop));
        Self(program, http.expect("it listens"))
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _may_have_ended = self.0.kill();
        let _reaped = self.0.wait();
    }
}

#[test]
fn the_api_answers_what_it_is_asked() {
    let gateway = Gateway::start();
    let described = include_str!("../src/control/http/docs/openapi.json");
    let described: Value = serde_json::from_str(described).unwrap();
    let mut asked = 0;
    for line in shell_lines().into_iter().filter(|line| line.starts_with("curl ")) {
        let words = words(line);
        let url = words.iter().find_map(|word| word.strip_prefix("http://127.0.0.1:8080")).unwrap();
        let path = url.split('?').next().unwrap();
        let verb = match words.iter().position(|word| word == "-X") {
            Some(at) => words[at + 1].to_lowercase(),
            None if words.iter().any(|word| word == "-d") => "post".to_owned(),
            None => "get".to_owned(),
        };
        assert!(described["paths"][path][&verb].is_object(), "{line}");
        // Orders have tests of their own.
        if path.starts_with("/admin") {
            continue;
        }
        let line = line.replace("127.0.0.1:8080", &gateway.1);
        let line = line.replacen("curl ", "curl -sS --fail --max-time 30 ", 1);
        let output = Command::new("sh").args(["-c", &line]).output().unwrap();
        assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
        asked += 1;
    }
    assert!(asked >= 3, "{asked} were asked");
}
