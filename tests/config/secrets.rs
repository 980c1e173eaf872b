//! Secrets from files and from the environment, and the address of Redis as a URL.

use crate::case::Case;
use millgate::config::{Config, Redis};
use std::path::{Path, PathBuf};

const HASH: &str = "00ff00000000000000000000000000000000000000000000000000000000cafe";

fn long() -> String {
    "x".repeat(32)
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }
}

fn named(case: Case, key: &str, path: &Path) -> Case {
    case.flag(key, path.to_str().unwrap())
}

#[test]
fn every_secret_may_stand_in_a_file() {
    let folder = Folder::new();
    let text = format!("{}\n", long());
    type Reveal = fn(&Config) -> String;
    let secrets: [(&str, Reveal); 6] = [
        ("auth.jwt.secret", |c| c.auth.jwt.as_ref().unwrap().secret.reveal().into()),
        ("auth.jwt.previous_secret", |c| {
            c.auth.jwt.as_ref().unwrap().previous_secret.reveal().into()
        }),
        ("cluster.token", |c| c.cluster.token.reveal().into()),
        ("cluster.previous_token", |c| c.cluster.previous_token.reveal().into()),
        ("redis.password", |c| c.redis.as_ref().unwrap().password.reveal().into()),
        ("redis.sentinel_password", |c| {
            c.redis.as_ref().unwrap().sentinel_password.reveal().into()
        }),
    ];
    for (key, reveal) in secrets {
        let file = format!("{key}_file");
        // A previous one stands beside a current one.
        let current = key.replace("previous_", "");
        let case = || match current == key {
            true => Case::default(),
            false => Case::default().flag(&current, &long()),
        };
        let loaded = named(case(), &file, &folder.write("secret", &text)).load().unwrap();
        assert_eq!(reveal(&loaded.config), long(), "{key} loses one newline");
        assert_eq!(loaded.notices, [""; 0]);
        let twice = folder.write("twice", &format!("{text}\n"));
        if !key.starts_with("cluster.") {
            let loaded = named(case(), &file, &twice).load().unwrap();
            assert_eq!(reveal(&loaded.config), text, "{key} loses one newline alone");
            assert_eq!(
                loaded.notices,
                [format!("\"{key}\" begins or ends with white space, which is a part of it")]
            );
        }
        let problems = named(case(), &file, Path::new("/nowhere/secret")).problems();
        assert_eq!(
            problems,
            [format!(
                "command line: \"{file}\" /nowhere/secret: No such file or directory (os error 2)"
            )]
        );
        let problems = named(case(), &file, &folder.write("empty", "\n")).problems();
        assert!(problems.len() == 1 && problems[0].ends_with("empty: is empty"), "{problems:?}");
        let both = named(case().flag(key, &long()), &file, &folder.write("secret", &text));
        let problems = both.problems();
        assert!(problems[0].contains(&format!("and so is {key}: one of them")), "{problems:?}");
        assert!(!problems.concat().contains(&long()), "{problems:?}");
    }
}

#[test]
fn a_short_secret_in_a_file_is_told_with_the_file() {
    let folder = Folder::new();
    let path = folder.write("short", "hunter2\n");
    let problems = named(Case::default(), "auth.jwt.secret_file", &path).problems();
    let said = format!(
        "command line: \"auth.jwt.secret_file\" {}: is too short, must have at least 32 bytes",
        path.display()
    );
    assert_eq!(problems, [said]);
    let problems =
        named(Case::default(), "cluster.token_file", &folder.write("words", "two words"))
            .problems();
    assert!(problems[0].contains("has a byte that is no visible ASCII letter"), "{problems:?}");
}

