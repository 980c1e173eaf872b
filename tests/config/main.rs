//! Configuration: every source and their order.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on may panic")]

mod auth;
mod case;
mod deploy;
mod reference;
mod secrets;
mod wrong;

use case::Case;
use millgate::config::{Auth, Config, Jwt, Loaded, LogFormat, LogRotation, Redis, Secret};
use serde_json::Value;
use std::path::PathBuf;
use std::time::Duration;

const SHIPPED: &str = include_str!("../../config/millgate.toml");

#[test]
fn nothing_said_means_the_defaults() {
    let loaded = Case::default().load().unwrap();
    assert_eq!(loaded, Loaded::default());
}

#[test]
fn the_shipped_file_is_the_defaults() {
    assert_eq!(Case::toml(SHIPPED).config(), Config::default());
}

#[test]
fn the_shipped_file_has_every_key_with_one_comment_line() {
    let auth = Auth { jwt: Some(Jwt::default()), ..Auth::default() };
    let complete = Config { redis: Some(Redis::default()), auth, ..Config::default() };
    let sections = sections_of(&serde_json::to_value(complete).unwrap());
    // The sections that need not be there are there in comments.
    let lines: Vec<_> = SHIPPED.lines().map(|l| l.strip_prefix("# ").unwrap_or(l)).collect();
    let mut keys = 0;
    for (section, entries) in sections {
        let heading = format!("[{section}]");
        let begin = lines.iter().position(|l| *l == heading).expect(&heading) + 1;
        let end = lines[begin..].iter().position(|l| l.starts_with('[')).map(|n| begin + n);
        let body = &lines[begin..end.unwrap_or(lines.len())];
        for key in &entries {
            let at = body.iter().position(|l| l.starts_with(&format!("{key} = "))).expect(key);
            // Comments of this file lose their mark above, those inside [redis] keep one.
            assert!(at > 0 && !body[at - 1].contains(" = "), "{section}.{key} has no comment");
            assert!(at < 2 || body[at - 2].contains(" = "), "{section}.{key} has two comments");
            keys += 1;
        }
    }
    let assignments = lines.iter().filter(|l| {
        l.split_once(" = ")
            .is_some_and(|(key, _)| key.bytes().all(|b| b == b'_' || b.is_ascii_lowercase()))
    });
    assert_eq!(assignments.count(), keys, "a key that does not exist");
}

/// Sections and the keys in them; one within another has a dot in its name.
fn sections_of(config: &Value) -> Vec<(String, Vec<String>)> {
    let mut sections = Vec::new();
    for (name, entries) in config.as_object().unwrap() {
        let (inner, keys): (Vec<_>, Vec<_>) =
            entries.as_object().unwrap().iter().partition(|(_, value)| value.is_object());
        sections.push((name.clone(), keys.into_iter().map(|(key, _)| key.clone()).collect()));
        for (key, entries) in inner {
            let keys = entries.as_object().unwrap().keys().cloned().collect();
            sections.push((format!("{name}.{key}"), keys));
        }
    }
    sections
}

#[test]
fn the_commented_redis_section_is_its_default() {
    let (above, redis) = SHIPPED.split_once("# [redis]").unwrap();
    let redis: Vec<_> = redis.lines().map(|l| l.strip_prefix("# ").unwrap_or(l)).collect();
    let config = Case::toml(&format!("{above}[redis]\n{}", redis.join("\n"))).config();
    assert_eq!(config.redis, Some(Redis::default()));
}

#[test]
fn the_commented_token_section_is_its_default() {
    let (_, jwt) = SHIPPED.split_once("# [auth.jwt]\n").unwrap();
    let lines = jwt.lines().map_while(|line| line.strip_prefix("# "));
    let text = format!("[auth.jwt]\n{}", lines.collect::<Vec<_>>().join("\n"));
    let secret = "x".repeat(32);
    let config = Case::toml(&text).flag("auth.jwt.secret", &secret).config();
    let expected = Jwt { secret: Secret::from(secret.as_str()), ..Jwt::default() };
    assert_eq!(config.auth.jwt, Some(expected));
}

#[test]
fn flags_go_over_environment_over_file_over_defaults() {
    let case = || {
        Case::toml("[reactor]\nthreads = 2\n[control]\nthreads = 3\n[limits]\nconnections = 4\n")
            .env("MILLGATE_CONTROL__THREADS", "30")
            .env("MILLGATE_LIMITS__CONNECTIONS", "40")
            .flag("limits.connections", "400")
    };
    let config = case().config();
    assert_eq!(config.reactor.threads, 2);
    assert_eq!(config.control.threads, 30);
    assert_eq!(config.limits.connections, 400);
    assert_eq!(config.limits.message_bytes, Config::default().limits.message_bytes);
    let config = case().flag("limits.connections", "500").config();
    assert_eq!(config.limits.connections, 500, "the last flag wins");
}

