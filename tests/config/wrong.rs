//! What is said when something is wrong.

use crate::case::Case;
use millgate::config::{Config, ConfigError};

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
            "command line: \"listen.websocket\" has \"localhost\", must be address:port or unix:/path, and behind it what is wanted of tls, proxy and mode=0660",
            "command line: \"limits.connections\" is \"1e6\", expected a whole number, 0 or more",
        ]
    );
}

/// Each is a key, a value for it and what is said about that.
fn assert_complaints(cases: &[(&str, &str, &str)]) {
    for (key, value, complaint) in cases {
        let problems = Case::default().flag(key, value).problems();
        assert_eq!(problems, [format!("command line: \"{key}\" {complaint}")]);
    }
}

#[test]
fn a_cluster_is_guarded_or_stays_on_loopback() {
    let case = || Case::default().flag("redis.addr", "r:1").flag("listen.grpc", "0.0.0.0:9001");
    let problems = case().problems();
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(
        problems[0].contains("\"listen.grpc\" is 0.0.0.0:9001, where strangers"),
        "{problems:?}"
    );
    case().flag("cluster.token", "secret").config();
    case().flag("cluster.trust_network", "true").config();
    // Nobody listens there without a cluster.
    Case::default().flag("listen.grpc", "0.0.0.0:9001").config();
}

#[test]
fn bounds_of_a_cluster_are_kept() {
    assert_complaints(&[
        (
            "cluster.previous_token",
            "old",
            "is set and cluster.token is not: without that, calls need no token",
        ),
        ("cluster.advertise", "here", "is \"here\", must be host:port where others reach it"),
        (
            "cluster.advertise",
            "0.0.0.0:9001",
            "is \"0.0.0.0:9001\", must be host:port where others reach it",
        ),
        (
            "cluster.advertise",
            "10.0.0.5:0",
            "is \"10.0.0.5:0\", must be host:port where others reach it",
        ),
        (
            "cluster.advertise",
            "10.0.0.5.7:9",
            "is \"10.0.0.5.7:9\", must be host:port where others reach it",
        ),
        (
            "cluster.advertise",
            "::1:9001",
            "is \"::1:9001\", must be host:port where others reach it",
        ),
        (
            "cluster.advertise",
            "http://a:9",
            "is \"http://a:9\", must be host:port where others reach it",
        ),
        ("cluster.tls_cert", "a.pem", "needs tls_key and tls_ca, and they need it"),
        ("redis.addr", "a:1,b", "is \"a:1,b\", must be host:port"),
        ("redis.addr", "a:1,b:2", "has several addresses, which needs redis.mode"),
        ("redis.timeout", "1ms", "is 1ms, must be at least 10ms"),
        ("ready.redis_grace", "2h", "is 7200s, must be at most 3600s"),
    ]);
    for right in ["10.0.0.5:9001", "[fd00::5]:9001", "node-1.chat.svc:9001", "localhost:9001"] {
        assert_eq!(
            Case::default().flag("cluster.advertise", right).config().cluster.advertise,
            right
        );
    }
    let problems = Case::default().flag("redis.mode", "cluster").flag("redis.db", "1").problems();
    assert_eq!(problems, ["command line: \"redis.db\" is 1, a Redis Cluster has 0 alone"]);
}

