//! Binding a source address without binding a port: unsafe, for one system call.

#![allow(unsafe_code, reason = "IP_BIND_ADDRESS_NO_PORT has no safe wrapper")]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Lets `connect()` choose the port, when it knows the other three parts of the
/// tuple: so a port may serve towards several servers (ip(7), since Linux 4.2).
/// Works for IPv6 sockets too.
///
/// # Errors
/// What setsockopt(2) says.
pub(super) fn set(socket: BorrowedFd<'_>) -> io::Result<()> {
    let on: libc::c_int = 1;
    let length = libc::socklen_t::try_from(size_of_val(&on)).unwrap_or(0);
    // SAFETY: the pointer and the length describe `on`, which outlives the
    // call; the kernel only reads it.
    let done = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_IP,
            libc::IP_BIND_ADDRESS_NO_PORT,
            (&raw const on).cast(),
            length,
        )
    };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
