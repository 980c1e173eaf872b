//! Every command once against a real gateway, 10,000 connections each, and
//! every result against the schema. Nothing here looks at a time.

#![allow(missing_docs, clippy::unwrap_used, reason = "a test that cannot go on may panic")]

use millgate::config::Config;
use millgate::gateway::Gateway;
use millgate::logging::DroppedLines;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

#[path = "agents/agent.rs"]
mod agent;

use agent::Agent;

const CONNECTIONS: &str = "10k";

/// A gateway in this process, which therefore is the server's process.
struct Lab {
    gateway: Gateway,
    folder: tempfile::TempDir,
}

impl Lab {
    fn start() -> Self {
        Self::start_with(|_, _| {})
    }

    fn start_with(change: impl FnOnce(&mut Config, &tempfile::TempDir)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut config = Config::default();
        config.listen.websocket = "127.0.0.1:0".parse().unwrap();
        config.listen.http = "127.0.0.1:0".parse().unwrap();
        config.echo.path = "/echo".into();
        config.announce.exact_up_to = 0;
        config.limits.handshake_timeout = std::time::Duration::from_secs(1);
        config.reactor.threads = 2;
        change(&mut config, &folder);
        let gateway = Gateway::start(config, DroppedLines::default()).unwrap();
        Self { gateway, folder }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs a command aimed at this gateway; returns its result file.
    fn run(&self, path: &str, arguments: &[&str]) -> Value {
        let json = self.file("result.json");
        let html = self.file("result.html");
        let url = format!("ws://{}{path}", self.gateway.websocket_addr());
        let pid = std::process::id().to_string();
        let mut command = bench();
        command.args(arguments).args(["--url", &url, "-c", CONNECTIONS, "--server-pid", &pid]);
        command.args(["--no-tui", "--warmup", "200ms"]);
        command.arg("--json").arg(&json).arg("--html").arg(&html);
        let output = command.output().unwrap();
        let code = output.status.code();
        // 106: the generator was the limit, which is a matter of this machine's load.
        assert!(matches!(code, Some(0 | 106)), "{arguments:?}: {}", text_of(&output));
        let page = std::fs::read_to_string(html).unwrap();
        assert!(page.contains("<svg") && page.ends_with("</html>"), "{arguments:?}");
        let result = read(&json);
        let flaws: Vec<String> =
            validator().iter_errors(&result).map(|flaw| flaw.to_string()).collect();
        assert!(flaws.is_empty(), "{arguments:?}: {flaws:?}");
        assert_clean(&result);
        result
    }

    fn http(&self) -> String {
        format!("http://{}", self.gateway.http_addr())
    }

    fn stop(self) {
        self.gateway.stop();
    }
}

fn bench() -> Command {
    Command::new(env!("CARGO_BIN_EXE_millgate-bench"))
}

fn text_of(output: &Output) -> String {
    let parts = [&output.stderr, &output.stdout].map(|part| String::from_utf8_lossy(part));
    parts.join("\n")
}

fn read(path: &Path) -> Value {
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn validator() -> jsonschema::Validator {
    let schema = Path::new(env!("CARGO_MANIFEST_DIR")).join("schema/result.schema.json");
    jsonschema::validator_for(&read(&schema)).unwrap()
}

/// Nothing lost, doubled, misdelivered or changed on the way.
fn assert_clean(result: &Value) {
    for field in ["lost", "duplicates", "out_of_order", "misdelivered", "corrupted"] {
        assert_eq!(result["messages"][field], 0, "{field}: {}", result["messages"]);
    }
    assert_eq!(result["connections"]["lost"], 0, "{}", result["connections"]);
}

#[test]
fn hold_keeps_everybody() {
    let lab = Lab::start();
    let result = lab.run("/acc", &["hold", "--login", "--heartbeat", "1s", "-d", "1s"]);
    assert_eq!(result["connections"]["peak"], 10_000);
    assert_eq!(result["connections"]["logged_in"], 10_000);
    let staged = lab.run("/acc", &["hold", "-s", "200ms:2k", "-s", "1s:10k", "-d", "100ms"]);
    assert_eq!(staged["connections"]["opened"], 10_000);
    lab.stop();
}

#[test]
fn echo_checks_every_answer() {
    let lab = Lab::start();
    let closed = lab.run("/echo", &["echo", "-A", "100", "-d", "500ms", "--size", "200"]);
    assert!(closed["messages"]["received"].as_u64() > Some(100));
    let open = lab.run("/acc", &["echo", "--request", "ping", "-R", "1000", "-d", "1s"]);
    assert_eq!(open["loads"][0]["offered_per_s"], 1_000.0);
    assert_eq!(open["messages"]["sent"], open["messages"]["received"]);
    lab.stop();
}

#[test]
fn chat_mixes_what_users_do() {
    let lab = Lab::start();
    let result = lab.run("/acc", &["chat", "--http", &lab.http(), "-R", "500", "-d", "1s"]);
    assert_eq!(result["loads"].as_array().unwrap().len(), 2);
    assert!(result["messages"]["sent"].as_u64() > Some(100));
    assert_eq!(result["messages"]["sent"], result["messages"]["received"]);
    lab.stop();
}

#[test]
fn fanout_reaches_everybody_once() {
    let lab = Lab::start();
    let result =
        lab.run("/acc", &["fanout", "--http", &lab.http(), "--rounds", "2", "-d", "200ms"]);
    for round in result["fanout"]["rounds"].as_array().unwrap() {
        assert_eq!(round["receivers"], 10_000);
        assert_eq!(round["received"], 10_000);
    }
    lab.stop();
}

#[test]
fn storm_brings_everybody_back() {
    let lab = Lab::start();
    for policy in ["immediate", "exponential:50ms..200ms"] {
        let result = lab.run("/acc", &["storm", "--login", "--policy", policy, "-d", "200ms"]);
        assert_eq!(result["storm"]["dropped"], 5_000);
        assert_eq!(result["storm"]["returned"], 5_000);
        assert_eq!(result["storm"]["survivors_lost"], 0);
    }
    lab.stop();
}

#[test]
fn hostile_clients_are_told_apart() {
    let lab = Lab::start();
    let http = lab.http();
    let result = lab.run("/acc", &["hostile", "--http", &http, "-d", "3s", "--messages", "4"]);
    let kinds = result["hostile"]["kinds"].as_array().unwrap();
    assert_eq!(kinds.len(), 5);
    assert!(kinds.iter().all(|kind| kind["clients"] == 200));
    let loris = kinds.iter().find(|kind| kind["kind"] == "slow-loris").unwrap();
    assert_eq!(loris["closed_by_server"], 200, "their handshakes took too long");
    assert_eq!(result["hostile"]["good_lost"], 0);
    lab.stop();
}

#[test]
fn plan_answers_for_another_machine() {
    let lab = Lab::start();
    let http = lab.http();
    let arguments = ["plan", "--http", &http, "--level", "100ms", "--machine", "64GiB:16"];
    let result = lab.run("/acc", &arguments);
    let plan = &result["plan"];
    assert_eq!(plan["plateaus"].as_array().unwrap().len(), 9);
    assert!(plan["answers"][0]["connections"].as_u64() > Some(0), "{plan}");
    assert!(plan["memory"]["slab"]["per_connection"].as_f64() > Some(0.0), "{plan}");
    lab.stop();
}

/// Two generators beside each other: one sends to everybody, each counts its own receipts.
#[test]
fn agents_share_what_one_generator_would_do() {
    let lab = Lab::start();
    let http = lab.http();
    let both = [Agent::start(None), Agent::start(None)];
    let agents = format!("{},{}", both[0].address, both[1].address);
    let fanout = ["fanout", "--http", &http, "--rounds", "2", "-d", "200ms", "--agents", &agents];
    let result = lab.run("/acc", &fanout);
    let rounds = result["fanout"]["rounds"].as_array().unwrap();
    assert_eq!(rounds.len(), 2);
    for round in rounds {
        assert_eq!((&round["receivers"], &round["received"]), (&json!(10_000), &json!(10_000)));
    }
    assert_eq!(result["fanout"]["delays"]["count"], 20_000);
    let chat = ["chat", "--http", &http, "-R", "500", "-d", "1s", "--agents", &agents];
    let result = lab.run("/acc", &chat);
    assert_eq!(result["loads"].as_array().unwrap().len(), 2);
    assert_eq!(result["messages"]["sent"], result["messages"]["received"]);
    let names = result["figures"].as_array().unwrap().iter().map(|figure| &figure["name"]);
    let apart = names.filter(|name| name.as_str().unwrap().contains('@')).count();
    assert_eq!(apart, 0, "every figure of theirs can be merged: {}", result["figures"]);
    let sampled = |sample: &Value| sample["server"]["cpu_s"].is_number();
    assert!(result["timeline"].as_array().unwrap().iter().any(sampled));
    lab.stop();
}

#[test]
fn results_are_compared_and_drawn_again() {
    let lab = Lab::start();
    let arguments = ["echo", "-A", "10", "-d", "500ms", "--slo", "loss<1%", "-H", "X-Lab: 1"];
    lab.run("/echo", &arguments);
    let file = lab.file("result.json");
    let diff = bench().arg("diff").arg(&file).arg(&file).output().unwrap();
    assert_eq!(diff.status.code(), Some(0), "{}", text_of(&diff));
    let again = bench().arg("report").arg(&file).args(["--output-format", "csv"]).output().unwrap();
    assert!(text_of(&again).lines().count() > 3, "{}", text_of(&again));
    lab.stop();
}

#[test]
fn what_cannot_be_is_said_in_one_line() {
    let nobody = ["hold", "--url", "ws://127.0.0.1:9/", "-c", "0x"];
    let cases: [(&[&str], i32); 6] = [
        (&nobody, 104),
        (&["echo", "--size", "5"], 104),
        (&["plan"], 104),
        (&["hold", "--slo", "p99"], 104),
        (&["diff", "/no/such/file", "/no/such/file"], 104),
        (&["hold", "-c", "10", "--server-pid", "4294967295"], 1),
    ];
    for (arguments, code) in cases {
        let output = bench().args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", text_of(&output));
        assert!(!output.stderr.is_empty(), "{arguments:?}");
    }
}

#[test]
fn an_objective_that_is_missed_has_a_code_of_its_own() {
    let lab = Lab::start();
    let url = format!("ws://{}/echo", lab.gateway.websocket_addr());
    // One connection in a closed loop: the generator cannot be what is slow.
    let arguments = ["echo", "-c", "1", "-t", "1", "-d", "500ms", "--slo", "rate>100m"];
    let output = bench().args(arguments).args(["--url", &url]).output().unwrap();
    assert_eq!(output.status.code(), Some(99), "{}", text_of(&output));
    lab.stop();
}

#[test]
fn a_swarm_speaks_tls() {
    let lab = Lab::start_with(|config, folder| {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let [cert, key] = ["cert.pem", "key.pem"].map(|name| folder.path().join(name));
        std::fs::write(&cert, made.cert.pem()).unwrap();
        std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
        config.listen.websocket = "127.0.0.1:0 tls".parse().unwrap();
        (config.listen.tls_cert, config.listen.tls_key) = (cert, key);
        config.limits.handshake_timeout = std::time::Duration::from_secs(10);
    });
    let url = format!("wss://{}/echo", lab.gateway.websocket_addr());
    let json = lab.file("result.json");
    let arguments = ["echo", "-c", "200", "-R", "500", "-t", "2", "-d", "1s", "--size", "20000"];
    let output = bench()
        .args(arguments)
        .args(["--url", &url, "--no-tui", "--warmup", "200ms", "--json"])
        .arg(&json)
        .output()
        .unwrap();
    assert!(matches!(output.status.code(), Some(0 | 106)), "{}", text_of(&output));
    assert_clean(&read(&json));
    lab.stop();
}