#[test]
fn bounds_of_numbers_and_paths_are_kept() {
    assert_complaints(&[
        ("listen.path", "acc", "is \"acc\", must begin with \"/\""),
        ("listen.path", "/a?b", "is \"/a?b\", must be a plain path"),
        ("echo.path", "echo", "is \"echo\", must begin with \"/\""),
        ("echo.path", "/acc", "is \"/acc\", must differ from listen.path"),
        ("listen.websocket", "[\"[::]:1\", \"[::]:1 proxy\"]", "has \"[::]:1 proxy\" twice"),
        (
            "listen.websocket",
            "[::]:1 tls",
            "has tls, which needs listen.tls_cert and listen.tls_key",
        ),
        ("listen.tls_cert", "a.pem", "needs tls_key, and that needs it"),
        ("listen.websocket", "[]", "has 0 entries, must have 1 to 16"),
        (
            "listen.trusted_proxies",
            "[\"10.0.0.0/8\", \"localhost\"]",
            "contains \"localhost\", must have addresses, networks such as \"10.0.0.0/8\", or \"unix\"",
        ),
        ("reactor.threads", "1025", "is 1025, must be from 0 to 1024"),
        ("control.threads", "0", "is 0, must be from 1 to 1024"),
        ("control.keep_alive", "\"0s\"", "is 0s, must be at least 1s"),
        ("control.keep_alive", "\"2h\"", "is 7200s, must be at most 1h"),
        ("heartbeat.idle_timeout", "999ms", "is 999ms, must be at least 1s"),
        ("heartbeat.idle_timeout", "2years", "is too long, must be at most 365days"),
        ("stop.timeout", "2years", "is too long, must be at most 365days"),
        ("stop.grace", "2years", "is too long, must be at most 365days"),
        (
            "stop.other_nodes",
            "[\"https://b.example.org\"]",
            "contains \"https://b.example.org\", must begin with ws:// or wss://",
        ),
        (
            "stop.other_nodes",
            "[\"wss://b.example.org/a\\\"b\"]",
            "contains \"wss://b.example.org/a\\\"b\", must be a URL without spaces and quotes",
        ),
        ("stop.other_nodes", "[\"\"]", "contains \"\", must begin with ws:// or wss://"),
        (
            "cluster.client_url",
            "b.example.org",
            "is \"b.example.org\", must begin with ws:// or wss://",
        ),
        ("dedup.window", "2years", "is too long, must be at most 365days"),
        ("dedup.entries_max", "0", "is 0, must be at least 1"),
        ("limits.message_bytes", "124", "is 124, must be at least 125"),
        ("limits.handshake_bytes", "511", "is 511, must be from 512 to 65536"),
        ("limits.handshake_bytes", "65537", "is 65537, must be from 512 to 65536"),
        ("limits.handshake_timeout", "0s", "is 0s, must be at least 1s"),
        ("limits.user_id_bytes", "0", "is 0, must be from 1 to 255"),
        ("limits.user_id_bytes", "256", "is 256, must be from 1 to 255"),
        ("limits.outbox_bytes", "4095", "is 4095, must be at least 4096"),
    ]);
}

#[test]
fn two_listeners_have_two_addresses() {
    let address = "127.0.0.1:8089";
    let case = Case::default().flag("listen.websocket", address).flag("listen.http", address);
    let complaint = "is 127.0.0.1:8089, must differ from listen.websocket";
    assert_eq!(case.problems(), [format!("command line: \"listen.http\" {complaint}")]);
}

#[test]
fn places_of_the_api_are_bounded_like_those_of_clients() {
    for (value, complaint) in [
        ("127.0.0.1:8080 proxy", "has proxy, which is for listen.websocket"),
        ("127.0.0.1:8080 tls", "has tls, which needs listen.tls_cert and listen.tls_key"),
        ("[\"unix:/a\", \"unix:/a tls\"]", "has \"unix:/a tls\" twice"),
        ("[]", "has 0 entries, must have 1 to 16"),
    ] {
        let problems = Case::default().flag("listen.http", value).problems();
        assert!(problems.iter().any(|problem| problem.ends_with(complaint)), "{problems:?}");
    }
    let places = "[\"127.0.0.1:8080\", \"unix:/run/millgate/api.sock mode=0600\"]";
    Case::default().flag("listen.http", places).config();
    let beyond = "[\"127.0.0.1:8080\", \"10.0.0.1:8080\"]";
    let problems = Case::default().flag("listen.http", beyond).problems();
    assert!(problems[0].contains("strangers could send"), "{problems:?}");
}

