//! A descriptor table for one thread: the gateway's only unsafe room.
//!
//! `RLIMIT_NOFILE` bounds a descriptor *table*, not a process (kernel:
//! `fs/file.c`, `alloc_fd`). With a table for each reactor a host that allows
//! 20,000 descriptors holds a million sockets in one process, accept and close
//! of different cores stop contending for one lock, and no other thread can
//! touch a socket by mistake.

#![allow(unsafe_code, reason = "unshare(2) and close_range(2) have no safe wrapper")]

use super::refused::Explain;
use crate::limits::{CONNECTIONS_PER_REACTOR_MAX, FD_RESERVE};
use std::io;
use std::os::fd::RawFd;

/// Connections that one reactor may own: a table of its own is its alone, a
/// common one is divided.
#[must_use]
pub fn capacity(open_files_max: u64, reactors: usize, private_table: bool) -> usize {
    let files = usize::try_from(open_files_max).unwrap_or(usize::MAX);
    let table = files.saturating_sub(FD_RESERVE + reactors);
    let share = if private_table { table } else { table / reactors };
    share.clamp(1, CONNECTIONS_PER_REACTOR_MAX)
}

/// Whether threads may have tables of their own: tries it with a thread that ends at once. The
/// default seccomp profiles of container runtimes refuse `unshare(2)` without `CAP_SYS_ADMIN`.
///
/// # Errors
/// When the kernel refuses; the message names the system call.
pub fn test() -> io::Result<()> {
    let thread = std::thread::Builder::new().name("test".into()).spawn(|| make_private(&[]));
    let ended = thread.explain("clone(2)", "a thread")?.join();
    ended.unwrap_or_else(|_| Err(io::Error::other("the thread that tried it has panicked")))
}

/// Gives the calling thread its own copy of the descriptor table and closes
/// everything in it except the standard streams and `keep`.
///
/// Call it before the thread opens anything. Descriptors that other threads
/// hold stay open in their table: only the copy is emptied, without which a
/// listener of another thread would live on here after its owner closed it.
///
/// # Errors
/// When the kernel refuses: out of memory, or a system call filter.
pub fn make_private(keep: &[RawFd]) -> io::Result<()> {
    // SAFETY: takes no pointers and changes nothing but the calling thread's
    // reference to the descriptor table, which it replaces by a copy.
    if unsafe { libc::unshare(libc::CLONE_FILES) } != 0 {
        let refused = Err(io::Error::last_os_error());
        return refused.explain("unshare(CLONE_FILES)", "a descriptor table of its own");
    }
    let mut kept: Vec<RawFd> =
        keep.iter().copied().filter(|fd| *fd > STANDARD_STREAM_LAST).collect();
    kept.sort_unstable();
    let mut first = STANDARD_STREAM_LAST + 1;
    for fd in kept {
        close_range(first, fd - 1)?;
        first = fd + 1;
    }
    close_range(first, RawFd::MAX)
}

const STANDARD_STREAM_LAST: RawFd = 2;

fn close_range(first: RawFd, last: RawFd) -> io::Result<()> {
    if first > last {
        return Ok(());
    }
    // SAFETY: the table belongs to this thread alone since the unshare above,
    // and this thread has not opened anything: no object owns these copies.
    let done = unsafe {
        libc::syscall(libc::SYS_close_range, first.cast_unsigned(), last.cast_unsigned(), 0_u32)
    };
    let done = if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) };
    done.explain("close_range(2)", "to empty a copied descriptor table")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_kernel_gives_tables() {
        test().unwrap();
    }

    #[test]
    fn a_private_table_is_not_divided() {
        assert_eq!(capacity(20_000, 50, true), 20_000 - FD_RESERVE - 50);
        assert_eq!(capacity(20_000, 50, false), (20_000 - FD_RESERVE - 50) / 50);
        assert_eq!(capacity(u64::MAX, 2, true), CONNECTIONS_PER_REACTOR_MAX);
        assert_eq!(capacity(0, 2, true), 1);
    }
}
