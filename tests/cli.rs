//! The program from outside: what it prints, where, and how it ends.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on may panic")]

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::process::{Command, Output, Stdio};

/// The program, without the environment of whoever runs the tests.
fn millgate(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_millgate"));
    command.args(arguments).env_clear();
    command
}

fn run(arguments: &[&str]) -> Output {
    millgate(arguments).output().unwrap()
}

fn stdout(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).unwrap()
}

fn stderr(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).unwrap()
}

#[test]
fn the_version_is_that_of_the_package() {
    let output = run(&["--version"]);
    assert_eq!(stdout(&output), concat!("millgate ", env!("CARGO_PKG_VERSION"), "\n"));
}

#[test]
fn help_shows_examples() {
    let output = run(&["--help"]);
    assert!(output.status.success());
    for part in ["serve", "check-config", "default-config", "Examples:", "MILLGATE_LOG__FORMAT"] {
        assert!(stdout(&output).contains(part), "{part}");
    }
}

#[test]
fn wrong_usage_is_2() {
    for arguments in [&[][..], &["fly"], &["serve", "--sett"], &["serve", "--set", "log.level"]] {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(stdout(&output).is_empty());
    }
}

#[test]
fn the_default_config_goes_round() {
    let output = run(&["default-config"]);
    assert!(output.status.success());
    assert_eq!(stdout(&output), include_str!("../config/millgate.toml"));
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("millgate.toml");
    fs::write(&path, &output.stdout).unwrap();
    let checked = run(&["check-config", "--config", path.to_str().unwrap()]);
    assert!(checked.status.success());
    assert_eq!(stdout(&checked), stdout(&run(&["check-config"])));
}

#[test]
fn a_reader_that_leaves_early_is_no_failure() {
    for arguments in [&["default-config"][..], &["check-config"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = millgate(arguments).stdout(writer).stderr(Stdio::piped()).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        assert_eq!(stderr(&output), "");
    }
}

#[test]
fn a_full_disk_under_stdout_is_one_line() {
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = millgate(&["default-config"]).stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(stderr(&output), "millgate: stdout: No space left on device (os error 28)\n");
}

#[test]
fn a_closed_stderr_is_no_panic() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let status = millgate(&["check-config", "--set", "a.b=1"]).stderr(writer).status().unwrap();
    assert_eq!(status.code(), Some(1));
}

#[test]
fn check_config_sums_up() {
    let output = millgate(&["check-config", "--threads", "3", "--websocket", "127.0.0.1:7000"])
        .args(["--http", "127.0.0.1:7001", "--log-level", "warn", "--set", "apps.ids=[5]"])
        .env("MILLGATE_REDIS__PASSWORD", "hunter2")
        .env("MILLGATE_LOG_LEVEL", "debug")
        .output()
        .unwrap();
    assert!(output.status.success());
    assert_eq!(
        stdout(&output),
        "ok\n\
         websocket  ws://127.0.0.1:7000/acc\n\
         http       http://127.0.0.1:7001\n\
         reactors   3\n\
         idle after 360s\n\
         apps       5\n\
         log        warn to stderr\n\
         cluster    redis 127.0.0.1:6379, grpc 127.0.0.1:9001\n\
         note       environment: \"MILLGATE_LOG_LEVEL\" is not read; it is \"MILLGATE_LOG__LEVEL\"\n"
    );
    assert_eq!(stderr(&output), "");
}

/// Which of them was meant?
#[test]
fn a_flag_and_an_assignment_of_one_key_exclude_each_other() {
    let output = millgate(&["check-config", "--websocket", "127.0.0.1:7000"])
        .args(["--set", "listen.websocket=127.0.0.1:7002"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        stderr(&output),
        "millgate: command line: \"listen.websocket\" is set twice: by --websocket and by --set\n"
    );
}

#[test]
fn each_problem_is_a_line_on_stderr() {
    for command in ["check-config", "serve"] {
        let output = millgate(&[command, "--set", "log.levle=info", "--threads", "many"])
            .env("MILLGATE_REACTOR__PIN", "maybe")
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(1));
        assert_eq!(stdout(&output), "");
        assert_eq!(
            stderr(&output),
            "millgate: command line: unknown key \"log.levle\", did you mean \"log.level\"?\n\
             millgate: environment: \"MILLGATE_REACTOR__PIN\" is \"maybe\", expected true or false\n\
             millgate: command line: \"reactor.threads\" is \"many\", expected a whole number, 0 or more\n"
        );
    }
}