#[test]
fn bounds_of_lists_are_kept() {
    let too_many = format!("{:?}", (1..=4097).collect::<Vec<u32>>());
    assert_complaints(&[
        ("apps.ids", "[]", "has 0 entries, must have 1 to 4096"),
        ("apps.ids", &too_many, "has 4097 entries, must have 1 to 4096"),
        ("apps.ids", "[1, 0]", "contains 0, which stands for no app"),
        ("apps.ids", "[5, 6, 5]", "contains 5 twice"),
    ]);
}

#[test]
fn bounds_of_texts_are_kept() {
    assert_complaints(&[
        ("page.websocket_url", "http://x", "is \"http://x\", must begin with ws:// or wss://"),
        ("page.http_url", "https://", "is \"https://\", must begin with http:// or https://"),
        (
            "page.http_url",
            "http://a b",
            "is \"http://a b\", must be a URL without spaces and quotes",
        ),
        ("log.level", "inof", "has \"inof\", must be one of error, warn, info, debug, trace, off"),
        ("log.level", "", "has \"\", must be one of error, warn, info, debug, trace, off"),
        ("redis.addr", "redis", "is \"redis\", must be host:port"),
        ("redis.addr", ":6379", "is \":6379\", must be host:port"),
    ]);
    let [problem] = &Case::default().flag("log.level", "millgate=loud").problems()[..] else {
        panic!("one problem");
    };
    assert!(problem.starts_with("command line: \"log.level\" is \"millgate=loud\": "), "{problem}");
}

#[test]
fn the_edges_of_the_bounds_are_inside() {
    let cases = [
        ("reactor.threads", "1024"),
        ("heartbeat.idle_timeout", "1s"),
        ("stop.timeout", "0s"),
        ("stop.other_nodes", "[\"wss://b.example.org/acc\", \"ws://c:8089/acc\"]"),
        ("limits.message_bytes", "125"),
        ("limits.user_id_bytes", "255"),
        ("limits.outbox_bytes", "4096"),
        ("echo.path", "/echo"),
        ("log.level", "off"),
        ("log.level", "WARN,millgate=trace"),
        ("page.websocket_url", "wss://example.org/acc"),
    ];
    for (key, value) in cases {
        assert!(Case::default().flag(key, value).load().is_ok(), "{key} = {value}");
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
    assert!(error.to_string().contains(": cannot be read: Is a directory"), "{error}");
    let path = directory.path().join("latin.toml");
    std::fs::write(&path, b"# \xe9t\xe9\n").unwrap();
    let error = Config::load_with(Some(&path), [], &[]).unwrap_err();
    assert!(error.to_string().ends_with("latin.toml: is not UTF-8 text"), "{error}");
}

#[test]
fn a_syntax_error_has_line_and_column_but_not_the_line() {
    let [problem] = &Case::toml("[redis]\npassword = \"hunter2\n").problems()[..] else {
        panic!("one problem");
    };
    assert!(problem.starts_with("x.toml:2:"), "{problem}");
    assert!(!problem.contains("hunter2") && !problem.contains('\n'), "{problem}");
    let [problem] = &Case::toml("[log]\nlevel = \"a\"\nlevel = \"b\"\n").problems()[..] else {
        panic!("one problem");
    };
    assert!(problem.contains("duplicate key"), "{problem}");
}

/// It has to fit into the reason of a close frame.
#[test]
fn the_url_of_another_node_is_short() {
    let url = |bytes: usize| format!("wss://{}", "b".repeat(bytes - 6));
    let of =
        |bytes: usize| Case::default().flag("stop.other_nodes", &format!("[{:?}]", url(bytes)));
    assert_eq!(of(79).config().stop.other_nodes, [url(79)]);
    let [problem] = &of(80).problems()[..] else { panic!("one problem") };
    assert!(problem.ends_with("must be of at most 79 bytes"), "{problem}");
}
