//! Whom a proxy says it speaks for, in the header lines of a request:
//! `X-Forwarded-For`, or `Forwarded` (RFC 7239).
//!
//! Each proxy on the way adds an entry at the end of the list, and whatever
//! stood there before may have been made up by the client. So the list is read
//! from its end, and only as long as who wrote an entry is trusted.

use super::head;
use crate::address::ClientAddr;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::str;

/// What a proxy has written into the list for the client, or proxy, that it got a request from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hop {
    /// An address.
    At(ClientAddr),
    /// A unix socket (`unix:`, as nginx writes it), which says nothing of who is there.
    Unix,
    /// Nothing that can be followed: `unknown`, a hidden name, garbage.
    Nobody,
}

/// The client of a request whose whole head is given, if a trusted proxy names one.
/// `is_trusted` is asked for each hop; `None` is the other end of a unix socket.
///
/// The last entry was written by the peer itself, which the caller has found
/// to be trusted. An entry that is no address (`unknown`, a hidden name,
/// garbage) ends the walk: nobody vouches for what stands before it. Empty elements of
/// a list are ignored (RFC 9110 §5.6.1.2).
///
/// Where both headers are there, `X-Forwarded-For` alone is read: nearly all
/// proxies write that one, and hand on whatever `Forwarded` a client has sent.
pub fn client(head: &[u8], is_trusted: impl Fn(Option<IpAddr>) -> bool) -> Option<ClientAddr> {
    // The head has been read as a handshake already.
    head::parse(head, |request| {
        let lines = |name: &'static str| {
            let named = request.headers.iter().filter(|line| line.name.eq_ignore_ascii_case(name));
            // A value that is no text names nobody, which a question mark does.
            named.rev().map(|line| str::from_utf8(line.value).unwrap_or("?"))
        };
        if lines("x-forwarded-for").next().is_some() {
            let entries = lines("x-forwarded-for").flat_map(|line| line.rsplit(','));
            walk(entries.filter(|entry| !is_empty(entry)).map(hop), is_trusted)
        } else {
            walk(lines("forwarded").flat_map(|line| elements(line).into_iter().rev()), is_trusted)
        }
    })
    .flatten()
}

/// Walks from the end of the list to the first entry that is not trusted, or
/// as far as there are addresses.
fn walk(
    entries: impl Iterator<Item = Hop>,
    is_trusted: impl Fn(Option<IpAddr>) -> bool,
) -> Option<ClientAddr> {
    let mut client = None;
    for entry in entries {
        match entry {
            Hop::At(address) => {
                client = Some(address);
                if address.ip().is_none() || !is_trusted(address.ip()) {
                    break;
                }
            }
            Hop::Unix if is_trusted(None) => {}
            Hop::Unix | Hop::Nobody => break,
        }
    }
    client
}

/// Whether an element of a list is empty, so that it does not count.
fn is_empty(element: &str) -> bool {
    element.trim_matches([' ', '\t']).is_empty()
}

/// Reads what stands for one hop.
fn hop(text: &str) -> Hop {
    match node(text) {
        Some(address) => Hop::At(address),
        None if is_unix(text.trim_matches([' ', '\t'])) => Hop::Unix,
        None => Hop::Nobody,
    }
}

/// Whether this is how a proxy writes a client without an address, with or without the path.
fn is_unix(text: &str) -> bool {
    text == "unix" || text.starts_with("unix:")
}

/// Reads an address with or without a port; an IPv6 address may stand in
/// brackets, and must where a port follows.
fn node(text: &str) -> Option<ClientAddr> {
    let text = text.trim_matches([' ', '\t']);
    if let Ok(ip) = text.parse::<IpAddr>() {
        return Some(ClientAddr::of_ip(ip));
    }
    if let Some(v6) = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return Some(ClientAddr::of_ip(v6.parse::<Ipv6Addr>().ok()?.into()));
    }
    // A port may be hidden as a name; the address before it counts all the same.
    let (host, port) = text.rsplit_once(':')?;
    if port.starts_with('_') && port.len() > 1 {
        return node(host);
    }
    text.parse::<SocketAddr>().ok().map(ClientAddr::from)
}

