//! Whether the threads of a node can be started at all.

use super::refused::Explain;
use std::io;
use std::sync::mpsc;
use std::thread::{Builder, JoinHandle};

/// Starts `count` threads that live at the same time, and ends them again. Without this test a
/// library that cannot start its thread panics, or waits for ever for a thread that never was.
///
/// # Errors
/// When the kernel refuses one of them; the message says how many there may be.
pub fn test(count: usize) -> io::Result<()> {
    let mut waiting: Vec<(mpsc::Sender<()>, JoinHandle<()>)> = Vec::with_capacity(count);
    let mut refused = None;
    for _ in 0..count {
        let (end, ended) = mpsc::channel::<()>();
        let thread = Builder::new().name("test".into()).spawn(move || {
            // The other end is dropped when all have been started.
            let _ended = ended.recv();
        });
        match thread.explain("clone(2)", "a thread") {
            Ok(thread) => waiting.push((end, thread)),
            Err(error) => {
                refused = Some(error);
                break;
            }
        }
    }
    let started = waiting.len();
    let (ends, threads): (Vec<_>, Vec<_>) = waiting.into_iter().unzip();
    drop(ends);
    for thread in threads {
        // Nothing in it can panic.
        let _ended = thread.join();
    }
    match refused {
        None => Ok(()),
        Some(error) => Err(io::Error::new(
            error.kind(),
            format!("{count} threads are needed and {started} can be started: {error}"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_threads_can_be_started() {
        test(0).unwrap();
        test(5).unwrap();
    }
}