#[test]
fn text_becomes_a_value_of_the_right_type() {
    let config = Case::default()
        .env("MILLGATE_APPS__IDS", "[7, 8]")
        .env("MILLGATE_AUTH__ALLOWED_ORIGINS", r#"["https://a.example", "http://b:1"]"#)
        .env("MILLGATE_REACTOR__PIN", "false")
        .env("MILLGATE_LISTEN__HTTP", "[::1]:80")
        .env("MILLGATE_HEARTBEAT__IDLE_TIMEOUT", "90s")
        .env("MILLGATE_LOG__FORMAT", "json")
        .env("MILLGATE_REDIS__PASSWORD", "007")
        .flag("log.file", "a/b.log")
        .flag("log.level", "info,millgate::command=debug")
        .flag("log.rotation", "\"hourly\"")
        .config();
    assert_eq!(config.apps.ids, [7, 8]);
    assert_eq!(config.auth.allowed_origins, ["https://a.example", "http://b:1"]);
    assert!(!config.reactor.pin);
    assert_eq!(config.listen.http.to_string(), "[::1]:80");
    assert_eq!(config.heartbeat.idle_timeout, Duration::from_secs(90));
    assert_eq!(config.log.format, LogFormat::Json);
    assert_eq!(config.redis.unwrap().password.reveal(), "007");
    assert_eq!(config.log.file, PathBuf::from("a/b.log"));
    assert_eq!(config.log.level, "info,millgate::command=debug");
    assert_eq!(config.log.rotation, LogRotation::Hourly);
}

#[test]
fn variables_of_kubernetes_are_not_ours() {
    let loaded = Case::default()
        .env("MILLGATE_PORT", "tcp://10.0.0.1:8080")
        .env("MILLGATE_SERVICE_HOST", "10.0.0.1")
        .env("MILLGATE_PORT_8080_TCP_ADDR", "10.0.0.1")
        .env("PATH", "/bin")
        .load()
        .unwrap();
    assert_eq!(loaded, Loaded::default());
}

#[test]
fn a_url_that_no_page_may_use_is_noticed() {
    let case = || Case::toml("[page]\nhttp_url = \"https://api.example\"\n");
    assert_eq!(
        case().load().unwrap().notices,
        [
            "x.toml: page.http_url is not used, the page asks where it came from; list the page's own origin in auth.allowed_origins to change that"
        ]
    );
    let listed = case().flag("auth.allowed_origins", "[\"https://chat.example\"]").load().unwrap();
    assert_eq!(listed.notices, Vec::<String>::new());
    let unset = case().flag("page.http_url", "").load().unwrap();
    assert_eq!(unset.notices, Vec::<String>::new());
}

#[test]
fn a_variable_with_one_underscore_too_few_is_noticed() {
    let loaded = Case::default().env("MILLGATE_LOG_LEVEL", "debug").load().unwrap();
    assert_eq!(loaded.config.log.level, "info");
    assert_eq!(
        loaded.notices,
        ["environment: \"MILLGATE_LOG_LEVEL\" is not read; it is \"MILLGATE_LOG__LEVEL\""]
    );
}

#[test]
fn a_key_that_was_renamed_is_read_by_its_old_name() {
    let cases = [
        (Case::toml("[limits]\nbody_bytes = 5000\n"), "x.toml: \"limits.body_bytes\""),
        (Case::default().flag("limits.body_bytes", "5000"), "command line: \"limits.body_bytes\""),
        (
            Case::default().env("MILLGATE_LIMITS__BODY_BYTES", "5000"),
            "environment: \"MILLGATE_LIMITS__BODY_BYTES\"",
        ),
    ];
    for (case, place) in cases {
        let loaded = case.load().unwrap();
        assert_eq!(loaded.config.limits.http_body_bytes, 5_000, "{place}");
        let warning =
            format!("{place} is called \"limits.http_body_bytes\" now, and is read as that");
        assert_eq!(loaded.warnings, [warning]);
    }
    // Beside each other the new name counts, and what is wrong is told by the name that was used.
    let both = Case::toml("[limits]\nhttp_body_bytes = 6000\nbody_bytes = 5000\n");
    assert_eq!(both.config().limits.http_body_bytes, 6_000);
    assert_eq!(
        Case::toml("[limits]\nbody_bytes = \"many\"\n").problems(),
        ["x.toml: \"limits.body_bytes\" is \"many\", expected a whole number, 0 or more"]
    );
}

#[test]
fn a_password_is_never_shown() {
    let config = Case::default().flag("redis.password", "hunter2").config();
    assert_eq!(config.redis.as_ref().unwrap().password.reveal(), "hunter2");
    assert!(!format!("{config:?} {config:#?}").contains("hunter2"));
    assert!(!serde_json::to_string(&config).unwrap().contains("hunter2"));
    assert_eq!(format!("{:?} {:?}", Secret::from("x"), Secret::default()), "\"***\" \"\"");
}
