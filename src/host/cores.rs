//! Claims on cores, so that two processes of one host do not pin their threads to the same.
//!
//! A claim is a socket with an abstract name. The kernel takes it back when the process ends,
//! however it ends, and no folder has to be writable. Abstract names are those of a network
//! namespace: containers with networks of their own do not see each other's claims.

use rustix::io::Errno;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// Cores that this process alone pins threads to, as long as this lives.
#[derive(Debug, Default)]
pub struct Claims {
    sockets: Vec<UnixDatagram>,
    cores: Vec<usize>,
}

/// Why cores were not claimed.
#[derive(Debug, thiserror::Error)]
pub enum ClaimError {
    /// Other processes have claimed too many.
    #[error("{wanted} cores are wanted and {free} are not claimed by other millgate processes")]
    Taken {
        /// How many were wanted.
        wanted: usize,
        /// How many there were.
        free: usize,
    },
    /// The kernel refuses the sockets that claims are made of.
    #[error("claims on cores cannot be made: socket(2) or bind(2): {0}")]
    Kernel(#[from] io::Error),
}

impl Claims {
    /// Claims the first `wanted` of these cores that are free, or none.
    ///
    /// # Errors
    /// When fewer are free, or the kernel refuses a socket.
    pub fn make(of: &[usize], wanted: usize) -> Result<Self, ClaimError> {
        Self::make_named("millgate", of, wanted)
    }

    fn make_named(prefix: &str, of: &[usize], wanted: usize) -> Result<Self, ClaimError> {
        let mut claims = Self::default();
        for core in of {
            if claims.cores.len() == wanted {
                break;
            }
            let name = SocketAddr::from_abstract_name(format!("{prefix}/core/{core}"))?;
            match UnixDatagram::bind_addr(&name) {
                Ok(socket) => {
                    claims.sockets.push(socket);
                    claims.cores.push(*core);
                }
                Err(error) if Errno::from_io_error(&error) == Some(Errno::ADDRINUSE) => {}
                Err(error) => return Err(error.into()),
            }
        }
        match claims.cores.len() {
            free if free < wanted => Err(ClaimError::Taken { wanted, free }),
            _ => Ok(claims),
        }
    }

    /// The core of a thread, where threads get the claimed cores in turn; `None` without claims.
    #[must_use]
    pub fn core_of(&self, thread: usize) -> Option<usize> {
        self.cores.get(thread.checked_rem(self.cores.len())?).copied()
    }

    /// The claimed cores.
    #[must_use]
    pub fn cores(&self) -> &[usize] {
        debug_assert_eq!(self.sockets.len(), self.cores.len(), "a socket for each");
        &self.cores
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_core_is_claimed_twice() {
        let prefix = format!("millgate-test-{}", std::process::id());
        let claim = |wanted| Claims::make_named(&prefix, &[0, 1, 5], wanted);
        let first = claim(1).unwrap();
        assert_eq!(first.cores(), [0]);
        let second = claim(2).unwrap();
        assert_eq!(second.cores(), [1, 5]);
        assert_eq!([0, 1, 2].map(|thread| second.core_of(thread)), [Some(1), Some(5), Some(1)]);
        assert_eq!(Claims::default().core_of(0), None);
        let error = claim(1).unwrap_err();
        assert!(matches!(error, ClaimError::Taken { wanted: 1, free: 0 }), "{error}");
        drop(first);
        // Of two that are wanted one is free: nothing is kept.
        claim(2).unwrap_err();
        assert_eq!(claim(1).unwrap().cores(), [0]);
        assert_eq!(claim(0).unwrap().cores(), [0_usize; 0]);
    }
}
