//! Against a gateway as it stands in production: with keys, with tokens, and through its
//! restarts. Nothing here looks at a time.

#![allow(missing_docs, clippy::unwrap_used, reason = "a test that cannot go on may panic")]

use millgate::auth::new_key;
use millgate::clock::Clock;
use millgate::config::{Config, Jwt, Scopes, Secret};
use millgate::gateway::Gateway;
use millgate::logging::DroppedLines;
use serde_json::Value;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;
use tempfile::TempDir;
use tungstenite::protocol::CloseFrame;
use tungstenite::protocol::frame::coding::CloseCode;

const SECRET: &str = "of thirty-two bytes, or of more of them";

/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(60);

fn gateway(change: impl FnOnce(&mut Config)) -> Gateway {
    let mut config = Config::default();
    config.listen.websocket = "127.0.0.1:0".parse().unwrap();
    config.listen.http = "127.0.0.1:0".parse().unwrap();
    config.announce.exact_up_to = 0;
    config.reactor.threads = 2;
    config.stop.timeout = Duration::from_secs(3);
    change(&mut config);
    Gateway::start(config, DroppedLines::default()).unwrap()
}

fn place(gateway: &Gateway) -> String {
    format!("ws://{}/acc", gateway.websocket_addr())
}

/// A generator with this many clients, and the file that its result goes to.
fn bench(folder: &TempDir, url: &str, arguments: &[&str]) -> (Command, PathBuf) {
    let json = folder.path().join("result.json");
    let mut command = Command::new(env!("CARGO_BIN_EXE_millgate-bench"));
    command.args(arguments).args(["--url", url, "--no-tui", "--warmup", "100ms", "-t", "2"]);
    command.arg("--json").arg(&json).stdout(Stdio::piped()).stderr(Stdio::piped());
    (command, json)
}

fn text_of(output: &Output) -> String {
    [&output.stderr, &output.stdout].map(|part| String::from_utf8_lossy(part)).join("\n")
}

fn read(file: &Path) -> Value {
    serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap()
}

fn file(folder: &TempDir, name: &str, text: &str) -> String {
    let path = folder.path().join(name);
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

/// A gateway that wants both, and the file with a key that opens its API.
fn guarded(folder: &TempDir) -> (Gateway, String) {
    let (key, entry) = new_key("lab", Scopes::parse("send").unwrap()).unwrap();
    let gateway = gateway(|config| {
        config.auth.keys = vec![entry.to_string()];
        let (secret, issuer, audience) = (Secret::from(SECRET), "lab".into(), "chat".into());
        config.auth.jwt = Some(Jwt { secret, issuer, audience, ..Jwt::default() });
    });
    (gateway, file(folder, "api-key", &key))
}

#[test]
fn users_show_tokens_and_back_ends_show_keys() {
    let folder = tempfile::tempdir().unwrap();
    let (gateway, key) = guarded(&folder);
    let secret = file(&folder, "secret", SECRET);
    let http = format!("http://{}", gateway.http_addr());
    for at in ["login", "handshake"] {
        let arguments = [
            ["chat", "-c", "200", "-R", "300", "-d", "500ms", "--http", &http].as_slice(),
            &["--api-key-file", &key, "--token-secret-file", &secret, "--token-at", at],
            &["--token-issuer", "lab", "--token-audience", "chat"],
        ]
        .concat();
        let (mut command, json) = bench(&folder, &place(&gateway), &arguments);
        let output = command.output().unwrap();
        assert!(matches!(output.status.code(), Some(0 | 106)), "{at}: {}", text_of(&output));
        let text = std::fs::read_to_string(&json).unwrap();
        assert!(!text.contains(SECRET) && !text.contains("mg_"), "no secret is kept");
        let result = read(&json);
        assert_eq!(result["connections"]["logged_in"], 200, "{at}");
        assert!(result["messages"]["received"].as_u64() > Some(50), "{at}");
    }
    gateway.stop();
}

#[test]
fn who_shows_no_key_is_told_what_to_give() {
    let folder = tempfile::tempdir().unwrap();
    let (gateway, _) = guarded(&folder);
    let http = format!("http://{}", gateway.http_addr());
    let arguments = ["chat", "-c", "5", "-d", "100ms", "--http", &http, "--token-issuer", "lab"];
    let (mut command, _) = bench(&folder, &place(&gateway), &arguments);
    command.env("MILLGATE_BENCH_TOKEN_SECRET", SECRET).arg("--token-audience=chat");
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", text_of(&output));
    assert!(text_of(&output).contains("--api-key-file"), "{}", text_of(&output));
    gateway.stop();
}

/// Starts a generator and waits until all of its users are there.
fn held(folder: &TempDir, gateway: &Gateway) -> (Child, PathBuf) {
    let arguments = ["hold", "--login", "--come-back", "-c", "500", "-d", "2s"];
    let (mut command, json) = bench(folder, &place(gateway), &arguments);
    let child = command.spawn().unwrap();
    until_there_are(500, gateway);
    (child, json)
}

fn until_there_are(users: u64, gateway: &Gateway) {
    let state = format!("http://{}/system/state", gateway.http_addr());
    let clock = Clock::start();
    loop {
        let text = ureq::get(&state).call().unwrap().body_mut().read_to_string().unwrap();
        let state: Value = serde_json::from_str(&text).unwrap();
        if state["data"]["managerInfo"]["usersLen"] == users {
            return;
        }
        assert!(clock.now() < PATIENCE, "never: {state}");
        std::thread::yield_now();
    }
}

/// Ends it in good order, and starts another one at its places.
fn started_again(first: Gateway) -> Gateway {
    let places = [first.websocket_addr(), first.http_addr()];
    first.stop();
    gateway(|config| {
        config.listen.websocket = places[0].into();
        config.listen.http = places[1].into();
    })
}

fn come_back(child: Child, json: &Path) -> Value {
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text_of(&output));
    let result = read(json);
    assert_eq!(result["connections"]["lost"], 0, "{result}");
    assert_eq!(result["connections"]["causes"]["close 1012"], 500);
    result["come_back"].clone()
}