#[test]
fn a_missing_file_is_one_line() {
    let output = run(&["serve", "--config", "/nowhere/x.toml"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        stderr(&output),
        "millgate: /nowhere/x.toml: cannot be read: No such file or directory (os error 2)\n"
    );
}

#[test]
fn a_log_file_that_cannot_be_written_is_one_line() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("file"), "").unwrap();
    let path = directory.path().join("file/millgate.log");
    let output = run(&["serve", "--set", &format!("log.file={}", path.display())]);
    assert_eq!(output.status.code(), Some(1));
    let line = stderr(&output);
    assert!(
        line.starts_with(&format!("millgate: log.file {path:?} cannot be written: ")),
        "{line}"
    );
    assert_eq!(line.lines().count(), 1, "{line}");
}

/// The doctor under a hard limit of open files that a root of this host may raise.
fn doctor(open_files: u32, arguments: &[&str]) -> Output {
    let limit = format!("--nofile={open_files}:{open_files}");
    let mut command = Command::new("prlimit");
    command.args([&limit, env!("CARGO_BIN_EXE_millgate"), "doctor", "--set", "reactor.threads=2"]);
    // Small, so that the RAM of whoever runs the tests does not bind.
    for budget in ["outbox", "assembly"] {
        command.args(["--set", &format!("limits.{budget}_total_bytes=1048576")]);
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    command.args(arguments).env_clear().env("PATH", path).output().unwrap()
}

#[test]
fn the_doctor_says_whether_it_fits() {
    let fits = doctor(1_024, &["--connections", "1k"]);
    assert_eq!(fits.status.code(), Some(0), "{fits:?}");
    assert!(stdout(&fits).contains("1,000 connections fit: the ceiling is 1,916"), "{fits:?}");
    let short = doctor(1_024, &["--connections", "10k"]);
    assert_eq!(short.status.code(), Some(1), "{short:?}");
    let text = stdout(&short);
    assert!(text.contains("10,000 connections do not fit: the ceiling is 1,916"), "{text}");
    assert!(text.contains("[reactor]\n  threads = 12\n"), "{text}");
    assert_eq!(stderr(&short), "");
    let cured = doctor(1_024, &["--connections", "10k", "--set", "reactor.threads=12"]);
    assert_eq!(cured.status.code(), Some(0), "{cured:?}");
    let ceiling = doctor(1_024, &[]);
    assert_eq!(ceiling.status.code(), Some(0));
    assert!(stdout(&ceiling).contains("This host holds 1,916 connections"), "{ceiling:?}");
}

#[test]
fn the_doctor_speaks_to_machines() {
    let output = doctor(1_024, &["--connections", "10k", "--json"]);
    assert_eq!(output.status.code(), Some(1));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["connections"], 10_000);
    assert_eq!(report["fits"], false);
    assert_eq!(report["ceiling"], 1_916);
    assert_eq!(report["binds"]["limit"], "open files, each table");
    assert_eq!(report["limits"][1]["here"], 1_024);
    let lines = report["limits"][1]["cures"].to_string();
    assert!(lines.contains("reactor.threads = 12"), "{lines}");
}

#[test]
fn the_doctor_reads_the_configuration() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("millgate.toml");
    fs::write(&path, "[limits]\nconnections = 50\n").unwrap();
    let file = path.to_str().unwrap();
    let short = doctor(1_024, &["--config", file, "--connections", "100"]);
    assert_eq!(short.status.code(), Some(1));
    assert!(stdout(&short).contains("the ceiling is 50 (limits.connections)"), "{short:?}");
    let proxied = doctor(1_024, &["--connections", "1m", "--behind-proxy=2", "--json"]);
    let report: serde_json::Value = serde_json::from_slice(&proxied.stdout).unwrap();
    let mut limits = report["limits"].as_array().unwrap().iter();
    let ports = limits.find(|limit| limit["name"] == "ports of the proxy").unwrap();
    assert_eq!(ports["standing"], "short");
}

