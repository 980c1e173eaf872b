//! Crowds that mean no good, each in its own way: somebody else is served meanwhile, and
//! memory stays bounded. Nobody of the crowd ever reads.

use crate::crowd::alone;
use crate::process::Process;
use crate::support::{Certificate, Client, client_frame};
use rustls::version::TLS13;
use serde_json::json;
use std::io::{ErrorKind, Write};
use std::net::{SocketAddr, TcpStream};

/// One way of being a nuisance.
struct Attack {
    name: &'static str,
    /// What is wanted of the listener.
    words: &'static str,
    /// Whether the handshake is done first.
    is_open: bool,
    /// What is sent again and again.
    piece: Vec<u8>,
}

const CROWD: usize = 150;
const ROUNDS: usize = 40;

/// Budgets of 4 MiB for what is half received and for what waits, and as much again for what
/// the allocator keeps and for buffers of the reactors.
const GROWTH_MAX: u64 = 16 << 20;

const SETTINGS: [&str; 7] = [
    "log.level=warn,millgate::gateway=info",
    "reactor.threads=2",
    "limits.outbox_bytes=16384",
    "limits.outbox_total_bytes=4194304",
    "limits.assembly_total_bytes=4194304",
    "limits.handshake_timeout=5s",
    "announce.exact_up_to=0",
];

fn frames(first: u8, payload: &[u8], count: usize) -> Vec<u8> {
    client_frame(first, payload).repeat(count)
}

fn attacks() -> Vec<Attack> {
    let closed = |name, words, piece| Attack { name, words, is_open: false, piece };
    let open = |name, piece| Attack { name, words: "", is_open: true, piece };
    let nested = ["{\"a\":".repeat(10_000), "1".to_owned(), "}".repeat(10_000)].concat();
    let bomb = |data: &str| {
        let text = format!("{{\"seq\":\"1\",\"cmd\":\"login\",\"data\":{data}}}");
        frames(0x81, text.as_bytes(), 1)
    };
    let keys: Vec<String> = (0..4_000).map(|n| format!("\"userID\":{n}")).collect();
    let garbage: Vec<u8> =
        (0..20_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    vec![
        closed("header bomb", "", b"X-Bomb: 0123456789abcdef\r\n".repeat(100)),
        closed("a head without a line", "", b"GET ".repeat(1_000)),
        closed("binary instead of HTTP", "", garbage.clone()),
        closed("TLS garbage", " tls", garbage.clone()),
        closed("half a greeting of TLS", " tls", vec![0x16, 3, 1, 0x40, 0]),
        closed("PROXY garbage", " proxy", garbage),
        closed("a PROXY header without an end", " proxy", b"PROXY TCP4 1.2.3.4 ".to_vec()),
        open("endless fragments", frames(0x00, &[b'x'; 1_000], 1)),
        open("fragments of nothing", frames(0x00, b"", 500)),
        open("empty frames", frames(0x81, b"", 500)),
        open("a flood of pings", frames(0x89, &[7; 125], 100)),
        open("a flood of nonsense", frames(0x81, b"nonsense", 500)),
        open("deeply nested JSON", bomb(&nested)),
        open("a key many times", bomb(&format!("{{{}}}", keys.join(",")))),
        open("a number of many digits", bomb(&"9".repeat(50_000))),
        open(
            "a length that never comes",
            vec![0x81, 0xFF, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF, 1, 2, 3, 4],
        ),
    ]
}

#[test]
fn no_crowd_keeps_others_waiting_or_takes_the_memory() {
    let _alone = alone();
    let certificate = Certificate::new();
    for attack in attacks() {
        let process = start(&attack, &certificate);
        let mut witness = witness(&process, &attack, &certificate);
        let mut crowd: Vec<Option<TcpStream>> = (0..CROWD).map(|_| None).collect();
        let mut before = 0;
        for round in 0..ROUNDS {
            for member in &mut crowd {
                *member = member.take().or_else(|| join(process.websocket(), &attack));
                let lives = member.as_mut().is_some_and(|socket| push(socket, &attack.piece));
                if !lives {
                    *member = None;
                }
            }
            witness.request_reply("ping", json!({}));
            if round == 2 {
                before = process.resident_bytes();
            }
        }
        let grown = process.resident_bytes().saturating_sub(before);
        println!("{}: {} KiB more", attack.name, grown >> 10);
        assert!(grown <= GROWTH_MAX, "{}: {} MiB more", attack.name, grown >> 20);
        drop(crowd);
        witness.request_reply("ping", json!({}));
    }
}

fn start(attack: &Attack, certificate: &Certificate) -> Process {
    let place = format!("listen.websocket=127.0.0.1:0{}", attack.words);
    let files = ["cert", "key"].map(|file| {
        format!("listen.tls_{file}={}", certificate.file(&format!("{file}.pem")).display())
    });
    Process::start(&[&SETTINGS[..], &[&place, &files[0], &files[1]]].concat())
}

fn witness(process: &Process, attack: &Attack, certificate: &Certificate) -> Client {
    let mut client = Client::tcp(process.websocket());
    match attack.words {
        " tls" => client = client.with_tls(certificate.trusting(&[&TLS13], &[])),
        " proxy" => client.send_raw(b"PROXY TCP4 203.0.113.7 127.0.0.1 1 2\r\n"),
        _ => {}
    }
    client.upgrade("/acc");
    client
}

/// A new member; `None` if nobody lets it in at the moment.
fn join(address: SocketAddr, attack: &Attack) -> Option<TcpStream> {
    let mut socket = TcpStream::connect(address).ok()?;
    if attack.is_open {
        let mut request = Client::request("/acc");
        if attack.name.contains("fragments") {
            request.extend_from_slice(&client_frame(0x01, b"begun"));
        }
        socket.write_all(&request).ok()?;
    }
    socket.set_nonblocking(true).ok()?;
    Some(socket)
}

/// Sends what the kernel takes; false when the server has hung up.
fn push(socket: &mut TcpStream, piece: &[u8]) -> bool {
    match socket.write(piece) {
        Ok(sent) => sent > 0,
        Err(error) => error.kind() == ErrorKind::WouldBlock,
    }
}
