//! Configuration: every source, their order, and what is said when they are wrong.

use millgate::config::{Config, ConfigError, Loaded, LogFormat, LogRotation, Redis, Secret};
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

const SHIPPED: &str = include_str!("../config/millgate.toml");

/// The sources of one case.
#[derive(Default)]
struct Case {
    file: Option<(&'static str, String)>,
    environment: Vec<(OsString, OsString)>,
    flags: Vec<(String, String)>,
}

impl Case {
    fn file(name: &'static str, text: &str) -> Self {
        Self {
            file: Some((name, text.to_owned())),
            ..Self::default()
        }
    }

    fn toml(text: &str) -> Self {
        Self::file("x.toml", text)
    }

    fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    fn flag(mut self, key: &str, value: &str) -> Self {
        self.flags.push((key.to_owned(), value.to_owned()));
        self
    }

    /// Loads it; the directory is cut from messages, so that a file is called by its name.
    fn load(self) -> Result<Loaded, Vec<String>> {
        let directory = tempfile::tempdir().unwrap();
        let path = self.file.map(|(name, text)| {
            let path = directory.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        });
        let result = Config::load_with(path.as_deref(), self.environment, &self.flags);
        let prefix = format!("{}/", directory.path().display());
        let cut = |lines: &[String]| lines.iter().map(|l| l.replace(&prefix, "")).collect();
        match result {
            Ok(loaded) => Ok(Loaded {
                notices: cut(&loaded.notices),
                ..loaded
            }),
            Err(error) => Err(cut(error.problems())),
        }
    }

    fn config(self) -> Config {
        self.load().unwrap().config
    }