/// What editors of Windows make of files is no part of what stands in them.
#[test]
fn marks_and_line_ends_of_other_systems_do_not_count() {
    let folder = Folder::new();
    let marked = |text: &str| format!("\u{feff}{text}").replace('\n', "\r\n");
    let secret = folder.write("secret", &marked(&format!("{}\n", long())));
    let config = named(Case::default(), "auth.jwt.secret_file", &secret).config();
    assert_eq!(config.auth.jwt.unwrap().secret.reveal(), long());
    let keys = folder.write("keys", &marked(&format!("a:read:{HASH}\n\n# b\nb:send:{HASH}\n")));
    let config = named(Case::default(), "auth.keys_file", &keys).config();
    assert_eq!(config.auth.keys, [format!("a:read:{HASH}"), format!("b:send:{HASH}")]);
    let toml = marked("[apps]\nids = [7]\n\n[log]\nnode = \"n\"\n");
    let config = Case::toml(&toml).config();
    assert_eq!((config.apps.ids, config.log.node.as_str()), (vec![7], "n"));
    let yaml = marked("app:\n  webSocketPort: 81\n\nredis:\n  password: 0123\n");
    let config = Case::file("app.yaml", &yaml).config();
    assert_eq!(config.listen.websocket.to_string(), "0.0.0.0:81");
    assert_eq!(config.redis.unwrap().password.reveal(), "0123");
    let path = folder.0.path().join("utf-16");
    std::fs::write(&path, b"\xff\xfeh\0").unwrap();
    let problems = named(Case::default(), "auth.jwt.secret_file", &path).problems();
    assert!(problems[0].ends_with("utf-16: is not UTF-8 text"), "{problems:?}");
}

#[test]
fn a_secret_in_the_environment_loses_one_newline() {
    for ending in ["", "\n", "\r\n"] {
        let config = Case::default()
            .env("MILLGATE_REDIS__PASSWORD", &format!("hunter2{ending}"))
            .env("MILLGATE_AUTH__JWT__SECRET", &format!("{}{ending}", long()))
            .config();
        assert_eq!(config.redis.unwrap().password.reveal(), "hunter2");
        assert_eq!(config.auth.jwt.unwrap().secret.reveal(), long());
    }
}

#[test]
fn keys_of_the_api_may_stand_in_a_file() {
    let folder = Folder::new();
    let text = format!("# the back-end\na:read:{HASH}\n\n  b:send:{HASH}  \n");
    let case = || named(Case::default(), "auth.keys_file", &folder.write("keys", &text));
    assert_eq!(case().config().auth.keys, [format!("a:read:{HASH}"), format!("b:send:{HASH}")]);
    let open = case().flag("listen.http", "0.0.0.0:8080");
    assert_eq!(open.config().auth.keys.len(), 2, "they guard the API");
    for nothing in ["", "\u{feff}", "\r\n", "# none yet\r\n \n"] {
        let path = folder.write("none", nothing);
        let problems = named(Case::default(), "auth.keys_file", &path).problems();
        assert!(problems[0].ends_with("none: has no key in it"), "{problems:?}");
    }
    let path = folder.write("wrong", "a:read:mg_hunter2\n");
    let problems = named(Case::default(), "auth.keys_file", &path).problems();
    assert!(
        problems[0].contains("wrong: has a wrong entry 1: it must have a hash"),
        "{problems:?}"
    );
    assert!(!problems.concat().contains("hunter2"), "{problems:?}");
}

#[test]
fn an_empty_variable_is_no_cluster() {
    for name in
        ["MILLGATE_REDIS__PASSWORD", "MILLGATE_REDIS__ADDR", "MILLGATE_REDIS__PASSWORD_FILE"]
    {
        let loaded = Case::default().env(name, "").load().unwrap();
        assert_eq!(loaded.config.redis, None, "{name}");
        let said = format!("environment: \"{name}\" is empty, which makes no cluster");
        assert_eq!(loaded.notices, [said]);
    }
    let config = Case::toml("[redis]\npassword = \"old\"\n").env("MILLGATE_REDIS__PASSWORD", "");
    assert_eq!(config.config().redis, Some(Redis::default()), "beside a section it means nothing");
    let config =
        Case::default().env("MILLGATE_REDIS__PASSWORD", "").env("MILLGATE_REDIS__ADDR", "r:1");
    assert_eq!(config.config().redis.unwrap().addr, "r:1");
    let problems = Case::default().env("MILLGATE_AUTH__JWT__SECRET", "").problems();
    assert_eq!(problems.len(), 1, "tokens that were wanted are not forgotten: {problems:?}");
}

