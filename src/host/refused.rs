//! Words for system calls that the kernel refuses.

use rustix::io::Errno;
use std::fmt;
use std::io;

/// A system call that was refused: which, for what, why, and what to do about it.
#[derive(Debug)]
pub struct Refused {
    call: &'static str,
    purpose: &'static str,
    error: io::Error,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { call, purpose, error } = self;
        write!(f, "the kernel refuses {purpose}: {call}: {error}")?;
        match remedy(error) {
            Some(remedy) => write!(f, " ({remedy})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Refused {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.error)
    }
}

/// Says of a failed system call which one it was, and what it was for.
pub trait Explain<T> {
    /// `call` as in the manual, such as "eventfd(2)"; `purpose` completes "the kernel refuses …".
    ///
    /// # Errors
    /// The same as before, of the same kind, with these words.
    fn explain(self, call: &'static str, purpose: &'static str) -> io::Result<T>;
}

impl<T, E: Into<io::Error>> Explain<T> for Result<T, E> {
    fn explain(self, call: &'static str, purpose: &'static str) -> io::Result<T> {
        self.map_err(|error| {
            let error = error.into();
            io::Error::new(error.kind(), Refused { call, purpose, error })
        })
    }
}

/// What an operator can do about it.
fn remedy(error: &io::Error) -> Option<&'static str> {
    Some(match Errno::from_io_error(error)? {
        Errno::MFILE => "raise the limit of open files: LimitNOFILE= or ulimit -n",
        Errno::NFILE => "the host has no open files left: raise fs.file-max",
        Errno::NOSPC => "raise fs.epoll.max_user_watches",
        Errno::AGAIN => "raise the limit of threads: TasksMax=, pids.max or ulimit -u",
        Errno::NOMEM | Errno::NOBUFS => "the host or the control group is out of memory",
        Errno::PERM | Errno::ACCESS => {
            "a system call filter, a security module or a missing capability forbids it"
        }
        Errno::NOSYS => "this kernel does not have it, or a system call filter hides it",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_call_says_which_why_and_what_to_do() {
        let refused: Result<(), _> = Err(Errno::MFILE);
        let error = refused.explain("eventfd(2)", "a waker").unwrap_err();
        assert_eq!(
            error.to_string(),
            "the kernel refuses a waker: eventfd(2): Too many open files (os error 24) (raise the \
             limit of open files: LimitNOFILE= or ulimit -n)"
        );
        let refused: io::Result<()> = Err(Errno::PERM.into());
        let error = refused.explain("unshare(2)", "a descriptor table").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
        assert!(error.to_string().contains("system call filter"), "{error}");
        let refused: io::Result<()> = Err(io::Error::other("something else"));
        let error = refused.explain("x(2)", "it").unwrap_err();
        assert_eq!(error.to_string(), "the kernel refuses it: x(2): something else");
    }
}
