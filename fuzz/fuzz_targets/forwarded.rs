//! Nobody but the last whom trusted proxies have seen is the client, whatever
//! stands before.

#![no_main]

use libfuzzer_sys::fuzz_target;
use millgate::address::Network;
use millgate::websocket::forwarded;

// The data is what a client has made up; the proxy adds its own entry behind it.
fuzz_target!(|data: &[u8]| {
    if data.contains(&b'\n') || data.contains(&b'\r') {
        return;
    }
    let proxies: Network = "10.0.0.0/8".parse().expect("a network");
    let is_trusted = |ip| proxies.contains(ip);
    let told = |name: &[u8], added: &[u8]| {
        let lines: [&[u8]; 6] = [b"GET / HTTP/1.1\r\n", name, b": ", data, added, b"\r\n\r\n"];
        forwarded::client(&lines.concat(), is_trusted)
    };
    let client = "203.0.113.7".parse().ok();
    if let Some(told) = told(b"X-Forwarded-For", b", 203.0.113.7") {
        assert_eq!(Some(told), client);
    }
    if let Some(told) = told(b"Forwarded", b", for=203.0.113.7") {
        assert_eq!(Some(told), client);
    }
});