    fn problems(self) -> Vec<String> {
        self.load().unwrap_err()
    }
}

#[test]
fn nothing_said_means_the_defaults() {
    let loaded = Case::default().load().unwrap();
    assert_eq!(
        loaded,
        Loaded {
            config: Config::default(),
            notices: vec![]
        }
    );
}

#[test]
fn the_shipped_file_is_the_defaults() {
    assert_eq!(Case::toml(SHIPPED).config(), Config::default());
}

#[test]
fn the_shipped_file_has_every_key_with_one_comment_line() {
    let complete = Config {
        redis: Some(Redis::default()),
        ..Config::default()
    };
    let sections = serde_json::to_value(complete).unwrap();
    // The redis section is there in comments.
    let lines: Vec<_> = SHIPPED
        .lines()
        .map(|l| l.strip_prefix("# ").unwrap_or(l))
        .collect();
    let mut keys = 0;
    for (section, entries) in sections.as_object().unwrap() {
        let heading = format!("[{section}]");
        let begin = lines.iter().position(|l| *l == heading).expect(&heading) + 1;
        let end = lines[begin..]
            .iter()
            .position(|l| l.starts_with('['))
            .map(|n| begin + n);
        let body = &lines[begin..end.unwrap_or(lines.len())];
        for key in entries.as_object().unwrap().keys() {
            let at = body
                .iter()
                .position(|l| l.starts_with(&format!("{key} = ")))
                .expect(key);
            // Comments of this file lose their mark above, those inside [redis] keep one.
            assert!(
                at > 0 && !body[at - 1].contains(" = "),
                "{section}.{key} has no comment"
            );
            assert!(
                at < 2 || body[at - 2].contains(" = "),
                "{section}.{key} has two comments"
            );
            keys += 1;
        }
    }
    let assignments = lines.iter().filter(|l| {
        l.split_once(" = ")
            .is_some_and(|(key, _)| key.bytes().all(|b| b == b'_' || b.is_ascii_lowercase()))
    });
    assert_eq!(assignments.count(), keys, "a key that does not exist");
}

#[test]
fn the_commented_redis_section_is_its_default() {
    let (above, redis) = SHIPPED.split_once("# [redis]").unwrap();
    let redis: Vec<_> = redis
        .lines()
        .map(|l| l.strip_prefix("# ").unwrap_or(l))
        .collect();
    let config = Case::toml(&format!("{above}[redis]\n{}", redis.join("\n"))).config();
    assert_eq!(config.redis, Some(Redis::default()));
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
    assert_eq!(
        config.limits.message_bytes,
        Config::default().limits.message_bytes
    );
    let config = case().flag("limits.connections", "500").config();
    assert_eq!(config.limits.connections, 500, "the last flag wins");
}

#[test]
fn text_becomes_a_value_of_the_right_type() {
    let config = Case::default()
        .env("MILLGATE_APPS__IDS", "[7, 8]")
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
    assert_eq!(
        loaded,
        Loaded {
            config: Config::default(),
            notices: vec![]
        }
    );
}

#[test]
fn a_variable_with_one_underscore_too_few_is_noticed() {
    let loaded = Case::default()
        .env("MILLGATE_LOG_LEVEL", "debug")
        .load()
        .unwrap();
    assert_eq!(loaded.config.log.level, "info");
    assert_eq!(
        loaded.notices,
        ["environment: \"MILLGATE_LOG_LEVEL\" is not read; it is \"MILLGATE_LOG__LEVEL\""]
    );
}

#[test]
fn unknown_names_are_named_with_their_origin_and_the_nearest() {
    let problems =
        Case::toml("threads = 1\nlog = 3\n[listen]\nwebsoket = \"\"\n[lisen]\n[zebra]\n")
            .env("MILLGATE_LISTEN__HTP", "x")
            .env("MILLGATE__LISTEN__HTTP", "x")
            .flag("heartbeat.timeout", "x")
            .flag("idle_timeout", "1s")
            .flag("zebra.stripes", "1")
            .problems();
    assert_eq!(
        problems,
        [
            "environment: unknown key \"MILLGATE_LISTEN__HTP\", did you mean \"MILLGATE_LISTEN__HTTP\"?",
            "environment: unknown key \"MILLGATE__LISTEN__HTTP\", did you mean \"MILLGATE_LISTEN__HTTP\"?",
            "command line: unknown key \"heartbeat.timeout\", did you mean \"heartbeat.idle_timeout\"?",
            "command line: unknown key \"idle_timeout\", did you mean \"heartbeat.idle_timeout\"?",
            "command line: unknown key \"zebra.stripes\"",
            "x.toml: unknown section \"lisen\", did you mean \"listen\"?",
            "x.toml: unknown key \"listen.websoket\", did you mean \"listen.websocket\"?",
            "x.toml: \"log\" is a section, write [log]",
            "x.toml: unknown key \"threads\", did you mean \"control.threads\"?",
            "x.toml: unknown section \"zebra\"",
        ]
    );
}

#[test]
fn wrong_types_name_key_value_and_expectation() {
    let text = "[reactor]\nthreads = \"two\"\npin = 1\n[listen]\nhttp = 8080\ngrpc.port = 3\n\
                [heartbeat]\nidle_timeout = 360\n[apps]\nids = [1, \"b\"]\n[log]\nformat = \"xml\"\n\
                [control]\nthreads = -1\n[redis]\npassword = 12345\ndb = 4294967296\naddr = 1.5\n";
    let problems = Case::toml(text)
        .env("MILLGATE_STOP__TIMEOUT", "soon")
        .flag("listen.websocket", "localhost")
        .flag("limits.connections", "1e6")
        .problems();
    assert_eq!(
        problems,
        [
            "x.toml: \"apps.ids\" is [1, \"b\"], expected a list of numbers such as [101, 102]",
            "x.toml: \"control.threads\" is -1, expected a whole number, 0 or more",
            "x.toml: \"heartbeat.idle_timeout\" is 360, expected a duration such as 500ms, 10s or 12h",
            "x.toml: \"listen.grpc\" is a section, expected an address and port such as 127.0.0.1:8080",
            "x.toml: \"listen.http\" is 8080, expected an address and port such as 127.0.0.1:8080",
            "x.toml: \"log.format\" is \"xml\", expected human or json",
            "x.toml: \"reactor.pin\" is 1, expected true or false",
            "x.toml: \"reactor.threads\" is \"two\", expected a whole number, 0 or more",
            "x.toml: \"redis.addr\" is 1.5, expected an address and port such as 127.0.0.1:8080",
            "x.toml: \"redis.db\" is 4294967296, expected at most 4294967295",
            "x.toml: \"redis.password\" is a value not shown here, expected a text",
            "environment: \"MILLGATE_STOP__TIMEOUT\" is \"soon\", expected a duration such as 500ms, 10s or 12h",
            "command line: \"listen.websocket\" is \"localhost\", expected an address and port such as 127.0.0.1:8080",
            "command line: \"limits.connections\" is \"1e6\", expected a whole number, 0 or more",
        ]
    );
}

#[test]
fn every_bound_is_kept() {
    let too_many = format!("{:?}", (1..=4097).collect::<Vec<u32>>());
    let cases = [
        ("listen.path", "acc", "is \"acc\", must begin with \"/\""),
        ("listen.path", "/a?b", "is \"/a?b\", must be a plain path"),
        ("echo.path", "echo", "is \"echo\", must begin with \"/\""),
        (
            "echo.path",
            "/acc",
            "is \"/acc\", must differ from listen.path",
        ),
        (
            "listen.http",
            "0.0.0.0:8089",
            "is 0.0.0.0:8089, must differ from listen.websocket",
        ),
        ("reactor.threads", "1025", "is 1025, must be from 0 to 1024"),
        ("control.threads", "0", "is 0, must be from 1 to 1024"),
        (
            "heartbeat.idle_timeout",
            "999ms",
            "is 999ms, must be at least 1s",
        ),
        (
            "heartbeat.idle_timeout",
            "2years",
            "is too long, must be at most 365days",
        ),
        (
            "stop.timeout",
            "2years",
            "is too long, must be at most 365days",
        ),
        (
            "dedup.window",
            "2years",
            "is too long, must be at most 365days",
        ),
        ("dedup.entries_max", "0", "is 0, must be at least 1"),
        ("apps.ids", "[]", "has 0 entries, must have 1 to 4096"),
        (
            "apps.ids",
            &too_many,
            "has 4097 entries, must have 1 to 4096",
        ),
        ("apps.ids", "[1, 0]", "contains 0, which stands for no app"),
        ("apps.ids", "[5, 6, 5]", "contains 5 twice"),
        (
            "limits.message_bytes",
            "124",
            "is 124, must be at least 125",
        ),
        (
            "limits.handshake_bytes",
            "511",
            "is 511, must be at least 512",
        ),
        (
            "limits.handshake_timeout",
            "0s",
            "is 0ns, must be at least 1s",
        ),
        ("limits.user_id_bytes", "0", "is 0, must be from 1 to 255"),
        (
            "limits.user_id_bytes",
            "256",
            "is 256, must be from 1 to 255",
        ),
        (
            "limits.outbox_bytes",
            "4095",
            "is 4095, must be at least 4096",
        ),
        (
            "page.websocket_url",
            "http://x",
            "is \"http://x\", must begin with ws:// or wss://",
        ),
        (
            "page.http_url",
            "https://",
            "is \"https://\", must begin with http:// or https://",
        ),
        (
            "page.http_url",
            "http://a b",
            "is \"http://a b\", must be a URL without spaces and quotes",
        ),
        (
            "log.level",
            "inof",
            "has \"inof\", must be one of error, warn, info, debug, trace, off",
        ),
        (
            "log.level",
            "",
            "has \"\", must be one of error, warn, info, debug, trace, off",
        ),
        ("redis.addr", "redis", "is \"redis\", must be host:port"),
        ("redis.addr", ":6379", "is \":6379\", must be host:port"),
    ];
    for (key, value, complaint) in cases {
        let problems = Case::default().flag(key, value).problems();
        assert_eq!(problems, [format!("command line: \"{key}\" {complaint}")]);
    }
    let [problem] = &Case::default()
        .flag("log.level", "millgate=loud")
        .problems()[..]
    else {
        panic!("one problem");
    };
    assert!(
        problem.starts_with("command line: \"log.level\" is \"millgate=loud\": "),
        "{problem}"
    );
}

#[test]
fn the_edges_of_the_bounds_are_inside() {
    let cases = [
        ("reactor.threads", "1024"),
        ("heartbeat.idle_timeout", "1s"),
        ("stop.timeout", "0s"),
        ("limits.message_bytes", "125"),
        ("limits.user_id_bytes", "255"),
        ("limits.outbox_bytes", "4096"),
        ("echo.path", "/echo"),
        ("log.level", "off"),
        ("log.level", "WARN,millgate=trace"),
        ("page.websocket_url", "wss://example.org/acc"),
    ];
    for (key, value) in cases {
        assert!(
            Case::default().flag(key, value).load().is_ok(),
            "{key} = {value}"
        );
    }
}

#[test]
fn a_bound_is_reported_where_it_was_broken() {
    let problems = Case::toml("[reactor]\nthreads = 2000\n[limits]\nmessage_bytes = 1\n")
        .env("MILLGATE_LIMITS__MESSAGE_BYTES", "2")
        .problems();
    assert_eq!(
        problems,
        [
            "x.toml: \"reactor.threads\" is 2000, must be from 0 to 1024",
            "environment: \"MILLGATE_LIMITS__MESSAGE_BYTES\" is 2, must be at least 125",
        ]
    );
}

#[test]
fn a_file_that_cannot_be_read_is_one_line() {
    let missing = Config::load_with(Some("/nowhere/x.toml".as_ref()), [], &[]).unwrap_err();
    assert_eq!(
        missing.to_string(),
        "/nowhere/x.toml: cannot be read: No such file or directory (os error 2)"
    );
    let directory = tempfile::tempdir().unwrap();
    let error: ConfigError = Config::load_with(Some(directory.path()), [], &[]).unwrap_err();
    assert!(
        error
            .to_string()
            .contains(": cannot be read: Is a directory"),
        "{error}"
    );
    let path = directory.path().join("latin.toml");
    std::fs::write(&path, b"# \xe9t\xe9\n").unwrap();
    let error = Config::load_with(Some(&path), [], &[]).unwrap_err();
    assert!(
        error.to_string().ends_with("latin.toml: is not UTF-8 text"),
        "{error}"
    );
}

#[test]
fn a_syntax_error_has_line_and_column_but_not_the_line() {
    let [problem] = &Case::toml("[redis]\npassword = \"hunter2\n").problems()[..] else {
        panic!("one problem");
    };
    assert!(problem.starts_with("x.toml:2:"), "{problem}");
    assert!(
        !problem.contains("hunter2") && !problem.contains('\n'),
        "{problem}"
    );
    let [problem] = &Case::toml("[log]\nlevel = \"a\"\nlevel = \"b\"\n").problems()[..] else {
        panic!("one problem");
    };
    assert!(problem.contains("duplicate key"), "{problem}");
}

const APP_YAML: &str = "\
app:
  logFile: log/gin.log
  httpPort: 8080
  webSocketPort: 8089
  rpcPort: 9001
  httpUrl: 127.0.0.1:8080
  webSocketUrl:  127.0.0.1:8089

redis:
  addr: \"127.0.0.1:6379\"
  password: \"\"
  DB: 0
  poolSize: 30
  minIdleConns: 30
";

#[test]
fn the_file_of_the_reference_is_accepted_as_it_is() {
    for name in ["app.yaml", "app.yml"] {
        let loaded = Case::file(name, APP_YAML).load().unwrap();
        let mut expected = Config::default();
        expected.log.file = "log/gin.log".into();
        expected.redis = Some(Redis {
            pool_size: 30,
            min_idle_conns: 30,
            ..Redis::default()
        });
        assert_eq!(loaded.config, expected);
        assert_eq!(
            loaded.notices,
            [
                format!("{name}: the HTTP API stays on 127.0.0.1; set listen.http to open it"),
                format!(
                    "{name}: app.httpUrl: 127.0.0.1:8080 is this machine only, so the page uses the address it came from"
                ),
                format!("{name}: gRPC stays on 127.0.0.1; set listen.grpc to open it"),
                format!(
                    "{name}: app.webSocketUrl: 127.0.0.1:8089 is this machine only, so the page uses the address it came from"
                ),
            ]
        );
    }
}

#[test]
fn ports_addresses_and_passwords_of_the_reference_are_mapped() {
    let text = "app:\n  httpPort: \"81\"\n  webSocketPort: 90\n  httpUrl: chat.example.org\n  \
                websocketurl: chat.example.org:90\nredis:\n  password: 0123\n  db: \"4\"\n";
    let loaded = Case::file("app.yaml", text)
        .env("MILLGATE_LISTEN__PATH", "/ws")
        .flag("listen.http", "0.0.0.0:82")
        .load()
        .unwrap();
    let config = loaded.config;
    assert_eq!(config.listen.http.to_string(), "0.0.0.0:82");
    assert_eq!(config.listen.websocket.to_string(), "0.0.0.0:90");
    assert_eq!(config.page.http_url, "http://chat.example.org");
    assert_eq!(config.page.websocket_url, "ws://chat.example.org:90/ws");
    let redis = config.redis.unwrap();
    assert_eq!((redis.password.reveal(), redis.db), ("0123", 4));
    assert_eq!(
        loaded.notices,
        Vec::<String>::new(),
        "listen.http was set by hand"
    );
}

#[test]
fn every_key_of_the_reference_may_be_absent() {
    for text in [
        "",
        "app:\n",
        "app: {}\nredis:\n",
        "app:\n  httpPort:\n  logFile: \"\"\n",
    ] {
        let loaded = Case::file("app.yaml", text).load().unwrap();
        assert_eq!(loaded.config, Config::default(), "{text:?}");
    }
    let config = Case::file("app.yaml", "redis:\n  addr: r:1\n").config();
    assert_eq!(
        config.redis,
        Some(Redis {
            addr: "r:1".into(),
            ..Redis::default()
        })
    );
}

#[test]
fn mistakes_in_the_file_of_the_reference_are_named_as_they_stand_there() {
    let text = "app:\n  htpPort: 1\n  rpcPort: many\n  webSocketUrl: ws://a/b\n  webSocketPort: 70000\n\
                redis:\n  poolSize: big\n  addr: here\nlisten:\n  http: x\nap: {}\n";
    let problems = Case::file("app.yaml", text).problems();
    assert_eq!(
        problems,
        [
            "app.yaml: unknown section \"ap\", did you mean \"app\"?",
            "app.yaml: unknown key \"app.htpPort\", did you mean \"app.httpPort\"?",
            "app.yaml: \"app.rpcPort\" is \"many\", expected a port from 0 to 65535",
            "app.yaml: \"app.webSocketPort\" is \"70000\", expected a port from 0 to 65535",
            "app.yaml: \"app.webSocketUrl\" is \"ws://a/b\", expected host:port",
            "app.yaml: unknown section \"listen\"",
            "app.yaml: \"redis.poolSize\" is \"big\", expected a whole number, 0 or more",
            "app.yaml: \"redis.addr\" is \"here\", must be host:port",
        ]
    );
    for text in [
        "app: [1]\n",
        "app:\n\tx: 1\n",
        "redis:\n  password: \"hunter2\n",
        "- a\n",
    ] {
        let problems = Case::file("app.yaml", text).problems();
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].starts_with("app.yaml:"), "{problems:?}");
        assert!(
            !problems[0].contains("hunter2") && !problems[0].contains('\n'),
            "{problems:?}"
        );
    }
}

#[test]
fn a_password_is_never_shown() {
    let config = Case::default().flag("redis.password", "hunter2").config();
    assert_eq!(config.redis.as_ref().unwrap().password.reveal(), "hunter2");
    assert!(!format!("{config:?} {config:#?}").contains("hunter2"));
    assert!(!serde_json::to_string(&config).unwrap().contains("hunter2"));
    assert_eq!(
        format!("{:?} {:?}", Secret::from("x"), Secret::default()),
        "\"***\" \"\""
    );
}
