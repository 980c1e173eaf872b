//! The reference's app.yaml.

use crate::case::Case;
use millgate::config::{Config, Redis};

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
        expected.redis = Some(Redis { pool_size: 30, min_idle_conns: 30, ..Redis::default() });
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
        .flag("auth.open_api", "true")
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
        [
            "app.yaml: app.httpUrl is not used, the page asks where it came from; list the page's own origin in auth.allowed_origins to change that"
        ],
        "listen.http was set by hand"
    );
}

#[test]
fn every_key_of_the_reference_may_be_absent() {
    for text in ["", "app:\n", "app: {}\nredis:\n", "app:\n  httpPort:\n  logFile: \"\"\n"] {
        let loaded = Case::file("app.yaml", text).load().unwrap();
        assert_eq!(loaded.config, Config::default(), "{text:?}");
    }
    let config = Case::file("app.yaml", "redis:\n  addr: r:1\n").config();
    assert_eq!(config.redis, Some(Redis { addr: "r:1".into(), ..Redis::default() }));
}

/// The reference reads its own keys and looks at no others.
#[test]
fn keys_that_the_reference_does_not_know_are_ignored_with_one_remark() {
    let text = "debug: true\napp:\n  httpPort: 81\n  htpPort: 1\n  cors: [a, {b: c}]\n  mysql:\n    dsn: x\n\
                ap: {}\nlisten:\n  http: x\nservers:\n- a\nredis:\n  adr: r:2\n  addr: r:1\n  username: null\n";
    let loaded = Case::file("app.yaml", text).flag("listen.http", "127.0.0.1:1").load().unwrap();
    assert_eq!(loaded.config.redis.unwrap().addr, "r:1");
    assert_eq!(loaded.notices, [""; 0]);
    assert_eq!(
        loaded.warnings,
        ["app.yaml: unknown keys are ignored: \"ap\" (did you mean \"app\"?), \"app.cors\", \
          \"app.htpPort\" (did you mean \"app.httpPort\"?), \"app.mysql\", \"debug\", \"listen\", \
          \"redis.adr\" (did you mean \"redis.addr\"?), \"redis.username\", \"servers\""]
    );
    let many: String = (10..40).map(|n| format!("k{n}: {n}\n")).collect();
    let notices = Case::file("app.yaml", &many).load().unwrap().warnings;
    assert_eq!(notices.len(), 1);
    assert!(notices[0].ends_with("\"k29\", and 10 more"), "{notices:?}");
}

#[test]
fn mistakes_in_the_file_of_the_reference_are_named_as_they_stand_there() {
    let text = "app:\n  rpcPort: many\n  webSocketUrl: ws://a/b\n  webSocketPort: 70000\n\
                redis:\n  poolSize: big\n  addr: here\n";
    let problems = Case::file("app.yaml", text).problems();
    assert_eq!(
        problems,
        [
            "app.yaml: \"app.rpcPort\" is \"many\", expected a port from 0 to 65535",
            "app.yaml: \"app.webSocketPort\" is \"70000\", expected a port from 0 to 65535",
            "app.yaml: \"app.webSocketUrl\" is \"ws://a/b\", expected host:port",
            "app.yaml: \"redis.poolSize\" is \"big\", expected a whole number, 0 or more",
            "app.yaml: \"redis.addr\" is \"here\", must be host:port",
        ]
    );
    for text in ["app: [1]\n", "app:\n\tx: 1\n", "redis:\n  password: \"hunter2\n", "- a\n"] {
        let problems = Case::file("app.yaml", text).problems();
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].starts_with("app.yaml:"), "{problems:?}");
        assert!(!problems[0].contains("hunter2") && !problems[0].contains('\n'), "{problems:?}");
    }
    let problems = Case::file("app.yaml", "redis:\n  password: [a]\n").problems();
    assert_eq!(problems, ["app.yaml:2:13: expected string scalar"]);
}
