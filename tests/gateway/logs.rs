//! What is logged, and what never is.

use crate::keys::key;
use crate::support::{Answer, Client, client_frame};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Lines};
use std::net::SocketAddr;
use std::process::{Child, ChildStderr, Command, Stdio};

/// The real program, with its log in our hands.
struct Program {
    child: Child,
    lines: Lines<BufReader<ChildStderr>>,
    first: Vec<Value>,
    websocket: SocketAddr,
    http: SocketAddr,
}

impl Program {
    fn start(level: &str) -> Self {
        Self::start_with(level, &[])
    }

    /// With these settings besides.
    fn start_with(level: &str, settings: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_millgate"))
            .args(["serve", "--websocket", "127.0.0.1:0", "--http", "127.0.0.1:0"])
            .args(["--set", "log.format=json", "--log-level", level, "--threads", "2"])
            .args(["--set", "reactor.pin=false", "--set", "stop.timeout=300ms"])
            .args(settings.iter().flat_map(|setting| ["--set", setting]))
            .stderr(Stdio::piped())
            .spawn()
            .expect("the gateway starts");
        let mut lines = BufReader::new(child.stderr.take().expect("a pipe")).lines();
        let mut first = Vec::new();
        let listening = loop {
            let line = lines.next().expect("it listens before it ends");
            let line: Value = serde_json::from_str(&line.expect("text")).expect("JSON");
            first.push(line.clone());
            if line["message"] == "listening" {
                break line;
            }
        };
        let address = |key: &str| listening[key].as_str().expect("text").parse().expect("address");
        let (websocket, http) = (address("websocket"), address("http"));
        Self { child, lines, first, websocket, http }
    }

    /// Ends it, and returns every line it has logged.
    fn end(mut self) -> Vec<Value> {
        kill_process(Pid::from_child(&self.child), Signal::TERM).expect("it runs");
        let rest = self.lines.map(|line| line.expect("text"));
        self.first.extend(rest.map(|line| serde_json::from_str(&line).expect("JSON")));
        self.child.wait().expect("it ends");
        self.first
    }

    fn ask(&self, request: &str, body: &str) {
        let len = body.len();
        let request = format!(
            "{request} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {len}\r\n\
             Authorization: Bearer sesame\r\nX-API-Key: sesame\r\nCookie: key=sesame\r\n\
             Content-Type: application/x-www-form-urlencoded\r\n\r\n{body}"
        );
        Answer::to(self.http, request.as_bytes());
    }
}

#[test]
fn each_request_is_a_line_without_its_parameters() {
    let program = Program::start("info");
    program.ask("GET /user/online?userID=sesame", "");
    program.ask("POST /user/sendMessage?key=sesame", "message=sesame");
    for routine in ["GET /healthz", "GET /metrics"] {
        program.ask(routine, "");
    }
    program.ask("GET /metrics/sesam", "");
    let logged = program.end();
    assert!(logged.iter().all(|line| !line.to_string().contains("sesame")), "{logged:#?}");
    let requests: Vec<_> = logged
        .iter()
        .filter(|line| line["target"] == "millgate::http")
        .inspect(|line| assert!(line["duration_ms"].is_number(), "{line}"))
        .map(|line| json!([line["method"], line["path"], line["status"]]))
        .collect();
    let expected = [
        json!(["GET", "/user/online", 200]),
        json!(["POST", "/user/sendMessage", 200]),
        json!(["GET", "/metrics/sesam", 404]),
    ];
    assert_eq!(requests, expected);
}

