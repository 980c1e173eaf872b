//! The HTTP side of a WebSocket: who is let in, and what the others are told.

use crate::support::{Client, Message, Node, client_frame};

/// The example of RFC 6455 §1.3.
const KEY: &str = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
const HOST: &str = "Host: localhost\r\n";
const UPGRADE: &str = "Upgrade: websocket\r\nConnection: Upgrade\r\n";
const VERSION: &str = "Sec-WebSocket-Version: 13\r\n";

fn get(target: &str, headers: &str) -> String {
    format!("GET {target} HTTP/1.1\r\n{headers}\r\n")
}

/// The header lines of an answer, names in lower case, without the status.
fn headers(head: &str) -> Vec<(String, String)> {
    let lines = head.trim_end().split("\r\n").skip(1);
    lines
        .map(|line| line.split_once(": ").expect("a header line"))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect()
}

fn header<'h>(headers: &'h [(String, String)], name: &str) -> Option<&'h str> {
    headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
}

/// Sends `request`, which must open a WebSocket that works.
fn expect_upgrade(node: &Node, request: &str) {
    let mut client = Client::tcp(node.websocket());
    client.send_raw(request.as_bytes());
    let head = client.read_head();
    assert!(head.starts_with("HTTP/1.1 101 Switching Protocols\r\n"), "{request}\n{head}");
    let headers = headers(&head);
    assert_eq!(header(&headers, "upgrade"), Some("websocket"), "{request}");
    assert_eq!(header(&headers, "connection"), Some("Upgrade"), "{request}");
    assert_eq!(header(&headers, "sec-websocket-accept"), Some(ACCEPT), "{request}");
    // No extension and no subprotocol is ever selected.
    assert_eq!(headers.len(), 3, "{head}");
    client.expect_silence();
}

/// Sends `request`, which must be refused with `status` and the end of TCP.
fn expect_refusal(node: &Node, request: &str, status: u16) -> Vec<(String, String)> {
    let mut client = Client::tcp(node.websocket());
    client.send_raw(request.as_bytes());
    let head = client.read_head();
    let excerpt = &request[..request.len().min(200)];
    assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{excerpt}\n{head}");
    let headers = headers(&head);
    let length = header(&headers, "content-length").and_then(|value| value.parse().ok());
    assert_eq!(Some(client.read_to_end().len()), length, "{head}");
    headers
}

#[test]
fn handshakes_that_are_granted() {
    let node = Node::start();
    let usual = format!("{HOST}{UPGRADE}{VERSION}{KEY}");
    for target in ["/acc", "/acc?", "/acc?token=a%20b&x=/y?z", "/echo", "http://localhost/acc?q"] {
        expect_upgrade(&node, &get(target, &usual));
    }
    for headers in [
        format!("hOST: localhost\r\nuPGRADE: WebSocket\r\nCONNECTION: upgrade\r\n{VERSION}{KEY}"),
        format!("{HOST}Upgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n{VERSION}{KEY}"),
        format!("{HOST}Upgrade: websocket\r\nConnection: a,\t UPGRADE ,b\r\n{VERSION}{KEY}"),
        format!(
            "{HOST}Upgrade: websocket\r\nConnection: close\r\nConnection: Upgrade\r\n{VERSION}{KEY}"
        ),
        format!("{HOST}Upgrade: h2c, websocket\r\nConnection: Upgrade\r\n{VERSION}{KEY}"),
        format!("{KEY}{VERSION}Connection:Upgrade\r\nUpgrade:websocket\r\nHost:h\r\n"),
        format!("{usual}Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"),
        format!("{usual}Sec-WebSocket-Protocol: chat, superchat\r\n"),
        format!("{usual}Origin: http://elsewhere.example\r\nCookie: a=b\r\nContent-Length: 0\r\n"),
    ] {
        expect_upgrade(&node, &get("/acc", &headers));
    }
}

#[test]
fn handshakes_that_are_refused() {
    let node = Node::start();
    let usual = format!("{HOST}{UPGRADE}{VERSION}{KEY}");
    for target in ["/", "/ac", "/acc/", "/ACC", "/acc%2f", "/accx?y", "//acc", "*", "/metrics"] {
        expect_refusal(&node, &get(target, &usual), 404);
    }
    expect_refusal(&node, &format!("POST / HTTP/1.1\r\n{usual}\r\n"), 404);
    for method in ["POST", "PUT", "HEAD", "DELETE", "OPTIONS"] {
        let request = format!("{method} /acc HTTP/1.1\r\n{usual}\r\n");
        let headers = expect_refusal(&node, &request, 405);
        assert_eq!(header(&headers, "allow"), Some("GET"));
    }
    let refused = expect_refusal(
        &node,
        &get("/acc", &format!("{HOST}Upgrade: h2c\r\nConnection: Upgrade\r\n{VERSION}{KEY}")),
        426,
    );
    assert_eq!(header(&refused, "upgrade"), Some("websocket"));
    assert_eq!(header(&refused, "sec-websocket-version"), Some("13"));
    for headers in [
        HOST.to_owned(),
        format!("{HOST}Upgrade: websocket\r\n{VERSION}{KEY}"),
        format!("{HOST}Upgrade: websocket\r\nConnection: close\r\n{VERSION}{KEY}"),
        format!("{HOST}Connection: Upgrade\r\n{VERSION}{KEY}"),
        format!("{HOST}{UPGRADE}{KEY}"),
        format!("{HOST}{UPGRADE}Sec-WebSocket-Version: 8\r\n{KEY}"),
        format!("{HOST}{UPGRADE}Sec-WebSocket-Version: 13, 8\r\n{KEY}"),
        format!("{HOST}{UPGRADE}{VERSION}{VERSION}{KEY}"),
        format!("{HOST}{UPGRADE}{VERSION}"),
        format!("{HOST}{UPGRADE}{VERSION}{KEY}{KEY}"),
        format!("{HOST}{UPGRADE}{VERSION}Sec-WebSocket-Key: short\r\n"),
        format!("{HOST}{UPGRADE}{VERSION}Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=\r\n"),
        format!("{UPGRADE}{VERSION}{KEY}"),
        format!("{HOST}{HOST}{UPGRADE}{VERSION}{KEY}"),
        format!("{usual}Content-Length: 5\r\n"),
        format!("{usual}Transfer-Encoding: chunked\r\n"),
    ] {
        let answer = expect_refusal(&node, &get("/acc", &headers), 400);
        assert_eq!(header(&answer, "sec-websocket-version"), Some("13"), "{headers}");
    }
    for request in [
        format!("GET /acc HTTP/1.0\r\n{usual}\r\n"),
        format!("GET /acc HTTP/2.0\r\n{usual}\r\n"),
        format!("GET /acc\r\n{usual}\r\n"),
        format!("GET /a cc HTTP/1.1\r\n{usual}\r\n"),
        format!("GET /acc HTTP/1.1\r\n folded: line\r\n{usual}\r\n"),
        format!("GET /acc HTTP/1.1\r\nno colon\r\n{usual}\r\n"),
        "\u{16}\u{3}\u{1}\u{2}\u{0}\u{1}".to_owned(),
        "get /acc HTTP/1.1\r\n".to_owned(),
    ] {
        expect_refusal(&node, &request, 400);
    }
}

