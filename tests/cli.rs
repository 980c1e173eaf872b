//! The program from outside: what it prints, where, and how it ends.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use millgate::config::{Log, LogFormat, LogRotation};
use millgate::logging::{self, LogError};

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
    assert_eq!(
        stdout(&output),
        concat!("millgate ", env!("CARGO_PKG_VERSION"), "\n")
    );
}

#[test]
fn help_shows_examples() {
    let output = run(&["--help"]);
    assert!(output.status.success());
    for part in [
        "serve",
        "check-config",
        "default-config",
        "Examples:",
        "MILLGATE_LOG__FORMAT",
    ] {
        assert!(stdout(&output).contains(part), "{part}");
    }
}

#[test]
fn wrong_usage_is_2() {
    for arguments in [
        &[][..],
        &["fly"],
        &["serve", "--sett"],
        &["serve", "--set", "log.level"],
    ] {
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
        let output = millgate(arguments)
            .stdout(writer)
            .stderr(Stdio::piped())
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        assert_eq!(stderr(&output), "");
    }
}

#[test]
fn a_full_disk_under_stdout_is_one_line() {
    let full = fs::OpenOptions::new()
        .write(true)
        .open("/dev/full")
        .unwrap();
    let output = millgate(&["default-config"]).stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        stderr(&output),
        "millgate: stdout: No space left on device (os error 28)\n"
    );
}

#[test]
fn a_closed_stderr_is_no_panic() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let status = millgate(&["check-config", "--set", "a.b=1"])
        .stderr(writer)
        .status()
        .unwrap();
    assert_eq!(status.code(), Some(1));
}

#[test]
fn check_config_sums_up() {
    let output = millgate(&[
        "check-config",
        "--threads",
        "3",
        "--websocket",
        "127.0.0.1:7000",
    ])
    .args([
        "--http",
        "127.0.0.1:7001",
        "--log-level",
        "warn",
        "--set",
        "apps.ids=[5]",
    ])
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

#[test]
fn serve_says_that_it_starts_without_colour_in_a_pipe() {
    let mut node = millgate(&[
        "serve",
        "--websocket",
        "127.0.0.1:0",
        "--http",
        "127.0.0.1:0",
    ])
    .args(["--threads", "1", "--set", "reactor.pin=false"])
    .stderr(Stdio::piped())
    .spawn()
    .unwrap();
    let mut line = String::new();
    BufReader::new(node.stderr.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    // It may have ended by itself already; either way it must not be left behind.
    node.kill().unwrap();
    node.wait().unwrap();
    assert!(
        line.contains("INFO") && line.contains("millgate starts"),
        "{line}"
    );
    assert!(!line.contains('\x1b'), "{line}");
}

/// Logs one line with a configuration and returns the names of the files then.
fn log_into(directory: &Path, config: &Log) -> Vec<String> {
    let config = Log {
        file: directory.join(&config.file),
        ..config.clone()
    };
    let (dispatch, guard) = logging::dispatch(&config).unwrap();
    tracing::dispatcher::with_default(&dispatch, || {
        tracing::info!(answer = 42, "said");
        tracing::debug!("not said");
    });
    assert_eq!(guard.dropped(), 0);
    drop(guard);
    let mut names: Vec<_> = fs::read_dir(config.file.parent().unwrap())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn a_json_line_is_one_flat_object() {
    let directory = tempfile::tempdir().unwrap();
    let config = Log {
        file: "made/for/it/m.log".into(),
        format: LogFormat::Json,
        rotation: LogRotation::Never,
        ..Log::default()
    };
    assert_eq!(log_into(directory.path(), &config), ["m.log"]);
    let text = fs::read_to_string(directory.path().join("made/for/it/m.log")).unwrap();
    assert_eq!(text.lines().count(), 1, "{text}");
    let line: serde_json::Value = serde_json::from_str(&text).unwrap();
    let keys: Vec<_> = line.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["answer", "level", "message", "target", "timestamp"]);
    assert_eq!(line["level"], "INFO");
    assert_eq!(line["message"], "said");
    assert_eq!(line["answer"], 42);
    assert_eq!(line["target"], "cli");
}

#[test]
fn a_human_line_in_a_file_has_no_colour() {
    let directory = tempfile::tempdir().unwrap();
    let config = Log {
        file: "m.log".into(),
        rotation: LogRotation::Never,
        ..Log::default()
    };
    log_into(directory.path(), &config);
    let text = fs::read_to_string(directory.path().join("m.log")).unwrap();
    assert!(text.ends_with(" INFO cli: said answer=42\n"), "{text}");
    assert!(!text.contains('\x1b'), "{text}");
}

#[test]
fn a_rotated_file_carries_its_date_and_old_ones_go() {
    let directory = tempfile::tempdir().unwrap();
    let others = ["gin.log.2001-01-01.gz", "gin.logic", "gin.log"];
    let old = [
        "gin.log.2001-01-01",
        "gin.log.2001-01-02",
        "gin.log.2001-01-03",
    ];
    for name in others.iter().chain(&old) {
        fs::write(directory.path().join(name), "").unwrap();
    }
    let config = Log {
        file: "gin.log".into(),
        keep_files: 2,
        ..Log::default()
    };
    let names = log_into(directory.path(), &config);
    for name in others {
        assert!(
            names.iter().any(|n| n == name),
            "{name} is not ours to remove"
        );
    }
    let dated: Vec<_> = names
        .iter()
        .filter(|name| !others.contains(&name.as_str()))
        .collect();
    assert_eq!(dated.len(), 2, "{names:?}");
    assert_eq!(dated[0], "gin.log.2001-01-03");
    let date = dated[1].strip_prefix("gin.log.").unwrap();
    assert_eq!(date.len(), "2025-01-31".len(), "{date}");
    assert!(date > "2020-01-01" && date < "2999-01-01", "{date}");
}

#[test]
fn hours_are_in_the_name_and_0_keeps_all() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("m.2001-01-01-07"), "").unwrap();
    let config = Log {
        file: "m".into(),
        keep_files: 0,
        rotation: LogRotation::Hourly,
        ..Log::default()
    };
    let names = log_into(directory.path(), &config);
    assert_eq!(names.len(), 2, "{names:?}");
    assert_eq!(names[1].len(), "m.2025-01-31-23".len(), "{names:?}");
}

#[test]
fn lines_that_cannot_be_written_are_counted() {
    let config = Log {
        file: "/dev/full".into(),
        rotation: LogRotation::Never,
        ..Log::default()
    };
    let (dispatch, guard) = logging::dispatch(&config).unwrap();
    tracing::dispatcher::with_default(&dispatch, || tracing::info!("lost"));
    // Another thread writes; it counts as soon as the device has refused.
    while guard.dropped() == 0 {
        std::thread::yield_now();
    }
    assert_eq!(guard.dropped(), 1);
}

#[test]
fn a_level_or_a_name_that_makes_no_sense_is_an_error() {
    let level = Log {
        level: "millgate=loud".into(),
        ..Log::default()
    };
    assert!(matches!(
        logging::dispatch(&level),
        Err(LogError::Level { .. })
    ));
    let name = Log {
        file: "/".into(),
        ..Log::default()
    };
    assert!(matches!(
        logging::dispatch(&name),
        Err(LogError::Name { .. })
    ));
}