#[test]
fn the_doctor_understands_counts_only() {
    for text in ["many", "0", "-1", "1.5"] {
        let output = doctor(1_024, &[&format!("--connections={text}")]);
        assert_eq!(output.status.code(), Some(2), "{text}");
        assert!(stderr(&output).contains("such as 500, 10k or 1.5m"), "{output:?}");
    }
    let unread = doctor(1_024, &["--config", "/nowhere/x.toml"]);
    assert_eq!(unread.status.code(), Some(1));
    assert_eq!(stderr(&unread).lines().count(), 1, "{unread:?}");
}

#[test]
fn a_log_file_that_is_a_directory_is_one_line() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    // Where another listens already, so that it ends in any case.
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = other.local_addr().unwrap().to_string();
    let log = format!("log.file={}", path.display());
    let output = run(&["serve", "--websocket", &taken, "--set", &log]);
    assert_eq!(output.status.code(), Some(1));
    let line = format!("millgate: log.file {path:?} is a directory, name a file in it\n");
    assert_eq!(stderr(&output), line);
}

#[test]
fn serve_says_that_it_starts_without_colour_in_a_pipe() {
    let mut node = millgate(&["serve", "--websocket", "127.0.0.1:0", "--http", "127.0.0.1:0"])
        .args(["--threads", "1", "--set", "reactor.pin=false"])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(node.stderr.take().unwrap()).read_line(&mut line).unwrap();
    // It may have ended by itself already; either way it must not be left behind.
    node.kill().unwrap();
    node.wait().unwrap();
    assert!(line.contains("INFO") && line.contains("millgate starts"), "{line}");
    assert!(!line.contains('\x1b'), "{line}");
}

#[test]
fn a_key_is_shown_once_and_its_line_is_taken() {
    let output = run(&["gen-key", "back-end", "--scopes", "read+metrics"]);
    assert!(output.status.success(), "{output:?}");
    let text = stdout(&output);
    let key = text.lines().find_map(|line| line.strip_prefix("key        ")).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("auth.keys  ")).unwrap();
    assert!(key.starts_with("mg_") && line.starts_with("\"back-end:read+metrics:"), "{text}");
    assert_eq!(text.matches(key).count(), 1);
    let open = ["--http", "0.0.0.0:8080", "--set"];
    let taken = millgate(&["check-config"]).args(open).arg(format!("auth.keys=[{line}]")).output();
    assert!(taken.unwrap().status.success());
    let raw = format!("auth.keys=[\"a:read:{key}\"]");
    let wrong = millgate(&["check-config"]).args(open).arg(raw).output().unwrap();
    assert_eq!(wrong.status.code(), Some(1));
    assert!(
        stderr(&wrong).contains("not the key itself") && !stderr(&wrong).contains(key),
        "{wrong:?}"
    );
    for arguments in [&["gen-key"][..], &["gen-key", "a b"], &["gen-key", "a", "--scopes", "all"]] {
        assert_eq!(run(arguments).status.code(), Some(2), "{arguments:?}");
    }
}

#[test]
fn a_token_is_made_and_judged() {
    let secret = ["--set", "auth.jwt.secret=a secret of thirty-two bytes or so"];
    let made = millgate(&["gen-token", "--user", "ann", "--app", "101,102"]).args(secret).output();
    let made = made.unwrap();
    assert!(made.status.success(), "{made:?}");
    let token = stdout(&made).trim_end();
    let good =
        millgate(&["check-token", token, "--user", "ann", "--app", "102"]).args(secret).output();
    let good = good.unwrap();
    assert_eq!(good.status.code(), Some(0), "{good:?}");
    let text = stdout(&good);
    assert!(
        text.contains("\"sub\":\"ann\"") && text.contains("good     for \"ann\" on 101, 102"),
        "{text}"
    );
    assert!(!text.contains(token), "{text}");
    for (arguments, said) in [
        (["--user", "bob"], "another user"),
        (["--app", "103"], "not for this app"),
        (["--set", "auth.jwt.secret=another secret of thirty-two bytes"], "its signature"),
        (["--set", "auth.jwt.audience=us"], "another audience"),
    ] {
        let refused =
            millgate(&["check-token", token]).args(secret).args(arguments).output().unwrap();
        assert_eq!(refused.status.code(), Some(1), "{refused:?}");
        assert!(stdout(&refused).contains(said), "{refused:?}");
    }
    // From stdin, where no list of processes shows it.
    let mut child = millgate(&["check-token", "-"])
        .args(secret)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(format!("{token}\n").as_bytes()).unwrap();
    assert!(child.wait_with_output().unwrap().status.success());
    let without = run(&["check-token", token]);
    assert_eq!(without.status.code(), Some(1));
    assert!(stderr(&without).starts_with("millgate: auth.jwt: is not set"), "{without:?}");
}

