//! What reactors tell, taken to where tokio can wait for it.

use super::tasks::Tasks;
use crate::host::refused::Explain;
use crate::link::Mailbox;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// Takes a mailbox by a thread of its own: a reactor can only ring a bell
/// that its descriptor table holds, and tokio's are not among them. At most `ahead`
/// letters are taken before somebody reads them.
///
/// # Errors
/// When the kernel refuses a thread.
pub(super) fn listen<T: Send + 'static>(
    name: &'static str,
    mailbox: Mailbox<T>,
    ahead: usize,
    tasks: &Arc<Tasks>,
) -> io::Result<mpsc::Receiver<T>> {
    let (tell, told) = mpsc::channel(ahead);
    let tasks = Arc::clone(tasks);
    let thread = std::thread::Builder::new().name(name.to_owned()).spawn(move || {
        while !tell.is_closed() {
            while let Some(letter) = mailbox.take() {
                // While this waits the mailbox fills up, and what it refuses is counted.
                if tell.blocking_send(letter).is_err() {
                    return;
                }
            }
            if let Err(error) = mailbox.wait(LOOK_AROUND) {
                return tasks.lose(name, &error);
            }
        }
    });
    thread.explain("clone(2)", "a thread")?;
    Ok(told)
}

/// How often the thread looks whether anybody still listens.
const LOOK_AROUND: Duration = Duration::from_millis(500);
