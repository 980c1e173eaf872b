//! The handshake: requests in, answers out.

use millgate::websocket::handshake::{self, Endpoint, Paths, Refusal, Upgrade};
use proptest::prelude::*;

const PATHS: Paths<'_> = Paths { commands: "/acc", echo: "/echo" };
const HEAD_MAX: usize = 4_096;

/// The request of RFC 6455 §1.2, to our path.
const GOOD: &str = "GET /acc HTTP/1.1\r\n\
    Host: server.example.com\r\n\
    Upgrade: websocket\r\n\
    Connection: Upgrade\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    Origin: http://example.com\r\n\
    Sec-WebSocket-Protocol: chat, superchat\r\n\
    Sec-WebSocket-Extensions: permessage-deflate\r\n\
    Sec-WebSocket-Version: 13\r\n\r\n";

fn read(head: &[u8]) -> Result<Option<Upgrade<'_>>, Refusal> {
    handshake::read(head, 0, HEAD_MAX, &PATHS)
}

/// The status that a request gets, whole and byte by byte.
fn status(head: &str) -> u16 {
    let whole = match read(head.as_bytes()) {
        Ok(Some(_)) => 101,
        Ok(None) => 0,
        Err(refusal) => refusal.status(),
    };
    let mut dripped = 0;
    for end in 1..=head.len() {
        match handshake::read(&head.as_bytes()[..end], end - 1, HEAD_MAX, &PATHS) {
            Ok(None) => {}
            Ok(Some(upgrade)) => {
                assert_eq!(upgrade.head_len, end, "granted with its last byte");
                dripped = 101;
                break;
            }
            Err(refusal) => {
                dripped = refusal.status();
                break;
            }
        }
    }
    assert_eq!(whole, dripped, "{head:?}");
    whole
}

/// `GOOD` with a line replaced.
fn with(old: &str, new: &str) -> String {
    assert!(GOOD.contains(old));
    GOOD.replacen(old, new, 1)
}

fn answer(refusal: &Refusal) -> String {
    let mut out = Vec::new();
    refusal.append_response(&mut out);
    String::from_utf8(out).unwrap()
}

#[test]
fn the_example_of_the_rfc_is_granted_to_the_byte() {
    let upgrade = read(GOOD.as_bytes()).unwrap().unwrap();
    assert_eq!(upgrade.endpoint, Endpoint::Commands);
    assert_eq!(upgrade.head_len, GOOD.len());
    let mut out = b"x".to_vec();
    upgrade.append_response(&mut out);
    let expected = "xHTTP/1.1 101 Switching Protocols\r\n\
        Upgrade: websocket\r\n\
        Connection: Upgrade\r\n\
        Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
    assert_eq!(String::from_utf8(out).unwrap(), expected);
}

#[test]
fn frames_behind_the_request_are_left_alone() {
    let wire = [GOOD.as_bytes(), b"\x81\x80\n\n\r\n"].concat();
    assert_eq!(read(&wire).unwrap().unwrap().head_len, GOOD.len());
}

#[test]
fn what_is_granted() {
    let granted = [
        with("/acc", "/acc?userID=1&x=/y?z"),
        with("/acc", "http://server.example.com/acc"),
        with("/acc", "WS://server.example.com:8089/acc?q"),
        with("/acc", "https://server.example.com/acc"),
        with("/acc", "/%61c%63?q"),
        with("/acc", "http://server.example.com/%61%63%63"),
        with("/acc", "wss://server.example.com/acc?q"),
        format!("\r\n{GOOD}"),
        format!("\r\n\n\r\n\n{GOOD}"),
        with("Upgrade: websocket", "uPGRADE:\twebSocket  "),
        with("Upgrade: websocket", "Upgrade: h2c, websocket"),
        with("Upgrade: websocket", "Upgrade: h2c\r\nUpgrade: websocket"),
        with("Upgrade: websocket", "Upgrade: websocket\r\nUpgrade: h2c"),
        with("Connection: Upgrade", "Connection: upgrade\r\nConnection: keep-alive"),
        with("Connection: Upgrade", "connection: keep-alive ,UPGRADE"),
        with("Connection: Upgrade", "Connection: keep-alive\r\nConnection: upgrade"),
        with("Sec-WebSocket-Version", "sec-websocket-version"),
        with("Host: server.example.com", "Host:"),
        with("Origin", "Content-Length: 0\r\nOrigin"),
        // The last digit has four bits too many, which mean nothing.
        with("jZQ==", "jZR=="),
        GOOD.replace("\r\n", "\n"),
    ];
    for request in granted {
        assert_eq!(status(&request), 101, "{request}");
    }
}