/// Who, from where, what, and what became of it.
#[test]
fn each_order_leaves_an_audit_line() {
    let (admin, admin_line) = key("night-shift", "admin");
    let keys = format!("auth.keys=[\"{admin_line}\"]");
    let program = Program::start_with("info", &[&keys]);
    let order = |request: &str, form: &str, key: &str| {
        let request = format!(
            "{request} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-API-Key: {key}\r\n\
             X-Forwarded-For: 203.0.113.9\r\nContent-Length: {}\r\n\
             Content-Type: application/x-www-form-urlencoded\r\n\r\n{form}",
            form.len()
        );
        Answer::to(program.http, request.as_bytes());
    };
    order("POST /admin/kick", "userID=ann&appID=101&reason=spam", &admin);
    order("POST /admin/reload", "", &admin);
    order("DELETE /admin/drain", "", &admin);
    order("GET /admin/state", "", &admin);
    order("POST /admin/reload", "", "mg_guess");
    let logged = program.end();
    let audit = |line: &&Value| line["target"] == "millgate::audit";
    let lines: Vec<&Value> = logged.iter().filter(audit).collect();
    let orders: Vec<Value> = lines
        .iter()
        .filter(|line| line["by"] == "key night-shift")
        .inspect(|line| {
            assert!(line["from"].as_str().is_some_and(|from| from.starts_with("127.0.0.1:")));
            assert_eq!(line["forwarded_for"], "203.0.113.9");
        })
        .map(|line| json!([line["action"], line["subject"], line["result"], line["status"]]))
        .collect();
    let kicked = "user ann of app 101 on all nodes, reason \"spam\"";
    assert_eq!(
        orders,
        [
            json!(["POST /admin/kick", kicked, "done", 200]),
            json!(["POST /admin/reload", "", "done", 200]),
            json!(["DELETE /admin/drain", "take the drain back", "refused", 409]),
        ]
    );
    let refused = lines.iter().find(|line| line["level"] == "WARN").expect("a refused key");
    assert_eq!((&refused["path"], &refused["from"].is_string()), (&"/admin/reload".into(), &true));
    let signal = lines.iter().find(|line| line["by"] == "signal").expect("SIGTERM");
    assert_eq!(signal["action"], "SIGTERM");
    assert!(logged.iter().all(|line| !line.to_string().contains(&admin)), "no key is logged");
}

/// A handshake that carries a token wherever one is ever put.
fn handshake(path: &str, version: u8) -> String {
    format!(
        "GET {path}?token=sesame HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n\
         Connection: Upgrade\r\nSec-WebSocket-Version: {version}\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nAuthorization: Bearer sesame\r\n\
         Cookie: token=sesame\r\nSec-WebSocket-Protocol: sesame\r\n\r\n"
    )
}

fn refused_handshakes(websocket: SocketAddr) {
    let header_bomb = format!("GET /acc HTTP/1.1\r\nX: {}\r\n\r\n", "sesame".repeat(5_000));
    for request in [
        handshake("/elsewhere", 13),
        handshake("/acc", 7),
        handshake("/acc", 13).replace("GET", "POST"),
        header_bomb,
        "sesame\r\n\r\n".to_owned(),
    ] {
        let mut client = Client::tcp(websocket);
        client.try_send_raw(request.as_bytes());
        let head = client.read_head();
        assert!(head.starts_with("HTTP/1.1 4"), "{head}");
    }
}

