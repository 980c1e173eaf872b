//! What reactors tell, taken to where tokio can wait for it.

use crate::host::refused::Explain;
use crate::link::Mailbox;
use std::io;
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
) -> io::Result<mpsc::Receiver<T>> {
    let (tell, told) = mpsc::channel(ahead);
    let thread = std::thread::Builder::new().name(name.to_owned()).spawn(move || {
        while !tell.is_closed() {
            while let Some(letter) = mailbox.take() {
                // While this waits the mailbox fills up, and what it refuses is counted.
                if tell.blocking_send(letter).is_err() {
                    return;
                }
            }
            if let Err(error) = mailbox.wait(LOOK_AROUND) {
                tracing::error!(%error, name, "nothing more that reactors tell is heard");
                return;
            }
        }
    });
    thread.explain("clone(2)", "a thread")?;
    Ok(told)
}

/// How often the thread looks whether anybody still listens.
const LOOK_AROUND: Duration = Duration::from_millis(500);