#[test]
fn clients_come_back_to_a_gateway_that_has_started_again() {
    let folder = tempfile::tempdir().unwrap();
    let first = gateway(|_| {});
    let (child, json) = held(&folder, &first);
    let second = started_again(first);
    let result = come_back(child, &json);
    assert_eq!((&result["told"], &result["returned"]), (&500.into(), &500.into()), "{result}");
    assert_eq!(result["moved"], 0);
    assert_eq!(result["late"]["corrected"]["count"], 500);
    second.stop();
}

#[test]
fn clients_go_where_they_are_sent() {
    let folder = tempfile::tempdir().unwrap();
    let other = gateway(|_| {});
    let first = gateway(|config| config.stop.other_nodes = vec![place(&other)]);
    let (child, json) = held(&folder, &first);
    first.stop();
    let result = come_back(child, &json);
    let expected = [&result["told"], &result["returned"], &result["moved"]];
    assert_eq!(expected, [500, 500, 500].map(Value::from).each_ref(), "{result}");
    other.stop();
}

/// Nobody is at the other place: they go back to their own list, where somebody is again.
#[test]
fn who_is_sent_to_nobody_goes_back() {
    let folder = tempfile::tempdir().unwrap();
    let nobody = "ws://127.0.0.1:9/acc".to_owned();
    let first = gateway(|config| config.stop.other_nodes = vec![nobody]);
    let (child, json) = held(&folder, &first);
    let second = started_again(first);
    let result = come_back(child, &json);
    assert_eq!((&result["returned"], &result["moved"]), (&500.into(), &0.into()), "{result}");
    assert_eq!(result["retried"], 500);
    second.stop();
}

/// A server with one client, which it tells to come back at once, tells so again before the
/// login, and then keeps.
fn fickle(listener: &TcpListener) {
    for turn in 0..3 {
        let mut socket = tungstenite::accept(listener.accept().unwrap().0).unwrap();
        if turn != 1 {
            socket.read().unwrap();
            let reply = r#"{"seq":"login","cmd":"login","response":{"code":200,"codeMsg":"Success","data":null}}"#;
            socket.send(reply.into()).unwrap();
        }
        if turn < 2 {
            let reason = r#"{"reconnect":{"after_ms":0}}"#.into();
            socket.close(Some(CloseFrame { code: CloseCode::Restart, reason })).unwrap();
        }
        // Until the client has gone.
        while socket.read().is_ok() {}
    }
}

#[test]
fn who_is_told_again_on_the_way_back_comes_back_once() {
    let folder = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ws://{}/acc", listener.local_addr().unwrap());
    let server = std::thread::spawn(move || fickle(&listener));
    let arguments = ["hold", "--login", "--come-back", "-c", "1", "-d", "2s"];
    let (mut command, json) = bench(&folder, &url, &arguments);
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text_of(&output));
    let result = read(&json);
    let come_back = &result["come_back"];
    assert_eq!((&come_back["told"], &come_back["returned"]), (&1.into(), &1.into()), "{result}");
    assert_eq!(result["connections"]["causes"]["close 1012"], 2);
    server.join().unwrap();
}