#[test]
fn a_head_that_is_too_large() {
    let node = Node::with(|config| config.limits.handshake_bytes = 2_000);
    let usual = format!("{HOST}{UPGRADE}{VERSION}{KEY}");
    let padded = |bytes: usize| {
        let bare = get("/acc", &format!("{usual}X: \r\n")).len();
        get("/acc", &format!("{usual}X: {}\r\n", "x".repeat(bytes - bare)))
    };
    assert_eq!(padded(2_000).len(), 2_000);
    expect_upgrade(&node, &padded(1_999));
    expect_upgrade(&node, &padded(2_000));
    expect_refusal(&node, &padded(2_001), 431);
    expect_refusal(&node, &padded(60_000), 431);
    // Nobody waits for an end that may never come.
    expect_refusal(&node, &format!("GET /{}", "x".repeat(2_000)), 431);
    // The number of lines does not matter, their bytes do.
    let lines: String = (0..150).map(|n| format!("X-{n}: y\r\n")).collect();
    expect_upgrade(&node, &get("/acc", &format!("{usual}{lines}")));
}

/// What is kept of a head has to fit the receive buffer together with what comes.
#[test]
fn the_largest_head_that_can_be_configured_is_read() {
    let node = Node::with(|config| config.limits.handshake_bytes = 65_536);
    let line = format!("X: {}\r\n", "x".repeat(8_000));
    let request = get("/acc", &format!("{HOST}{UPGRADE}{VERSION}{KEY}{}", line.repeat(8)));
    assert!(request.len() > 64_000 && request.len() < 65_536);
    let mut client = Client::tcp(node.websocket());
    client.send_in_pieces(request.as_bytes(), 4_096);
    assert!(client.read_head().starts_with("HTTP/1.1 101 "));
    client.expect_silence();
}

#[test]
fn a_handshake_may_come_byte_by_byte() {
    let node = Node::start();
    let mut client = Client::tcp(node.websocket());
    let bytes = [Client::request("/acc?slow"), client_frame(0x81, b"{\"cmd\":\"ping\"}")].concat();
    client.send_in_pieces(&bytes, 1);
    assert!(client.read_head().starts_with("HTTP/1.1 101 "));
    assert_eq!(client.recv_json()["response"]["data"], "pong");
}

/// A client need not wait for the 101 before its first frames.
#[test]
fn first_frames_may_come_with_the_request() {
    let node = Node::start();
    let frames = [
        client_frame(0x81, br#"{"cmd":"login","data":{"userID":"ua","appID":101}}"#),
        client_frame(0x89, b"p"),
        client_frame(0x81, br#"{"cmd":"heartbeat"}"#),
        client_frame(0x88, b"\x03\xe8"),
    ];
    let request = Client::request("/acc");
    let all = [&request[..], &frames.concat()].concat();
    // Cut anywhere: in the head, at its end, in a frame.
    for cut in [all.len(), 20, request.len() - 1, request.len(), request.len() + 1, all.len() - 1] {
        let mut client = Client::tcp(node.websocket());
        client.send_raw(&all[..cut]);
        client.send_raw(&all[cut..]);
        assert!(client.read_head().starts_with("HTTP/1.1 101 "), "cut at {cut}");
        assert_eq!(client.recv_json()["response"]["code"], 200);
        assert_eq!(client.recv(), Message::Pong(b"p".to_vec()));
        assert_eq!(client.recv_json()["response"]["code"], 200);
        client.expect_close(1000);
    }
}

#[test]
fn lone_line_feeds_end_lines() {
    let node = Node::start();
    let request = get("/acc", &format!("{HOST}{UPGRADE}{VERSION}{KEY}")).replace("\r\n", "\n");
    expect_upgrade(&node, &request);
}

#[test]
fn the_paths_come_from_the_configuration() {
    let node = Node::with(|config| {
        config.listen.path = "/ws".into();
        config.echo.path = String::new();
    });
    let usual = format!("{HOST}{UPGRADE}{VERSION}{KEY}");
    expect_upgrade(&node, &get("/ws?x", &usual));
    expect_refusal(&node, &get("/acc", &usual), 404);
    expect_refusal(&node, &get("/echo", &usual), 404);
    expect_refusal(&node, &get("/", &usual), 404);
}
