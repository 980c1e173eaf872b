//! Origins of web pages, as browsers write them.

use std::net::Ipv6Addr;

/// Whether a browser would send exactly this as `Origin`: scheme, host and
/// port, all in small letters, without a path and without the port that the
/// scheme implies. Anything else would never be equal to what is sent.
pub(super) fn is_origin(text: &str) -> bool {
    let (rest, implied) = match (text.strip_prefix("http://"), text.strip_prefix("https://")) {
        (Some(rest), _) => (rest, 80),
        (_, Some(rest)) => (rest, 443),
        _ => return false,
    };
    // The colons of an IPv6 address stand in brackets.
    let port_at = rest.rfind(':').filter(|at| !rest[*at..].contains(']'));
    let (host, port) = port_at.map_or((rest, None), |at| (&rest[..at], Some(&rest[at + 1..])));
    is_host(host) && port.is_none_or(|port| is_port(port, implied))
}

fn is_host(host: &str) -> bool {
    match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        // In the one shortest form.
        Some(v6) => v6.parse::<Ipv6Addr>().is_ok_and(|address| address.to_string() == v6),
        None => {
            let is_of_name = |b: u8| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_');
            !host.is_empty() && host.bytes().all(is_of_name)
        }
    }
}

fn is_port(port: &str, implied: u16) -> bool {
    port.parse::<u16>().is_ok_and(|number| number != implied && number.to_string() == port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_what_a_browser_sends() {
        for good in [
            "https://chat.example.org",
            "http://localhost:8080",
            "http://127.0.0.1:443",
            "https://xn--bcher-kva.example:8443",
            "http://[::1]",
            "http://[2001:db8::1]:8080",
        ] {
            assert!(is_origin(good), "{good}");
        }
        for bad in [
            "",
            "*",
            "null",
            "chat.example.org",
            "ws://chat.example.org",
            "https://",
            "https://:8443",
            "https://chat.example.org/",
            "https://chat.example.org/home",
            "https://chat.example.org?x",
            "https://*.example.org",
            "https://Chat.example.org",
            "HTTPS://chat.example.org",
            "https://b\u{fc}cher.example",
            "https://ann@chat.example.org",
            "https://chat.example.org:443",
            "http://chat.example.org:80",
            "http://chat.example.org:",
            "http://chat.example.org:08080",
            "http://chat.example.org:65536",
            "http://::1",
            "http://[0:0:0:0:0:0:0:1]",
            "http://[::1]x",
            "http://a b",
        ] {
            assert!(!is_origin(bad), "{bad}");
        }
    }
}
