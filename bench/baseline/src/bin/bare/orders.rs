//! The threads together: how they start, and what they are told to send.

use crate::answer::{Answer, frame};
use crate::worker::{Start, Worker};
use millgate::clock::Clock;
use millgate_baseline::Listen;
use rustix::event::{EventfdFlags, eventfd};
use rustix::thread::{CpuSet, sched_getaffinity};
use std::io::{self, BufRead, Read};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread::{self, JoinHandle};

/// All threads of a bare loop.
pub(crate) struct Workers {
    threads: Vec<Thread>,
    sent: Receiver<u64>,
}

struct Thread {
    running: JoinHandle<()>,
    bell: Arc<OwnedFd>,
    orders: SyncSender<Arc<[u8]>>,
}

/// What one order may send to each socket: a page of memory.
const PAYLOAD_BYTES_MAX: usize = 4_096;
/// The longest order: a word, a space, a payload, the end of the line.
const LINE_BYTES_MAX: u64 = PAYLOAD_BYTES_MAX as u64 + 16;

impl Workers {
    /// Starts them one by one; the first one may choose the port.
    pub(crate) fn start(listen: &Listen, answer: Answer) -> io::Result<(Self, SocketAddr)> {
        let cores = cores()?;
        let mut address = listen.listen;
        let (counts, sent) = mpsc::sync_channel(listen.threads());
        let mut threads = Vec::new();
        for index in 0..listen.threads() {
            let bell = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
            let (orders, inbox) = mpsc::sync_channel(1);
            let core = cores[index % cores.len()];
            let counts = counts.clone();
            let start = Start { address, core, answer, bell: Arc::clone(&bell), inbox, counts };
            let (started, listening) = mpsc::sync_channel(1);
            let running = thread::Builder::new()
                .name(format!("bare-{index}"))
                .spawn(move || serve(start, &started))?;
            address = listening.recv().map_err(io::Error::other)??;
            threads.push(Thread { running, bell, orders });
        }
        Ok((Self { threads, sent }, address))
    }

    /// Carries out what the lines say, until there are no more.
    pub(crate) fn obey(&self, mut lines: impl BufRead) -> io::Result<()> {
        let mut line = String::new();
        loop {
            line.clear();
            if lines.by_ref().take(LINE_BYTES_MAX).read_line(&mut line)? == 0 {
                return Ok(());
            }
            match payload(line.trim_end_matches('\n')) {
                Ok(payload) => self.send(&frame(payload.as_bytes()))?,
                Err(complaint) => eprintln!("bare: {complaint}"),
            }
        }
    }

    /// Sends a frame to all sockets of all threads, and says how long it took.
    fn send(&self, frame: &[u8]) -> io::Result<()> {
        let frame: Arc<[u8]> = frame.into();
        let clock = Clock::start();
        for thread in &self.threads {
            thread.orders.send(Arc::clone(&frame)).map_err(io::Error::other)?;
            rustix::io::write(&thread.bell, &1_u64.to_ne_bytes())?;
        }
        let counts = self.threads.iter().map(|_| self.sent.recv().map_err(io::Error::other));
        let count: u64 = counts.sum::<io::Result<u64>>()?;
        let seconds = clock.now().as_secs_f64();
        println!("sent {count} in {seconds:.6}");
        Ok(())
    }

    /// Goes on serving; ends only when the process is killed.
    pub(crate) fn join(self) -> io::Result<()> {
        let all = self.threads.into_iter().try_for_each(|thread| thread.running.join());
        all.map_err(|_| io::Error::other("a thread has panicked"))
    }
}

/// What an order says is to be sent.
fn payload(order: &str) -> Result<String, String> {
    let complaint = || {
        let most = PAYLOAD_BYTES_MAX;
        format!("an order is `send BYTES` or `text WORDS`, of 1 to {most} bytes")
    };
    let payload = match order.split_once(' ') {
        Some(("send", bytes)) => match bytes.parse() {
            Ok(bytes @ 0..=PAYLOAD_BYTES_MAX) => "x".repeat(bytes),
            _ => return Err(complaint()),
        },
        Some(("text", words)) => words.to_owned(),
        _ => return Err(complaint()),
    };
    let fits = (1..=PAYLOAD_BYTES_MAX).contains(&payload.len());
    if fits { Ok(payload) } else { Err(complaint()) }
}

/// The life of a thread. What ends it ends the process: figures of a loop that
/// has lost a part of itself would mean nothing.
fn serve(start: Start, started: &SyncSender<io::Result<SocketAddr>>) {
    let opened = Worker::open(start);
    let mut worker = match opened {
        Ok((worker, address)) => {
            // Who started it waits for this, or has failed already.
            let _told = started.send(Ok(address));
            worker
        }
        Err(error) => {
            let _told = started.send(Err(error));
            return;
        }
    };
    if let Err(error) = worker.run() {
        eprintln!("bare: {error}");
        std::process::exit(1);
    }
}

/// The cores that this process may use.
fn cores() -> io::Result<Vec<usize>> {
    let allowed = sched_getaffinity(None)?;
    Ok((0..CpuSet::MAX_CPU).filter(|core| allowed.is_set(*core)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_say_what_to_send() {
        assert_eq!(payload("send 3").unwrap(), "xxx");
        assert_eq!(payload("send 4096").unwrap().len(), PAYLOAD_BYTES_MAX);
        assert_eq!(payload("text two words").unwrap(), "two words");
        let long = format!("text {}", "a".repeat(PAYLOAD_BYTES_MAX + 1));
        for order in ["", "send", "send 0", "send 4097", "send -1", "text ", "text", "go 3", &long]
        {
            assert!(payload(order).unwrap_err().contains("send BYTES"), "{order}");
        }
    }
}