#[test]
fn redis_is_named_by_a_url_as_well() {
    let url = "rediss://ann:p%40w@red.example.org:25061/3";
    let redis = Case::default().env("MILLGATE_REDIS__ADDR", url).config().redis.unwrap();
    let expected = Redis {
        addr: "red.example.org:25061".into(),
        tls: true,
        username: "ann".into(),
        password: "p@w".into(),
        db: 3,
        ..Redis::default()
    };
    assert_eq!(redis, expected);
    let plain = Case::toml("[redis]\naddr = \"redis://r\"\ntls = true\n").config().redis.unwrap();
    assert_eq!(plain, Redis { addr: "r:6379".into(), tls: true, ..Redis::default() });
    // A later source goes over an earlier one as a whole.
    let over = Case::toml("[redis]\naddr = \"rediss://:old@a\"\n").flag("redis.addr", "redis://b");
    let over = over.config().redis.unwrap();
    assert_eq!(over, Redis { addr: "b:6379".into(), ..Redis::default() });
    let own = Case::default().flag("redis.addr", "redis://:a@r").flag("redis.password", "b");
    assert_eq!(own.config().redis.unwrap().password.reveal(), "b");
    let several = Case::default()
        .flag("redis.mode", "sentinel")
        .flag("redis.addr", "redis://:pw@a:26379,b:26379");
    assert_eq!(several.config().redis.unwrap().addr, "a:26379,b:26379");
    let yaml = Case::file("app.yaml", "redis:\n  addr: \"redis://:pw@r:7\"\n").config();
    assert_eq!(yaml.redis.unwrap().addr, "r:7");
}

#[test]
fn no_address_of_redis_shows_a_password() {
    for addr in [
        "user:hunter2@127.0.0.1:6379",
        "redis://:hunter2@127.0.0.1:port",
        "redis://:hunter2@127.0.0.1:6379/x",
        "redis://:hunter2@127.0.0.1:6379/99999999999",
        "redis://:hun/ter2@127.0.0.1:6379",
        "http://:hunter2@127.0.0.1:6379",
    ] {
        let problems = Case::default().flag("redis.addr", addr).problems();
        assert!(problems[0].contains("redis.addr"), "{problems:?}");
        assert!(!problems.concat().contains("ter2"), "{problems:?}");
    }
}

#[test]
fn a_variable_that_is_not_read_is_named_with_the_nearest_key() {
    let notices =
        |name: &str, value: &str| Case::default().env(name, value).load().unwrap().notices;
    for (name, near) in [
        ("MILLGATE_LOG_LEVL", "MILLGATE_LOG__LEVEL"),
        ("MILLGATE_LISTN_HTTP", "MILLGATE_LISTEN__HTTP"),
        ("MILLGATE_IDLE_TIMEOUT", "MILLGATE_HEARTBEAT__IDLE_TIMEOUT"),
    ] {
        let said = format!("environment: \"{name}\" is not read, did you mean \"{near}\"?");
        assert_eq!(notices(name, "x"), [said]);
    }
    let said = notices("MILLGATE_COLOUR", "red");
    assert!(said[0].contains("is not read, keys are set by MILLGATE_SECTION__KEY"), "{said:?}");
    assert_eq!(notices("MILLGATE_PORT", "8080").len(), 1, "that is no variable of Kubernetes");
    for (name, value) in [
        ("MILLGATE_PORT", "tcp://10.0.0.1:8080"),
        ("MILLGATE_PORT_8080_TCP", "tcp://10.0.0.1:8080"),
        ("MILLGATE_PORT_8080_TCP_PROTO", "tcp"),
        ("MILLGATE_SERVICE_PORT_HTTP", "8080"),
        ("MILLGATE_METRICS_SERVICE_HOST", "10.0.0.1"),
        ("MILLGATE_METRICS_PORT_80_TCP_PORT", "80"),
        ("MILLGATE_BENCH_API_KEY", "x"),
    ] {
        assert_eq!(notices(name, value), [""; 0], "{name}");
    }
}