#[test]
fn a_token_is_in_no_line_at_any_level() {
    let program = Program::start("trace");
    let connect = || {
        let mut client = Client::tcp(program.websocket);
        client.send_raw(handshake("/acc", 13).as_bytes());
        let head = client.read_head();
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        client
    };
    let mut client = connect();
    for (data, code) in [
        (json!(["sesame"]), 1001),
        (json!({"userID": "ua", "appID": 101, "serviceToken": ["sesame"]}), 1001),
        (json!({"userID": "", "appID": 101, "serviceToken": "sesame"}), 1002),
        (json!({"userID": "ua", "appID": 999, "serviceToken": "sesame"}), 1003),
        (json!({"userID": "ua", "appID": 101, "serviceToken": "sesame"}), 200),
        (json!({"userID": "ua", "appID": 101, "serviceToken": "sesame"}), 1009),
    ] {
        assert_eq!(client.request_reply("login", data)["response"]["code"], code);
    }
    client.request_reply("sesame", json!({"serviceToken": "sesame"}));
    client.send_text("{\"serviceToken\":\"sesame\"");
    client.recv();
    for spoilt in [client_frame(0x81, b"sesame\xff"), client_frame(0x83, b"sesame")] {
        let mut client = connect();
        client.send_raw(&spoilt);
        client.recv();
    }
    refused_handshakes(program.websocket);
    for request in ["GET /user/online?token=sesame", "GET /elsewhere?token=sesame"] {
        program.ask(request, "");
    }
    for body in ["userID=ua&message=sesame", "message=sesame%"] {
        program.ask("POST /user/sendMessage?token=sesame", body);
    }
    let mut garbage = Client::tcp(program.http);
    garbage.send_raw(b"sesame\r\n\r\n");
    garbage.read_to_end();
    let logged = program.end();
    let of = |target: &str| logged.iter().filter(|line| line["target"] == target).count();
    assert!(of("millgate::command") >= 7 && of("millgate::http") == 4, "{logged:#?}");
    assert!(logged.iter().any(|line| line["level"] == "DEBUG"), "{logged:#?}");
    assert!(logged.iter().all(|line| !line.to_string().contains("sesame")), "{logged:#?}");
}

/// Where they are really looked at, be they good or not.
#[test]
fn no_key_and_no_token_is_in_a_line_or_an_answer() {
    let (key, line) = key("reader", "read");
    let keys = format!("auth.keys=[\"{line}\"]");
    let secret = "auth.jwt.secret=a secret of thirty-two bytes or so";
    let program =
        Program::start_with("trace", &[&keys, secret, "auth.allowed_origins=[\"http://a\"]"]);
    let token = crate::tokens::token("ua");
    let (_, signature) = token.rsplit_once('.').expect("a signature");
    let bad = format!("{token}sesame");
    let mut answers = Vec::new();
    for (target, line) in [
        (format!("/acc?token={bad}"), String::new()),
        ("/acc".to_owned(), format!("Authorization: Bearer {bad}\r\n")),
        ("/acc".to_owned(), format!("Sec-WebSocket-Protocol: millgate.token, {bad}\r\n")),
        (format!("/acc?token={token}"), "Origin: http://elsewhere\r\n".to_owned()),
    ] {
        let mut client = Client::tcp(program.websocket);
        let request = String::from_utf8(Client::request(&target)).expect("text");
        client.send_raw(request.replacen("\r\n", &format!("\r\n{line}"), 1).as_bytes());
        let answer = String::from_utf8(client.read_to_end()).expect("text");
        assert!(answer.starts_with("HTTP/1.1 40"), "{answer}");
        answers.push(answer);
    }
    let mut client = Client::connect_to(program.websocket, &format!("/acc?token={token}"));
    for (shown, code) in [(&bad, 1003), (&token, 200), (&bad, 1003), (&token, 200)] {
        let data = json!({"userID": "ua", "appID": 101, "serviceToken": shown});
        let reply = client.request_reply("login", data);
        assert_eq!(reply["response"]["code"], code);
        answers.push(reply.to_string());
    }
    for (header, value, status) in [
        ("X-API-Key", &key, 200),
        ("Authorization", &format!("Bearer {key}"), 200),
        ("X-API-Key", &format!("{key}sesame"), 401),
        ("Authorization", &format!("Bearer {bad}"), 401),
    ] {
        let request = format!(
            "GET /user/list?appID=101 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{header}: {value}\r\n\r\n"
        );
        let answer = Answer::to(program.http, request.as_bytes());
        assert_eq!(answer.status, status, "{header}");
        answers.push(format!("{answer:?}"));
    }
    let logged = program.end();
    let refused =
        |line: &&Value| line["message"].as_str().is_some_and(|m| m.contains("was refused"));
    assert_eq!(logged.iter().filter(refused).count(), 1, "one line a minute: {logged:#?}");
    let lines = logged.iter().map(Value::to_string).chain(answers);
    for line in lines {
        for word in [signature, &key[3..], "sesame", "thirty-two"] {
            assert!(!line.contains(word), "{word} in {line}");
        }
    }
}