#[test]
fn endpoints_are_exact_paths_and_empty_ones_are_off() {
    let endpoint = |request: &str, paths: &Paths<'_>| {
        handshake::read(request.as_bytes(), 0, HEAD_MAX, paths)
            .map(|upgrade| upgrade.unwrap().endpoint)
    };
    assert_eq!(endpoint(&with("/acc", "/echo"), &PATHS), Ok(Endpoint::Echo));
    let off = Paths { echo: "", ..PATHS };
    assert_eq!(endpoint(&with("/acc", "/echo"), &off), Err(Refusal::NotFound));
    let escaped = Paths { commands: "/ch%C3%A4t", ..PATHS };
    for (path, expected) in [
        ("/ch%c3%a4t", Ok(Endpoint::Commands)),
        ("/%63h%C3%A4t", Ok(Endpoint::Commands)),
        ("/ch%C3%A4", Err(Refusal::NotFound)),
    ] {
        assert_eq!(endpoint(&with("/acc", path), &escaped), expected, "{path}");
    }
    for path in ["%2Facc", "/%2Facc", "/acc%2F", "/acc%", "/acc%6", "/%zzacc", "/acc%00"] {
        assert_eq!(endpoint(&with("/acc", path), &off), Err(Refusal::NotFound), "{path}");
    }
    for path in
        ["/", "/ac", "/accc", "/acc/", "/ACC", "/acc#x", "acc", "*", "?", "http://h", "ftp://h/acc"]
    {
        assert_eq!(endpoint(&with("/acc", path), &off), Err(Refusal::NotFound), "{path}");
    }
}

#[test]
fn what_is_refused() {
    let key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let refused = [
        (404, with("/acc", "/other")),
        (404, with("GET /acc", "POST /other")),
        (405, with("GET", "POST")),
        (405, with("GET", "M-SEARCH")),
        (400, with("HTTP/1.1", "HTTP/1.0")),
        (400, with("HTTP/1.1", "HTTP/2.0")),
        (400, with("HTTP/1.1", "ICY/1.1")),
        (400, with("Host: server.example.com\r\n", "")),
        (400, with("Host: server", "Host: other\r\nHost: server")),
        (400, with("Upgrade: websocket\r\n", "")),
        (400, with("Connection: Upgrade\r\n", "")),
        (400, with("Connection: Upgrade", "Connection: keep-alive, upgraded")),
        (426, with("Upgrade: websocket", "Upgrade: h2c")),
        (426, with("Upgrade: websocket", "Upgrade:")),
        (400, with("Sec-WebSocket-Version: 13\r\n", "")),
        (400, with("Version: 13", "Version: 8")),
        (400, with("Version: 13", "Version: 13, 8")),
        (400, with("Version: 13", "Version: 13\r\nSec-WebSocket-Version: 13")),
        (400, with(key, "")),
        (400, with(key, &key.repeat(2))),
        (400, with("jZQ==", "jZ==")),
        (400, with("jZQ==", "jZQxx")),
        (400, with("jZQ==", "jZ!==")),
        (400, with("jZQ==", "jZQ==x")),
        (400, with("Origin", "Content-Length: 5\r\nOrigin")),
        (400, with("Origin", "Content-Length:\r\nOrigin")),
        (400, with("Origin", "Content-Length: 0\r\nContent-Length: 1\r\nOrigin")),
        (400, with("Origin", "Content-Length: 1\r\nContent-Length: 0\r\nOrigin")),
        (400, with("Origin", "Transfer-Encoding: chunked\r\nOrigin")),
        (400, with("Origin:", "Origin :")),
        (400, with("Origin:", " Origin:")),
        (400, with("Origin:", "Ori\0gin:")),
    ];
    for (expected, request) in refused {
        assert_eq!(status(&request), expected, "{request}");
    }
}

#[test]
fn what_is_not_http_is_refused_at_once() {
    let tls: &[u8] = b"\x16\x03\x01\x02\x00\x01";
    let impossible = [
        tls,
        b"\0",
        b" ",
        b"\r\n\r\n\r\n\r\n\r\n",
        b"\rG",
        b"\r\n\0",
        b"get ",
        b"GE\x01",
        b"{\"seq\"",
        b"ABCDEFGHIJKLMNOPQR",
    ];
    for greeting in impossible {
        assert_eq!(read(greeting).unwrap_err().status(), 400, "{greeting:x?}");
    }
    assert_eq!(read(b""), Ok(None));
    for begun in [
        "\r",
        "\r\n",
        "\r\n\r",
        "\n\nG",
        "G",
        "GET",
        "GET ",
        "UPDATEREDIRECTREF",
        "UPDATEREDIRECTREF ",
    ] {
        assert_eq!(read(begun.as_bytes()), Ok(None), "{begun}");
    }
}

