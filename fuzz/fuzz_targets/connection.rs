//! A whole connection: the same bytes in other pieces, with writes that block, come to the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use millgate::config::{Listener, Place};
use millgate::connection::{Connection, Effect, Extra, Input, Output, Rules, Scratch};
use millgate::websocket::message;
use std::io::{self, Read, Write};
use std::time::Duration;

fn rules() -> Rules {
    Rules {
        path: "/acc".into(),
        echo_path: "/echo".into(),
        head_bytes_max: 600,
        message: message::Rules {
            message_bytes: 4_096,
        },
        flow: None,
        outbox_bytes_max: 1 << 20,
        frame_bytes_max: 1 << 20,
        idle_ticks: 60,
        handshake_ticks: 10,
        login_ticks: None,
        message_ticks: Some(5),
        tls: None,
    }
}

/// A socket with one piece to read, and so many bytes of room for writes.
struct Peer<'p> {
    piece: &'p [u8],
    room: usize,
    taken: Vec<u8>,
}

impl Read for Peer<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.piece.read(buffer)? {
            0 => Err(io::ErrorKind::WouldBlock.into()),
            read => Ok(read),
        }
    }
}

impl Write for Peer<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let len = bytes.len().min(self.room);
        if len == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.room -= len;
        self.taken.extend_from_slice(&bytes[..len]);
        Ok(len)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What the pieces come to: commands, bytes to the client, and the cause of the end.
fn run<'p>(
    is_proxied: bool,
    pieces: impl Iterator<Item = &'p [u8]>,
    room: usize,
) -> (Vec<String>, Vec<u8>, Option<String>) {
    let rules = rules();
    let place = Place::Tcp(([127, 0, 0, 1], 0).into());
    let listener = Listener {
        place,
        proxy: is_proxied,
        tls: false,
    };
    let mut connection = Connection::new(Extra::at(&listener), 0);
    let mut peer = Peer {
        piece: &[],
        room: 0,
        taken: Vec::new(),
    };
    let (mut commands, mut cause) = (Vec::new(), None);
    let (mut buffer, mut scratch) = (vec![0; 8_192], Scratch::default());
    for piece in pieces {
        peer.piece = piece;
        peer.room = room;
        while connection.is_alive() {
            let Ok(received) = connection.receive(&mut peer, &mut buffer, 4_096) else {
                break;
            };
            let mut out = Output::default();
            let bytes = &mut buffer[..received.filled];
            let (seen, now) = (received.seen, Duration::ZERO);
            let mut input =
                Input::new(&mut connection, bytes, seen, &mut scratch, &rules, now);
            while let Some(effect) = connection.next(&mut input, &mut out, &rules, now) {
                match effect {
                    Effect::Client => {}
                    Effect::Request { upgrade, .. } => {
                        upgrade.append_response(&mut out.replies);
                        connection.open(upgrade.endpoint, 0);
                    }
                    Effect::Message {
                        incoming,
                        is_admitted,
                    } => {
                        let command =
                            connection.respond(incoming, is_admitted, &mut out, &rules);
                        commands.extend(command.map(|command| command.into_owned()));
                    }
                }
            }
            connection.finish(input, &mut out, &rules, 0);
            connection.send(&out.replies, &mut peer).expect("it only blocks");
            if let Some(ending) = out.ending {
                cause = Some(ending.cause.name().to_owned());
                connection.release_held();
                match ending.after {
                    Some(after) => connection.begin_end(after, 0),
                    None => connection.bury(),
                }
            }
        }
        connection.flush(&mut peer).expect("it only blocks");
    }
    peer.room = usize::MAX;
    connection.flush(&mut peer).expect("it only blocks");
    (commands, peer.taken, cause)
}

fuzz_target!(|data: &[u8]| {
    let [flags, len, room, stream @ ..] = data else {
        return;
    };
    let is_proxied = flags & 1 == 1;
    let len = usize::from(*len).max(1);
    let whole = run(is_proxied, stream.chunks(4_000), usize::MAX);
    let cut = run(is_proxied, stream.chunks(len), (*room).into());
    assert_eq!(whole.0, cut.0);
    assert_eq!(whole.2, cut.2);
    // A connection that is lost at once takes no more of what waits.
    if !cut.2.as_deref().is_some_and(|cause| cause == "proxy_header") {
        assert_eq!(whole.1, cut.1);
    }
});
