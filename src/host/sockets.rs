//! Who is connected to a port of this host, as the kernel lists it.
//!
//! Asking the kernel keeps the addresses out of every connection's memory,
//! and the reactors out of the answer.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// A walk over the established TCP connections of one local port.
///
/// Reading may take long where there are many sockets: use it on a thread that
/// may block. The list is no snapshot; who comes or goes during the walk may
/// be in it or not.
#[derive(Debug)]
pub struct Peers<R = BufReader<File>> {
    port: u16,
    /// What is still to be read, the current one last.
    tables: Vec<R>,
    line: String,
}

impl Peers {
    /// Opens the kernel's lists for `port`.
    ///
    /// # Errors
    /// When /proc cannot be read.
    pub fn of_port(port: u16) -> io::Result<Self> {
        let mut tables = Vec::with_capacity(2);
        match File::open("/proc/self/net/tcp6") {
            Ok(file) => tables.push(BufReader::new(file)),
            // A host without IPv6 has no such list.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        tables.push(BufReader::new(File::open("/proc/self/net/tcp")?));
        Ok(Self { port, tables, line: String::new() })
    }
}

impl<R: BufRead> Peers<R> {
    /// Those found in the next `lines` lines, which may be nobody; `None` at the end.
    ///
    /// # Errors
    /// When the kernel's list cannot be read on.
    pub fn next(&mut self, lines: usize) -> io::Result<Option<Vec<SocketAddr>>> {
        let mut found = Vec::new();
        for _ in 0..lines {
            let Some(table) = self.tables.last_mut() else {
                return Ok((!found.is_empty()).then_some(found));
            };
            self.line.clear();
            if table.read_line(&mut self.line)? == 0 {
                self.tables.pop();
            } else if let Some((port, peer)) = established(&self.line)
                && port == self.port
            {
                found.push(peer);
            }
        }
        Ok(Some(found))
    }
}

/// The state's number in the list, from the kernel's `tcp_states.h`.
const ESTABLISHED: &str = "01";

/// Local port and peer of an established connection; `None` for other lines.
fn established(line: &str) -> Option<(u16, SocketAddr)> {
    let mut words = line.split_ascii_whitespace().skip(1);
    let (local, peer) = (words.next()?, words.next()?);
    if words.next()? != ESTABLISHED {
        return None;
    }
    let (_, port) = local.split_once(':')?;
    Some((u16::from_str_radix(port, 16).ok()?, address(peer)?))
}

/// Reads `0100007F:1F99` or its IPv6 kin: words of 32 bits in the byte order
/// of the host, each holding bytes in that of the network.
fn address(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let word = |at: usize| {
        let digits = ip.get(at * 8..at * 8 + 8)?;
        u32::from_str_radix(digits, 16).ok().map(u32::to_ne_bytes)
    };
    let ip = match ip.len() {
        8 => IpAddr::from(word(0)?),
        32 => {
            let mut octets = [0; 16];
            for (at, four) in octets.chunks_exact_mut(4).enumerate() {
                four.copy_from_slice(&word(at)?);
            }
            // An IPv4 client of a dual-stack listener is shown as what it is.
            Ipv6Addr::from(octets).to_canonical()
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};

    const TCP: &str = "\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000:1F99 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 1 1 0 100
   1: 0100007F:1F99 0A0200C0:C350 01 00000000:00000000 00:00000000 00000000  1000        0 2 1 0 20
   2: 0100007F:1F90 0100007F:C351 01 00000000:00000000 00:00000000 00000000  1000        0 3 1 0 20
   3: 0100007F:1F99 0100007F:C352 06 00000000:00000000 03:00001770 00000000     0        0 0 3 0
 nonsense
";
    const TCP6: &str = "\
  sl  local_address                         remote_address                        st tx_queue
   0: 00000000000000000000000000000000:1F99 00000000000000000000000000000000:0000 0A 00000000
   1: 0000000000000000FFFF00000100007F:1F99 0000000000000000FFFF00000100007F:C353 01 00000000
   2: B80D0120000000000000000001000000:1F99 B80D0120000000000000000002000000:C354 01 00000000
";

    fn peers(port: u16, texts: [&str; 2]) -> Peers<&[u8]> {
        Peers { port, tables: texts.map(str::as_bytes).into(), line: String::new() }
    }

    fn all<R: BufRead>(mut peers: Peers<R>, lines: usize) -> Vec<String> {
        let mut found = Vec::new();
        while let Some(some) = peers.next(lines).unwrap() {
            found.extend(some.iter().map(ToString::to_string));
        }
        found
    }

    #[cfg(target_endian = "little")]
    #[test]
    fn established_peers_of_the_port_are_found() {
        let expected = ["192.0.2.10:50000", "127.0.0.1:50003", "[2001:db8::2]:50004"];
        for lines in [1, 3, 1_000] {
            assert_eq!(all(peers(8089, [TCP6, TCP]), lines), expected);
        }
        assert_eq!(all(peers(8080, [TCP6, TCP]), 10), ["127.0.0.1:50001"]);
        assert_eq!(all(peers(1, [TCP6, TCP]), 10), [""; 0]);
    }

    #[test]
    fn broken_lines_are_passed_over() {
        for line in
            ["", "1:", "1: 0:0 0:0 01", "1: 0100007F:1F99 zz00007F:C350 01", "1: é:1 é:2 01"]
        {
            assert_eq!(established(line), None, "{line}");
        }
    }

    #[test]
    fn the_kernel_lists_a_real_connection() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let _accepted = listener.accept().unwrap();
        let found = all(Peers::of_port(port).unwrap(), 100);
        assert_eq!(found, [client.local_addr().unwrap().to_string()]);
    }
}
