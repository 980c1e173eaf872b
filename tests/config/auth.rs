//! `[auth]`: keys, tokens, origins, and the doors that they guard.

use crate::case::Case;
use millgate::config::Jwt;
use std::path::PathBuf;
use std::time::Duration;

const HASH: &str = "00ff00000000000000000000000000000000000000000000000000000000cafe";

fn secret() -> String {
    "x".repeat(32)
}

#[test]
fn a_section_with_a_dot_is_set_from_everywhere() {
    let text =
        "[auth]\nopen_api = true\n[auth.jwt]\nissuer = \"a\"\naudience = \"b\"\nleeway = \"5s\"\n";
    let config = Case::toml(text)
        .env("MILLGATE_AUTH__JWT__SECRET", &secret())
        .env("MILLGATE_AUTH__JWT__ISSUER", "c")
        .flag("auth.jwt.jwks", "/etc/keys.json")
        .flag("auth.jwt.algorithms", r#"["HS256"]"#)
        .config();
    assert!(config.auth.open_api);
    let Jwt { secret: given, issuer, audience, jwks, algorithms, leeway, .. } =
        config.auth.jwt.unwrap();
    assert_eq!((given.reveal(), &*issuer, &*audience), (&*secret(), "c", "b"));
    assert_eq!((jwks, algorithms), (PathBuf::from("/etc/keys.json"), vec!["HS256".to_owned()]));
    assert_eq!(leeway, Duration::from_secs(5));
}

#[test]
fn misspelt_names_in_it_are_found() {
    let text = "[auth.jtw]\nsecret = \"a\"\n[auth.jwt]\nsecrt = \"b\"\n[http]\nallowed_origins = []\n[auth]\nkey = []\n";
    let problems =
        Case::toml(text).env("MILLGATE_AUTH__JWT__SECRT", "c").flag("auth.secret", "d").problems();
    assert_eq!(
        problems,
        [
            "environment: unknown key \"MILLGATE_AUTH__JWT__SECRT\", did you mean \"MILLGATE_AUTH__JWT__SECRET\"?",
            "command line: unknown key \"auth.secret\", did you mean \"auth.jwt.secret\"?",
            "x.toml: unknown section \"auth.jtw\", did you mean \"auth.jwt\"?",
            "x.toml: unknown key \"auth.jwt.secrt\", did you mean \"auth.jwt.secret\"?",
            "x.toml: unknown key \"auth.key\", did you mean \"auth.keys\"?",
            "x.toml: unknown key \"http.allowed_origins\", did you mean \"auth.allowed_origins\"?",
        ]
    );
    let problems = Case::toml("[auth]\njwt = true\n").problems();
    assert_eq!(problems, ["x.toml: \"auth.jwt\" is a section, write [auth.jwt]"]);
}

#[test]
fn an_empty_section_wants_tokens_all_the_same() {
    let problems = Case::toml("[auth.jwt]\n").problems();
    assert_eq!(
        problems,
        ["\"auth.jwt.secret\" is empty, and so are public_key and jwks: one of them is needed"]
    );
    assert!(Case::toml("[redis]\n").config().redis.is_some(), "as for any other section");
}

#[test]
fn a_secret_is_long_and_never_shown() {
    let case = || Case::default().env("MILLGATE_AUTH__JWT__SECRET", "hunter2");
    let problems = case().problems();
    assert_eq!(
        problems,
        ["environment: \"MILLGATE_AUTH__JWT__SECRET\" is too short, must have at least 32 bytes"]
    );
    let problems = Case::toml("[auth.jwt]\nprevious_secret = 77777777\n").problems();
    assert!(problems[0].contains("is a value not shown here, expected a text"), "{problems:?}");
    assert!(!problems.concat().contains("7777"), "{problems:?}");
    let config = Case::default().flag("auth.jwt.secret", &secret()).config();
    assert!(!format!("{config:?}").contains(&secret()));
}

#[test]
fn algorithms_agree_with_the_keys() {
    let complaint = |flags: &[(&str, &str)]| {
        let case = flags.iter().fold(Case::default(), |case, (key, value)| case.flag(key, value));
        case.problems().join("\n")
    };
    let with_secret = ("auth.jwt.secret", &*secret());
    let with_public = ("auth.jwt.public_key", "/etc/key.pem");
    for (key, name, said) in [
        (with_secret, "none", "contains \"none\", must have some of HS256"),
        (with_secret, "hs256", "contains \"hs256\", must have some of HS256"),
        (with_secret, "PS256", "contains \"PS256\", must have some of HS256"),
        (with_secret, "RS256", "contains \"RS256\", which needs auth.jwt.public_key"),
        (with_public, "HS256", "contains \"HS256\", which needs auth.jwt.secret"),
    ] {
        let problems = complaint(&[key, ("auth.jwt.algorithms", &format!("[\"{name}\"]"))]);
        assert!(problems.contains(said), "{name}: {problems}");
    }
    let earlier = complaint(&[with_public, ("auth.jwt.previous_secret", &secret())]);
    assert!(earlier.contains("\"auth.jwt.previous_secret\" needs a secret"), "{earlier}");
    let earlier = complaint(&[with_secret, ("auth.jwt.previous_public_key", "/x")]);
    assert!(earlier.contains("\"auth.jwt.previous_public_key\" needs a public_key"), "{earlier}");
    let late = complaint(&[with_secret, ("auth.jwt.leeway", "11min")]);
    assert!(late.contains("\"auth.jwt.leeway\" is 660s, must be at most 10min"), "{late}");
}

#[test]
fn what_is_wrong_with_a_key_is_said_without_the_key() {
    let good = format!("a:read:{HASH}");
    for (entries, said) in [
        (vec!["mg_hunter2".to_owned()], "has a wrong entry 1: it must be NAME:SCOPES:HASH"),
        (
            vec![good.clone(), "b:read:mg_hunter2".into()],
            "has a wrong entry 2: it must have a hash",
        ),
        (
            vec![good.clone(), format!("b:hunter2:{HASH}")],
            "has a wrong entry 2: it must have scopes",
        ),
        (vec![good.clone(), good.clone()], "has two entries with the name \"a\""),
        (vec![good.clone(); 65], "has 65 entries, must have at most 64"),
    ] {
        let problems = Case::default().flag("auth.keys", &format!("{entries:?}")).problems();
        let all = problems.join("\n");
        assert!(all.contains(said) && !all.contains("hunter2"), "{all}");
    }
    let problems = Case::default().flag("auth.keys", "hunter2").problems();
    assert!(
        problems[0].contains("is a value not shown here, expected a list of texts"),
        "{problems:?}"
    );
    assert_eq!(
        Case::default().flag("auth.keys", &format!("[\"{good}\"]")).config().auth.keys,
        [good]
    );
}

#[test]
fn an_api_beyond_loopback_has_keys() {
    let open = || Case::default().flag("listen.http", "0.0.0.0:8080");
    let [problem] = &open().problems()[..] else { panic!("one problem") };
    assert!(
        problem.starts_with(
            "command line: \"listen.http\" is 0.0.0.0:8080, where strangers could send"
        ),
        "{problem}"
    );
    assert!(problem.contains("auth.keys") && problem.contains("auth.open_api"), "{problem}");
    open().flag("auth.open_api", "true").config();
    open().flag("auth.keys", &format!("[\"a:read:{HASH}\"]")).config();
    Case::default().flag("listen.http", "[::1]:8080").config();
}

#[test]
fn keys_are_worth_something_in_a_cluster() {
    let case = || {
        let keys = format!("[\"a:read:{HASH}\"]");
        Case::default().flag("redis.addr", "r:1").flag("auth.keys", &keys)
    };
    let [problem] = &case().problems()[..] else { panic!("one problem") };
    assert!(
        problem.contains("\"cluster.token\" is empty, so that gRPC takes messages"),
        "{problem}"
    );
    case().flag("cluster.token", "t").config();
    case().flag("cluster.trust_network", "true").config();
}

#[test]
fn origins_are_exact_or_patterns_or_refused() {
    for origin in ["*", "null", "https://a/", "https://a:443", "https://*", "https://a.*.b", "a"] {
        let value = format!("[\"https://ok.example\", \"{origin}\"]");
        let [problem] = &Case::default().flag("auth.allowed_origins", &value).problems()[..] else {
            panic!("one problem");
        };
        let said = format!("\"auth.allowed_origins\" contains \"{origin}\", must have origins");
        assert!(problem.contains(&said), "{problem}");
    }
    let good = r#"["https://a.example", "https://*.a.example", "http://localhost:*"]"#;
    Case::default().flag("auth.allowed_origins", good).config();
    let many: Vec<_> = (0..257).map(|n| format!("https://a{n}")).collect();
    let problems = Case::default().flag("auth.allowed_origins", &format!("{many:?}")).problems();
    assert!(problems[0].ends_with("has 257 entries, must have at most 256"), "{problems:?}");
    let problems = Case::toml("[auth]\nallowed_origins = \"https://a\"\n").problems();
    assert_eq!(
        problems,
        [
            "x.toml: \"auth.allowed_origins\" is \"https://a\", expected a list of texts such as [\"a\", \"b\"]"
        ]
    );
}