/// The `for` of each element of a `Forwarded` line, in order. A line that
/// cannot be read is one entry that names nobody.
fn elements(line: &str) -> Vec<Hop> {
    let mut found = Vec::new();
    let mut rest = line;
    loop {
        let Some((hop, behind)) = element(rest) else { return vec![Hop::Nobody] };
        found.extend(hop);
        match behind.strip_prefix(',') {
            Some(more) => rest = more,
            None if behind.is_empty() => return found,
            None => return vec![Hop::Nobody],
        }
    }
}

/// Reads one element, pairs with semicolons between, of which each may be missing (RFC 7239 §4).
/// Returns what its `for` says, or `None` for an element that is empty, and what comes behind it.
fn element(text: &str) -> Option<(Option<Hop>, &str)> {
    let (mut client, mut is_empty) = (None, true);
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches([' ', '\t']);
        if !rest.is_empty() && !rest.starts_with([';', ',']) {
            let (name, behind) = rest.split_once('=').filter(|(name, _)| is_token(name))?;
            let (value, behind) = value(behind)?;
            if name.eq_ignore_ascii_case("for") {
                // Twice would mean one thing to us and another to somebody else.
                if client.is_some() {
                    return None;
                }
                client = Some(hop(&value));
            }
            is_empty = false;
            rest = behind.trim_start_matches([' ', '\t']);
        }
        match rest.strip_prefix(';') {
            Some(more) => (rest, is_empty) = (more, false),
            None => return Some(((!is_empty).then(|| client.unwrap_or(Hop::Nobody)), rest)),
        }
    }
}

/// A token, or a text in quotes; and what comes behind it.
fn value(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([';', ',', ' ', '\t']).unwrap_or(text.len());
        let (token, behind) = text.split_at(end);
        return is_token(token).then(|| (token.to_owned(), behind));
    };
    let mut value = String::new();
    let mut letters = quoted.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => return Some((value, &quoted[at + 1..])),
            '\\' => value.push(letters.next()?.1),
            _ => value.push(letter),
        }
    }
    None
}