#[test]
fn the_files_of_tokens_are_checked_with_the_configuration() {
    let output = run(&["check-config", "--set", "auth.jwt.public_key=/nowhere/key.pem"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        stderr(&output),
        "millgate: auth.jwt.public_key: /nowhere/key.pem: No such file or directory (os error 2)\n"
    );
}

#[test]
fn an_open_api_without_keys_is_no_start() {
    for command in ["check-config", "serve"] {
        let output = run(&[command, "--http", "0.0.0.0:0"]);
        assert_eq!(output.status.code(), Some(1), "{command}");
        assert!(stderr(&output).contains("where strangers could send to every user"), "{output:?}");
    }
}

/// A collector of logs reads each line of stderr as JSON, also the last.
#[test]
fn what_ends_the_program_has_the_format_of_the_log() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    for wrong in [["--websocket", &taken], ["--set", "apps.ids=[]"]] {
        let output = millgate(&["serve", "--set", "log.level=error", "--set", "log.node=n1"])
            .args(wrong)
            .env("MILLGATE_LOG__FORMAT", "json")
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(1));
        assert!(!output.stderr.is_empty());
        for line in stderr(&output).lines() {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            assert_eq!((&line["level"], &line["node"]), (&"ERROR".into(), &"n1".into()));
            assert!(line["message"].is_string() && line["timestamp"].is_string(), "{line}");
        }
    }
}

#[test]
fn a_password_on_the_command_line_is_not_repeated() {
    for wrong in ["redis.password:hunter2", "redis.addr=ann:hunter2@r:1", "redis.pasword=hunter2"] {
        let output = run(&["check-config", "--set", wrong]);
        assert!(!output.status.success(), "{wrong}");
        let said = format!("{}{}", stdout(&output), stderr(&output));
        assert!(!said.is_empty() && !said.contains("hunter2"), "{said}");
    }
    let output = run(&["check-config", "--set", "redis.addr=rediss://ann:hunter2@r:1"]);
    assert!(stdout(&output).contains("redis r:1 by TLS") && !stdout(&output).contains("hunter2"));
}

#[test]
fn check_config_reads_all_files_and_tells_all_that_is_wrong() {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str| directory.path().join(name).display().to_string();
    for name in ["one", "two"] {
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let certificate = certificate.self_signed(&key).unwrap();
        fs::write(file(&format!("{name}.pem")), certificate.pem()).unwrap();
        fs::write(file(&format!("{name}.key")), key.serialize_pem()).unwrap();
    }
    let checked = |settings: &[(&str, &str)]| {
        let mut command = millgate(&["check-config"]);
        for (key, value) in settings {
            command.arg("--set").arg(format!("{key}={value}"));
        }
        command.output().unwrap()
    };
    let tls = ("listen.websocket", "127.0.0.1:0 tls");
    let (one, two) = (file("one.pem"), file("two.pem"));
    let (one_key, two_key, absent) = (file("one.key"), file("two.key"), file("absent"));
    let pair = [tls, ("listen.tls_cert", &one), ("listen.tls_key", &one_key)];
    assert!(checked(&pair).status.success());
    let mixed = checked(&[
        tls,
        ("listen.tls_cert", &one),
        ("listen.tls_key", &two_key),
        ("cluster.tls_cert", &one),
        ("cluster.tls_key", &one_key),
        ("cluster.tls_ca", &two),
        ("redis.addr", "127.0.0.1:1"),
        ("redis.tls_ca", &absent),
    ]);
    assert_eq!(mixed.status.code(), Some(1));
    let said: Vec<&str> = stderr(&mixed).lines().collect();
    assert_eq!(said.len(), 3, "{said:?}");
    assert!(
        said[0].contains("listen.tls_key: ") && said[0].contains("is not the private key"),
        "{said:?}"
    );
    assert!(
        said[1].contains("cluster.tls_cert: ") && said[1].contains("is not signed by"),
        "{said:?}"
    );
    assert!(
        said[2].contains("redis.tls_ca: ") && said[2].contains("absent: No such file"),
        "{said:?}"
    );
}
