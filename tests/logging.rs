//! Log lines: their shape, their files, and what becomes of those that cannot be written.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on may panic")]

use millgate::config::{Log, LogFormat, LogRotation};
use millgate::logging::{self, LogError};
use std::fs;
use std::path::Path;

/// Logs one line with a configuration and returns the names of the files then.
fn log_into(directory: &Path, config: &Log) -> Vec<String> {
    let config = Log { file: directory.join(&config.file), ..config.clone() };
    let (dispatch, guard) = logging::dispatch(&config).unwrap();
    tracing::dispatcher::with_default(&dispatch, || {
        tracing::info!(answer = 42, "said");
        tracing::debug!("not said");
    });
    assert_eq!(guard.dropped_lines().count(), 0);
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
    assert_eq!(line["target"], "logging");
}

#[test]
fn a_line_for_machines_can_name_its_node() {
    let directory = tempfile::tempdir().unwrap();
    let config = Log {
        file: "m.log".into(),
        format: LogFormat::Json,
        rotation: LogRotation::Never,
        node: "gate \"1\"".into(),
        ..Log::default()
    };
    log_into(directory.path(), &config);
    let text = fs::read_to_string(directory.path().join("m.log")).unwrap();
    let line: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&line["node"], &line["message"]), (&"gate \"1\"".into(), &"said".into()));
}

#[test]
fn a_human_line_in_a_file_has_no_colour() {
    let directory = tempfile::tempdir().unwrap();
    let config = Log { file: "m.log".into(), rotation: LogRotation::Never, ..Log::default() };
    log_into(directory.path(), &config);
    let text = fs::read_to_string(directory.path().join("m.log")).unwrap();
    assert!(text.ends_with(" INFO logging: said answer=42\n"), "{text}");
    assert!(!text.contains('\x1b'), "{text}");
}

#[test]
fn a_rotated_file_carries_its_date_and_old_ones_go() {
    let directory = tempfile::tempdir().unwrap();
    let others = ["gin.log.2001-01-01.gz", "gin.logic", "gin.log"];
    let old = ["gin.log.2001-01-01", "gin.log.2001-01-02", "gin.log.2001-01-03"];
    for name in others.iter().chain(&old) {
        fs::write(directory.path().join(name), "").unwrap();
    }
    let config = Log { file: "gin.log".into(), keep_files: 2, ..Log::default() };
    let names = log_into(directory.path(), &config);
    for name in others {
        assert!(names.iter().any(|n| n == name), "{name} is not ours to remove");
    }
    let dated: Vec<_> = names.iter().filter(|name| !others.contains(&name.as_str())).collect();
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
    let config =
        Log { file: "m".into(), keep_files: 0, rotation: LogRotation::Hourly, ..Log::default() };
    let names = log_into(directory.path(), &config);
    assert_eq!(names.len(), 2, "{names:?}");
    assert_eq!(names[1].len(), "m.2025-01-31-23".len(), "{names:?}");
}

#[test]
fn lines_that_cannot_be_written_are_counted() {
    let config = Log { file: "/dev/full".into(), rotation: LogRotation::Never, ..Log::default() };
    let (dispatch, guard) = logging::dispatch(&config).unwrap();
    tracing::dispatcher::with_default(&dispatch, || tracing::info!("lost"));
    // Another thread writes; it counts as soon as the device has refused.
    let dropped = guard.dropped_lines();
    while dropped.count() == 0 {
        std::thread::yield_now();
    }
    assert_eq!(dropped.count(), 1);
}

/// logrotate moves the file and sends SIGHUP.
#[test]
fn a_file_that_was_moved_is_opened_again_when_asked() {
    let directory = tempfile::tempdir().unwrap();
    let (file, moved) = (directory.path().join("m.log"), directory.path().join("m.log.1"));
    let config = Log { file: file.clone(), rotation: LogRotation::Never, ..Log::default() };
    let (dispatch, guard) = logging::dispatch(&config).unwrap();
    let written = |text: &str, path: &Path| {
        tracing::dispatcher::with_default(&dispatch, || tracing::info!("{text}"));
        while !fs::read_to_string(path).is_ok_and(|read| read.contains(text)) {
            std::thread::yield_now();
        }
    };
    written("first", &file);
    fs::rename(&file, &moved).unwrap();
    written("second", &moved);
    guard.controls().reopen_file();
    written("third", &file);
    assert!(!fs::read_to_string(&moved).unwrap().contains("third"));
    assert_eq!(guard.dropped_lines().count(), 0);
}

#[test]
fn the_level_changes_while_the_log_is_written() {
    let directory = tempfile::tempdir().unwrap();
    for format in [LogFormat::Human, LogFormat::Json] {
        let file = directory.path().join("m.log");
        let config =
            Log { file: file.clone(), format, rotation: LogRotation::Never, ..Log::default() };
        let (dispatch, guard) = logging::dispatch(&config).unwrap();
        let log = guard.controls();
        tracing::dispatcher::with_default(&dispatch, || {
            let say = |what: &str| tracing::debug!("{what}");
            say("too early");
            log.set_level("logging=debug,info").unwrap();
            say("in time");
            assert!(matches!(log.set_level("logging=loud"), Err(LogError::Level { .. })));
            say("as before");
            log.set_level("warn").unwrap();
            say("too late");
        });
        drop(guard);
        let text = fs::read_to_string(&file).unwrap();
        let said =
            ["too early", "in time", "as before", "too late"].map(|what| text.contains(what));
        assert_eq!(said, [false, true, true, false], "{text}");
        fs::remove_file(&file).unwrap();
    }
    logging::Controls::default().set_level("debug").unwrap();
}

#[test]
fn a_level_or_a_name_that_makes_no_sense_is_an_error() {
    let level = Log { level: "millgate=loud".into(), ..Log::default() };
    assert!(matches!(logging::dispatch(&level), Err(LogError::Level { .. })));
    let name = Log { file: "/".into(), ..Log::default() };
    assert!(matches!(logging::dispatch(&name), Err(LogError::Name { .. })));
}

/// With a date behind its name it would become a file beside the directory, where nobody looks.
#[test]
fn a_directory_is_not_taken_for_a_file() {
    let directory = tempfile::tempdir().unwrap();
    let there = directory.path().join("logs");
    fs::create_dir(&there).unwrap();
    for file in [there.clone(), there.join("."), directory.path().join("not-there-yet/")] {
        for rotation in [LogRotation::Never, LogRotation::Daily] {
            let config = Log { file: file.clone(), rotation, ..Log::default() };
            let error = logging::dispatch(&config).unwrap_err();
            assert!(matches!(error, LogError::Directory { .. }), "{file:?}: {error}");
            assert_eq!(
                error.to_string(),
                format!("log.file {file:?} is a directory, name a file in it")
            );
        }
    }
    let names: Vec<_> = fs::read_dir(directory.path()).unwrap().collect();
    assert_eq!(names.len(), 1, "nothing was made: {names:?}");
}