#[test]
fn heads_have_a_bound_in_bytes() {
    let at_bound = |max| handshake::read(GOOD.as_bytes(), 0, max, &PATHS);
    assert!(at_bound(GOOD.len()).unwrap().is_some());
    let bytes_max = GOOD.len() - 1;
    let too_large = Refusal::HeadTooLarge { bytes_max };
    assert_eq!(at_bound(bytes_max), Err(too_large.clone()));
    assert!(too_large.detail().contains(&format!("larger than {bytes_max} bytes")));
    let unfinished = &GOOD.as_bytes()[..GOOD.len() - 1];
    assert_eq!(handshake::read(unfinished, 0, GOOD.len(), &PATHS), Ok(None));
    assert_eq!(handshake::read(unfinished, 0, bytes_max, &PATHS), Err(too_large));

    // The number of lines is bounded by their bytes alone. `GOOD` has eight lines itself.
    let lines = |count: usize| with("Origin", &format!("{}Origin", "X: y\r\n".repeat(count - 8)));
    for count in [63, 64, 65, 100, 500] {
        assert_eq!(status(&lines(count)), 101, "{count}");
    }
    assert_eq!(status(&lines(800)), 431);
    assert_eq!(status(&with("Origin", &format!("{}Ori gin", "X: y\r\n".repeat(100)))), 400);
}

#[test]
fn a_refused_origin_is_named() {
    let detail = |origin: &[u8]| Refusal::foreign_origin(origin).detail().into_owned();
    assert!(detail(b"http://127.0.0.1:80").contains("\"http://127.0.0.1:80\""));
    assert!(detail(b"").contains("Origin"));
    // Nothing of it can be taken for anything else.
    let odd = detail(b"http://\"<b>\r\n\xff\x00");
    assert!(odd.contains("\"http://?<b>????\""), "{odd}");
    assert!(detail(&[b'a'; 8_000]).len() < 300);
}

#[test]
fn refusals_close_and_say_why() {
    let all = [
        Refusal::BadRequest("because"),
        Refusal::NotFound,
        Refusal::MethodNotAllowed,
        Refusal::UpgradeRequired,
        Refusal::HeadTooLarge { bytes_max: 8_192 },
        Refusal::foreign_origin(b"https://a"),
    ];
    for refusal in all {
        let answer = answer(&refusal);
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with(&format!(
            "HTTP/1.1 {} {}\r\n",
            refusal.status(),
            refusal.reason()
        )));
        assert!(head.contains("\r\nConnection: close"));
        assert!(head.contains(&format!("\r\nContent-Length: {}", body.len())));
        assert_eq!(body, format!("{}\n", refusal.detail()));
        let version = head.contains("\r\nSec-WebSocket-Version: 13\r\n");
        assert_eq!(version, matches!(refusal.status(), 400 | 426), "{head}");
        assert_eq!(head.contains("\r\nAllow: GET\r\n"), refusal.status() == 405);
        assert_eq!(head.contains("\r\nUpgrade: websocket\r\n"), refusal.status() == 426);
    }
}

#[test]
fn a_full_gateway_says_when_to_come_back() {
    let mut out = Vec::new();
    handshake::append_unavailable(&mut out, 17);
    let answer = String::from_utf8(out).unwrap();
    assert!(answer.starts_with("HTTP/1.1 503 Service Unavailable\r\nRetry-After: 17\r\n"));
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.contains("\r\nConnection: close\r\n"));
    assert!(head.ends_with(&format!("Content-Length: {}", body.len())));
}

#[test]
fn the_key_of_any_client_gets_the_accept_of_tungstenite() {
    for _ in 0..20 {
        let key = tungstenite::handshake::client::generate_key();
        let request = with("dGhlIHNhbXBsZSBub25jZQ==", &key);
        let upgrade = read(request.as_bytes()).unwrap().unwrap();
        let mut out = Vec::new();
        upgrade.append_response(&mut out);
        let accept = tungstenite::handshake::derive_accept_key(key.as_bytes());
        assert!(String::from_utf8(out).unwrap().contains(&format!("Accept: {accept}\r\n")));
    }
}

proptest! {
    #[test]
    fn any_cut_of_any_request_ends_alike(
        garbage in "[ -~\r\n]{0,40}",
        at in any::<prop::sample::Index>(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..5),
    ) {
        let mut request = GOOD.to_owned();
        request.insert_str(at.index(request.len()), &garbage);
        let whole = read(request.as_bytes());
        let mut ends: Vec<_> = cuts.iter().map(|cut| cut.index(request.len())).collect();
        ends.push(request.len());
        ends.sort_unstable();
        let mut seen = 0;
        let mut last = Ok(None);
        for end in ends {
            last = handshake::read(&request.as_bytes()[..end], seen, HEAD_MAX, &PATHS);
            if last != Ok(None) {
                break;
            }
            seen = end;
        }
        prop_assert_eq!(last, whole);
    }
}
