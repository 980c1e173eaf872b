//! Any bytes get the same answer whether they drip or come at once, and what
//! is granted is a whole head.

#![no_main]

use libfuzzer_sys::fuzz_target;
use millgate::websocket::handshake::{self, Paths, Refusal, Upgrade};

const HEAD_BYTES_MAX: usize = 2_048;
const PATHS: Paths<'_> = Paths {
    commands: "/acc",
    echo: "/e",
};

fn drip(head: &[u8], step: usize) -> Result<Option<Upgrade<'_>>, Refusal> {
    let mut seen = 0;
    while seen < head.len() {
        let end = (seen + step).min(head.len());
        match handshake::read(&head[..end], seen, HEAD_BYTES_MAX, &PATHS) {
            Ok(None) => seen = end,
            done => return done,
        }
    }
    Ok(None)
}

// The first byte says how many bytes drip at once, the others are the head.
fuzz_target!(|data: &[u8]| {
    let Some((&step, head)) = data.split_first() else {
        return;
    };
    let whole = handshake::read(head, 0, HEAD_BYTES_MAX, &PATHS);
    assert_eq!(drip(head, 1), whole);
    assert_eq!(drip(head, usize::from(step).max(1)), whole);

    let mut out = Vec::new();
    match whole {
        Ok(None) => assert!(head.len() < HEAD_BYTES_MAX),
        Ok(Some(upgrade)) => {
            assert!(head[..upgrade.head_len].ends_with(b"\n"));
            upgrade.append_response(&mut out);
        }
        Err(refusal) => refusal.append_response(&mut out),
    }
    assert!(whole_answer(&out), "an answer without an end");
});

/// Nothing yet, or a head that ends.
fn whole_answer(out: &[u8]) -> bool {
    out.is_empty() || out.windows(4).any(|bytes| bytes == b"\r\n\r\n")
}
