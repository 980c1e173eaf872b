//! A header of the PROXY protocol is judged alike however it is cut, and never
//! longer than it may be.

#![no_main]

use libfuzzer_sys::fuzz_target;
use millgate::websocket::proxy::{self, HEADER_BYTES_MAX};

fuzz_target!(|data: &[u8]| {
    let whole = proxy::read(data);
    if let Ok(Some(header)) = whole {
        assert!(header.len <= data.len() && header.len <= HEADER_BYTES_MAX);
    }
    assert!(whole != Ok(None) || data.len() < HEADER_BYTES_MAX);
    // Whatever is certain of a beginning holds for all that goes on from it.
    for cut in 0..data.len().min(HEADER_BYTES_MAX) {
        match proxy::read(&data[..cut]) {
            Ok(None) => {}
            certain => {
                assert_eq!(certain, whole);
                break;
            }
        }
    }
});
