//! The figures that the README quotes, and how they are measured.

use crate::client::{Crowd, now, text_frame};
use crate::server::Server;
use std::cell::Cell;
use std::io;
use std::ops::Range;
use std::path::Path;
use std::time::Duration;

/// Measures and prints everything.
pub(crate) fn print(gateway: &Path, rounds: usize, connections: usize) -> io::Result<()> {
    memory(gateway)?;
    echo(gateway, rounds, connections)?;
    logins(gateway, rounds)
}

/// Bytes per connection as a slope over plateaus: what the process costs
/// anyhow does not count, and neither do the kernel's own structures.
fn memory(gateway: &Path) -> io::Result<()> {
    const PLATEAUS: [usize; 6] = [2_500, 5_000, 7_500, 10_000, 12_500, 15_000];
    let quiet = ["announce.exact_up_to=0", "announce.digests_per_second=0"];
    for login in [false, true] {
        let server = Server::gateway(gateway, 2, &quiet)?;
        let mut crowd = Crowd::new()?;
        let mut points = Vec::new();
        let mut here = 0;
        for count in PLATEAUS {
            crowd.grow(server.address, Some("/acc"), count)?;
            if login {
                crowd.log_in(here..count)?;
            }
            here = count;
            points.push((count as f64, server.memory()? as f64));
        }
        let state = if login { "logged in" } else { "idle" };
        println!("memory per connection, {state}: {:.1} bytes", slope(&points));
    }
    Ok(())
}

/// Messages that one CPU-second of the server echoes, beside the bare loop, in turn.
fn echo(gateway: &Path, rounds: usize, connections: usize) -> io::Result<()> {
    let mut ratios = Vec::new();
    for round in 1..=rounds {
        let server = Server::gateway(gateway, 1, &[])?;
        let ours = echoes_per_cpu_second(&server, Some("/echo"), connections)?;
        drop(server);
        let bare = echoes_per_cpu_second(&Server::bare()?, None, connections)?;
        println!("echo, round {round}: {ours:.0} messages a CPU-second, bare {bare:.0}");
        ratios.push(ours / bare);
    }
    let (least, median, most) = spread(&mut ratios);
    println!(
        "echo, {connections} connections: {median:.3} of the bare loop ({least:.3} to {most:.3})"
    );
    Ok(())
}

fn echoes_per_cpu_second(
    server: &Server,
    path: Option<&str>,
    connections: usize,
) -> io::Result<f64> {
    const MESSAGE: &str = "0123456789abcdef0123456789abcdef";
    let mut crowd = Crowd::new()?;
    crowd.grow(server.address, path, connections)?;
    let frame = text_frame(MESSAGE);
    crowd.send_some(0..connections, |_| frame.clone())?;
    let count = Cell::new(0_u64);
    let again = |_: usize, _: &[u8]| {
        count.set(count.get() + 1);
        Some(frame.clone())
    };
    crowd.serve(Duration::from_secs(1), again, || false)?;
    let (cpu, messages) = (server.cpu()?, count.get());
    crowd.serve(Duration::from_secs(4), again, || false)?;
    let cpu = server.cpu()? - cpu;
    Ok((count.get() - messages) as f64 / cpu.as_secs_f64())
}

/// Logins a second into one room of 2,000, all at once, with the announcements of the defaults.
fn logins(gateway: &Path, rounds: usize) -> io::Result<()> {
    const ROOM: usize = 2_000;
    let mut rates = Vec::new();
    for _ in 0..rounds {
        let server = Server::gateway(gateway, 2, &[])?;
        let mut crowd = Crowd::new()?;
        crowd.grow(server.address, Some("/acc"), ROOM)?;
        let time = crowd.log_in(0..ROOM)?;
        rates.push(ROOM as f64 / time.as_secs_f64());
    }
    let (least, median, most) = spread(&mut rates);
    println!("{ROOM} logins into one room: {median:.0} a second ({least:.0} to {most:.0})");
    Ok(())
}

/// Least, median and most; there is at least one.
fn spread(values: &mut [f64]) -> (f64, f64, f64) {
    values.sort_by(f64::total_cmp);
    (values[0], values[values.len() / 2], values[values.len() - 1])
}

impl Crowd {
    /// Logs in these connections and waits for every reply; pushes are read and dropped.
    fn log_in(&mut self, who: Range<usize>) -> io::Result<Duration> {
        let expected = who.len();
        let begin = now();
        self.send_some(who, |index| {
            text_frame(&format!(
                "{{\"seq\":\"1\",\"cmd\":\"login\",\"data\":{{\"userID\":\"u{index}\",\"appID\":101}}}}"
            ))
        })?;
        let replies = Cell::new(0);
        let needle = b"\"cmd\":\"login\"";
        let take = |_: usize, bytes: &[u8]| {
            // A reply comes once to a connection; only one cut by the end of a
            // read could be missed, and the limit below would tell.
            if bytes.windows(needle.len()).any(|window| window == needle) {
                replies.set(replies.get() + 1);
            }
            None
        };
        self.serve(Duration::from_secs(60), take, || replies.get() == expected)?;
        if replies.get() < expected {
            return Err(io::Error::other("not every login was answered"));
        }
        Ok(begin.elapsed())
    }
}

/// Least squares.
fn slope(points: &[(f64, f64)]) -> f64 {
    let n = points.len() as f64;
    let mean_x = points.iter().map(|(x, _)| x).sum::<f64>() / n;
    let mean_y = points.iter().map(|(_, y)| y).sum::<f64>() / n;
    let over: f64 = points.iter().map(|(x, y)| (x - mean_x) * (y - mean_y)).sum();
    let under: f64 = points.iter().map(|(x, _)| (x - mean_x).powi(2)).sum();
    over / under
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_its_slope() {
        let points = [(0.0, 7.0), (1.0, 10.0), (2.0, 13.0)];
        assert!((slope(&points) - 3.0).abs() < 1e-9);
    }
}