/// The letters of names and bare values (RFC 9110 §5.6.2), and the colon and
/// brackets that some proxies leave without the quotes they need.
fn is_token(text: &str) -> bool {
    let is_letter =
        |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~:[]".contains(&byte);
    !text.is_empty() && text.bytes().all(is_letter)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The client of a request with these header lines, seen from behind a
    /// proxy; the network 10.0.0.0/8 and 2001:db8::/32 are trusted.
    fn told(lines: &[&str]) -> Option<String> {
        told_where(false, lines)
    }

    fn told_where(trusts_unix: bool, lines: &[&str]) -> Option<String> {
        let head = format!("GET /acc HTTP/1.1\r\nHost: a\r\n{}\r\n", lines.concat());
        let trusted = ["10.0.0.0/8", "2001:db8::/32"];
        let networks = trusted.map(|network| network.parse::<crate::address::Network>().unwrap());
        let is_trusted = |ip: Option<IpAddr>| {
            ip.map_or(trusts_unix, |ip| networks.iter().any(|network| network.contains(ip)))
        };
        client(head.as_bytes(), is_trusted).map(|client| client.to_string())
    }

    fn expect(cases: &[(&[&str], Option<&str>)]) {
        for (lines, client) in cases {
            assert_eq!(told(lines).as_deref(), *client, "{lines:?}");
        }
    }

    #[test]
    fn the_last_who_is_not_trusted_is_the_client() {
        expect(&[
            (&[], None),
            (&["X-Forwarded-For: 203.0.113.7\r\n"], Some("203.0.113.7")),
            (&["x-forwarded-FOR:203.0.113.7:4711\r\n"], Some("203.0.113.7:4711")),
            (&["X-Forwarded-For: 198.51.100.1, 203.0.113.7\r\n"], Some("203.0.113.7")),
            (
                &["X-Forwarded-For: 198.51.100.1, 203.0.113.7, 10.0.0.2,10.0.0.3\r\n"],
                Some("203.0.113.7"),
            ),
            // Many lines are one list.
            (
                &["X-Forwarded-For: 203.0.113.7\r\n", "X-Forwarded-For: 10.0.0.2\r\n"],
                Some("203.0.113.7"),
            ),
            (
                &["X-Forwarded-For: 198.51.100.1\r\n", "X-Forwarded-For: 203.0.113.7\r\n"],
                Some("203.0.113.7"),
            ),
            // All are trusted: the farthest.
            (&["X-Forwarded-For: 10.0.0.9, 10.0.0.2\r\n"], Some("10.0.0.9")),
            (
                &["X-Forwarded-For: 2001:db9::1, [2001:db8::1], [2001:db8::1]:80\r\n"],
                Some("2001:db9::1"),
            ),
            (&["X-Forwarded-For: ::ffff:203.0.113.7\r\n"], Some("203.0.113.7")),
        ]);
    }

    #[test]
    fn garbage_ends_the_walk() {
        expect(&[
            (&["X-Forwarded-For: 203.0.113.7, unknown, 10.0.0.2\r\n"], Some("10.0.0.2")),
            (&["X-Forwarded-For: 203.0.113.7\r\n", "X-Forwarded-For: \u{ff}\r\n"], None),
            (&["X-Forwarded-For: 203.0.113.7 10.0.0.2\r\n"], None),
            (&["X-Forwarded-For: 999.0.113.7\r\n"], None),
            (&["X-Forwarded-For: \r\n"], None),
            (&["X-Forwarded-For: 203.0.113.7:65536\r\n"], None),
            (&["X-Forwarded-For: [203.0.113.7]\r\n"], None),
        ]);
    }

    #[test]
    fn forwarded_is_read_where_the_other_is_missing() {
        expect(&[
            (&["Forwarded: for=203.0.113.7\r\n"], Some("203.0.113.7")),
            (
                &["Forwarded: For=\"203.0.113.7:4711\";proto=https;by=10.0.0.1\r\n"],
                Some("203.0.113.7:4711"),
            ),
            (
                &["Forwarded: proto=http ; for=\"[2001:db9::1]:4711\"\r\n"],
                Some("[2001:db9::1]:4711"),
            ),
            (&["Forwarded: for=\"[2001:db9::1]:_hidden\"\r\n"], Some("2001:db9::1")),
            (
                &["Forwarded: for=198.51.100.1, for=203.0.113.7, for=10.0.0.2;host=\"a,b;c\"\r\n"],
                Some("203.0.113.7"),
            ),
            (
                &["Forwarded: for=203.0.113.7\r\n", "Forwarded: for=10.0.0.2\r\n"],
                Some("203.0.113.7"),
            ),
            (&["Forwarded: for=\"203.0.1\\13.7\"\r\n"], Some("203.0.113.7")),
            // Without the quotes that it needs.
            (&["Forwarded: for=203.0.113.7:80\r\n"], Some("203.0.113.7:80")),
            // A client may send any of both; its proxy wrote the other.
            (
                &["Forwarded: for=198.51.100.1\r\n", "X-Forwarded-For: 203.0.113.7\r\n"],
                Some("203.0.113.7"),
            ),
        ]);
    }

    #[test]
    fn garbage_in_forwarded_ends_the_walk() {
        expect(&[
            (&["Forwarded: for=unknown\r\n"], None),
            (&["Forwarded: for=_gazonk\r\n"], None),
            (&["Forwarded: for=203.0.113.7, for=_gazonk, for=10.0.0.2\r\n"], Some("10.0.0.2")),
            (&["Forwarded: for=203.0.113.7, proto=https, for=10.0.0.2\r\n"], Some("10.0.0.2")),
            (&["Forwarded: for=203.0.113.7;for=203.0.113.8\r\n"], None),
            (&["Forwarded: for=\"203.0.113.7\r\n"], None),
            (&["Forwarded: for=203.0.113.7 x\r\n"], None),
            (&["Forwarded: for\r\n"], None),
            (&["Forwarded: =203.0.113.7\r\n"], None),
            // An element without a `for` is no empty one.
            (&["Forwarded: for=203.0.113.7,;\r\n"], None),
            (&["Forwarded: for=203.0.113.7, ;proto=https\r\n"], None),
            // A quote that a client left open swallows what its proxy appended to the line.
            (&["Forwarded: for=\"198.51.100.1, for=203.0.113.7\r\n"], None),
            // A line of its own is not touched by it.
            (
                &["Forwarded: for=\"198.51.100.1\r\n", "Forwarded: for=10.0.0.2\r\n"],
                Some("10.0.0.2"),
            ),
        ]);
    }

    #[test]
    fn empty_elements_and_pairs_are_ignored() {
        for line in [
            "X-Forwarded-For: 203.0.113.7,",
            "X-Forwarded-For: , 203.0.113.7 ,, ",
            "X-Forwarded-For: 203.0.113.7, , 10.0.0.2",
            "Forwarded: for=203.0.113.7;",
            "Forwarded: ;for=203.0.113.7",
            "Forwarded: for=203.0.113.7;;proto=https",
            "Forwarded: for=203.0.113.7; ;",
            "Forwarded: for=203.0.113.7,",
            "Forwarded: , for=203.0.113.7 ,,",
            "Forwarded: for=203.0.113.7, ,for=10.0.0.2",
        ] {
            assert_eq!(told(&[line, "\r\n"]).as_deref(), Some("203.0.113.7"), "{line}");
        }
        expect(&[(&["X-Forwarded-For: ,\r\n"], None), (&["Forwarded: ,\r\n"], None)]);
    }

    #[test]
    fn a_unix_hop_is_followed_where_unix_is_trusted() {
        for (line, client) in [
            ("X-Forwarded-For: 203.0.113.7, unix:", "203.0.113.7"),
            ("X-Forwarded-For: 203.0.113.7, unix:,10.0.0.2", "203.0.113.7"),
            ("X-Forwarded-For: 203.0.113.7, unix:/run/a.sock, unix:", "203.0.113.7"),
            ("Forwarded: for=203.0.113.7, for=\"unix:\"", "203.0.113.7"),
            ("Forwarded: for=203.0.113.7, for=unix:", "203.0.113.7"),
            ("X-Forwarded-For: unix:, 203.0.113.7", "203.0.113.7"),
        ] {
            assert_eq!(told_where(true, &[line, "\r\n"]).as_deref(), Some(client), "{line}");
        }
        // Who is behind a socket that is not trusted is not known.
        for (line, client) in [
            ("X-Forwarded-For: 203.0.113.7, unix:", None),
            ("X-Forwarded-For: 203.0.113.7, unix:, 10.0.0.2", Some("10.0.0.2")),
            ("Forwarded: for=203.0.113.7, for=\"unix:\"", None),
        ] {
            assert_eq!(told_where(false, &[line, "\r\n"]).as_deref(), client, "{line}");
        }
        assert_eq!(told_where(true, &["X-Forwarded-For: unix:\r\n"]), None);
        assert_eq!(told_where(true, &["X-Forwarded-For: 203.0.113.7, unixx\r\n"]), None);
    }

    #[test]
    fn any_number_of_header_lines_is_read() {
        let many = "X-More: value\r\n".repeat(200);
        let line = "X-Forwarded-For: 203.0.113.7\r\n";
        assert_eq!(told(&[&many, line, &many]).as_deref(), Some("203.0.113.7"));
    }

    proptest! {
        /// Whatever a client makes up, its proxy's entry behind it is the one that counts,
        /// or none at all.
        #[test]
        fn nobody_names_himself(
            made_up in "([ ,;=\"\\\\a-f0-9.:\\[\\]_]|for=|10\\.0\\.0\\.1|198\\.51\\.100\\.1){0,12}",
            is_line_of_its_own: bool,
        ) {
            for (name, added) in [("X-Forwarded-For", "203.0.113.7"), ("Forwarded", "for=203.0.113.7")] {
                let between = if is_line_of_its_own { format!("\r\n{name}: ") } else { ", ".into() };
                let told = told(&[&format!("{name}: {made_up}{between}{added}\r\n")]);
                prop_assert!(told.as_deref().is_none_or(|told| told == "203.0.113.7"), "{:?}", told);
                prop_assert!(told.is_some() || !is_line_of_its_own);
            }
        }
    }
}
