//! The generator that an agent runs, as a process of its own: what it says,
//! when it ends, and how it is ended.

use super::channel::Speaker;
use super::key::VARIABLE;
use super::protocol::{NEWS_BYTES_MAX, News};
use crate::run::led::{MARK, Word};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

/// The half of the conversation that several threads share.
pub(super) type Shared = Arc<Mutex<Speaker>>;

/// A generator at work.
#[derive(Debug)]
pub(super) struct Generator {
    stdin: ChildStdin,
    process: OwnedFd,
}

/// A line of a generator's: the longest is a full histogram.
const LINE_BYTES_MAX: u64 = 2 << 20;

/// A line for people.
const SAID_BYTES_MAX: usize = 1_024;

/// Says it to the coordinator; one that is gone is noticed by whoever listens.
pub(super) fn say(to: &Shared, news: &News) {
    let _gone = to.lock().unwrap_or_else(PoisonError::into_inner).say(news);
}

impl Generator {
    /// Starts it; what it says goes to the coordinator from then on. `ended` runs at its end.
    pub(super) fn start(
        arguments: &[String],
        to: &Shared,
        ended: impl FnOnce() + Send + 'static,
    ) -> io::Result<Self> {
        // This very program, even if its file was replaced meanwhile.
        let mut child = Command::new("/proc/self/exe")
            .args(arguments)
            .args(["--output-format=json", "--no-tui", "--wait-for-start"])
            .env_remove(VARIABLE)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // Ctrl-C on a terminal is for the agent; the generator ends with its stdin.
            .process_group(0)
            .spawn()?;
        let begun = Self::watch(&mut child);
        let (Ok(generator), Some(out), Some(err)) =
            (begun, child.stdout.take(), child.stderr.take())
        else {
            let _killed = child.kill().and_then(|()| child.wait());
            return Err(io::Error::other("the generator cannot be watched"));
        };
        let (talks, reports) = (Arc::clone(to), Arc::clone(to));
        let talk = std::thread::spawn(move || pass_on(BufReader::new(err), &talks));
        std::thread::spawn(move || {
            let mut text = Vec::new();
            let read = out.take(NEWS_BYTES_MAX).read_to_end(&mut text);
            // All that it has said comes before its end.
            let _joined = talk.join();
            let code = child.wait().ok().and_then(|status| status.code());
            let result = read.ok().and_then(|_| serde_json::from_slice(&text).ok());
            ended();
            say(&reports, &News::Done { code, result });
        });
        Ok(generator)
    }

    fn watch(child: &mut Child) -> io::Result<Self> {
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        let process = pidfd_open(pid.ok_or(io::ErrorKind::NotFound)?, PidfdFlags::empty())?;
        let stdin = child.stdin.take().ok_or(io::ErrorKind::BrokenPipe)?;
        Ok(Self { stdin, process })
    }

    /// Lets it go on at this time.
    pub(super) fn go(&mut self, at_ns: i64) {
        // One that has ended already needs no word.
        let _gone = self.stdin.write_all(format!("{at_ns}\n").as_bytes());
    }

    /// Lets it end, and report.
    pub(super) fn end(&self) {
        let _gone = pidfd_send_signal(&self.process, Signal::TERM);
    }
}

impl Drop for Generator {
    /// Nobody is left who would read a report.
    fn drop(&mut self) {
        let _gone = pidfd_send_signal(&self.process, Signal::KILL);
    }
}

fn pass_on(mut from: impl BufRead, to: &Shared) {
    let mut line = Vec::new();
    loop {
        line.clear();
        match from.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        let text = String::from_utf8_lossy(&line);
        let word = text.strip_prefix(MARK).and_then(|word| serde_json::from_str(word).ok());
        say(
            to,
            &match word {
                Some(Word::Meet(what)) => News::Meet(what),
                Some(Word::Part(part)) => News::Part(part),
                None => News::Said(text.trim_end().chars().take(SAID_BYTES_MAX).collect()),
            },
        );
    }
}
