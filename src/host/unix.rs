//! A unix socket that is listened on, and its file.

use crate::limits::LISTEN_BACKLOG;
use rustix::fs::{FlockOperation, Mode, flock};
use socket2::{Domain, SockAddr, Socket, Type};
use std::fs::{self, File, Permissions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A listening unix socket. Its file goes with it, unless another one has
/// taken the place meanwhile.
#[derive(Debug)]
pub struct UnixDoor {
    socket: Arc<OwnedFd>,
    path: PathBuf,
    /// Device and inode.
    file: (u64, u64),
}

impl UnixDoor {
    /// Listens at `path`, with these permissions of the file; the socket does
    /// not block. What a process left behind that lives no more is replaced.
    ///
    /// # Errors
    /// `EADDRINUSE` if somebody listens there, `EEXIST` if there is a file that
    /// is no socket, or whatever else the kernel says.
    pub fn open(path: &Path, mode: u32) -> io::Result<Self> {
        // Two that start at once must not each take the other's file for a left-over.
        let folder = File::open(path.parent().unwrap_or(Path::new("/")))?;
        flock(&folder, FlockOperation::LockExclusive)?;
        remove_left_over(path)?;
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        bind_with_mode(&socket, path, mode)?;
        let metadata = fs::symlink_metadata(path)?;
        let file = (metadata.dev(), metadata.ino());
        let door = Self { path: path.to_owned(), file, socket: Arc::new(socket.into()) };
        // Adds what the umask has removed; clients can connect only after `listen`.
        fs::set_permissions(path, Permissions::from_mode(mode))?;
        rustix::net::listen(&door.socket, LISTEN_BACKLOG)?;
        Ok(door)
    }

    /// The socket, which whoever accepts from it shares.
    #[must_use]
    pub fn socket(&self) -> Arc<OwnedFd> {
        Arc::clone(&self.socket)
    }
}

impl Drop for UnixDoor {
    fn drop(&mut self) {
        let is_ours = fs::symlink_metadata(&self.path)
            .is_ok_and(|metadata| (metadata.dev(), metadata.ino()) == self.file);
        if is_ours && let Err(error) = fs::remove_file(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "the socket's file stays behind");
        }
    }
}

/// Binds a socket at `path`. The file never has more permissions than `mode`,
/// also not for a moment: Linux gives it those of the socket, less the umask.
fn bind_with_mode(socket: &Socket, path: &Path, mode: u32) -> io::Result<()> {
    rustix::fs::fchmod(socket, Mode::from_raw_mode(mode))?;
    socket.bind(&SockAddr::unix(path)?)
}

/// What stands where a socket is wanted and would not be replaced, if anything does. A folder
/// that is not there is none: a service manager makes it when it starts the service.
#[must_use]
pub fn obstacle(path: &Path) -> Option<String> {
    match fs::symlink_metadata(path) {
        Ok(metadata) if !metadata.file_type().is_socket() => {
            Some("there is a file that is no socket".to_owned())
        }
        Err(error) if error.kind() != io::ErrorKind::NotFound => Some(error.to_string()),
        _ => None,
    }
}

/// Removes a socket's file that nobody listens at any more.
fn remove_left_over(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
        Ok(metadata) if !metadata.file_type().is_socket() => {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, "a file that is no socket"));
        }
        Ok(_) => {}
    }
    let caller = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    // A queue that is full would block: somebody listens, and is busy.
    caller.set_nonblocking(true)?;
    match caller.connect(&SockAddr::unix(path)?) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Err(error),
        Ok(()) | Err(_) => Err(io::ErrorKind::AddrInUse.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::{UnixListener, UnixStream};

    #[test]
    fn a_file_comes_and_goes_with_its_socket() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ws.sock");
        let door = UnixDoor::open(&path, 0o600).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        UnixStream::connect(&path).unwrap();
        drop(door);
        assert!(!path.exists());
    }

    #[test]
    fn the_file_is_never_open_to_more_than_its_mode() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ws.sock");
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
        bind_with_mode(&socket, &path, 0o600).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o177, 0);
    }

    #[test]
    fn what_a_dead_process_left_is_replaced_and_what_lives_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ws.sock");
        // The file outlives this listener.
        drop(UnixListener::bind(&path).unwrap());
        assert!(path.exists());
        let door = UnixDoor::open(&path, 0o660).unwrap();
        let error = UnixDoor::open(&path, 0o660).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        UnixStream::connect(&path).unwrap();
        // Somebody has put another one into its place: it is not ours to remove.
        fs::remove_file(&path).unwrap();
        let _other = UnixListener::bind(&path).unwrap();
        drop(door);
        assert!(path.exists());
    }

    #[test]
    fn a_file_that_is_no_socket_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notes");
        fs::write(&path, "dear diary").unwrap();
        let error = UnixDoor::open(&path, 0o660).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&path).unwrap(), b"dear diary");
        let error = UnixDoor::open(&folder.path().join("no/folder"), 0o660).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }
}
