//! The admin key of a node without `auth.keys`: how its operator gets to know it.
//!
//! Invariant: no log gets the key. A terminal shows it, once; everybody else finds it in a file
//! that only the user of this process can read.

use millgate::config::{Listener, Secret};
use std::env;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, IsTerminal, Write};
use std::net::IpAddr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// The file with the key; it is removed when this is dropped.
pub(super) struct KeyFile(PathBuf);

impl Drop for KeyFile {
    fn drop(&mut self) {
        // A key of a process that has ended opens nothing.
        let _may_be_gone = fs::remove_file(&self.0);
    }
}

/// Shows the key on a terminal and writes it into a file, where there is a directory for it.
pub(super) fn tell(key: &Secret, http: &[Listener]) -> Option<KeyFile> {
    let mut stderr = io::stderr();
    let is_shown = stderr.is_terminal();
    if is_shown {
        // Nobody is left to be shown anything where this fails.
        let _unseen = stderr.write_all(lines(key, http).as_bytes());
    }
    let name = file_name(http, std::process::id());
    match directory(|name| env::var_os(name)).map(|directory| write(&directory, &name, key)) {
        Some(Ok(file)) => {
            let file_name = file.0.display();
            tracing::info!("auth.keys is empty: the admin key of this start is in {file_name}");
            return Some(file);
        }
        Some(Err(error)) => tracing::warn!("the admin key of this start is not written: {error}"),
        None if is_shown => {}
        None => tracing::info!(
            "auth.keys is empty, and neither RUNTIME_DIRECTORY nor XDG_RUNTIME_DIR says where the \
             admin key of this start could be written: /admin answers nobody. \
             `millgate gen-key ops --scopes admin` makes a key"
        ),
    }
    None
}

/// What a terminal shows.
fn lines(key: &Secret, http: &[Listener]) -> String {
    let key = key.reveal();
    let page = http.iter().find_map(|listener| {
        let address = listener.address()?;
        let port = address.port();
        let scheme = if listener.tls { "https" } else { "http" };
        Some(match address.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => format!("{scheme}://127.0.0.1:{port}"),
            IpAddr::V6(ip) if ip.is_unspecified() => format!("{scheme}://[::1]:{port}"),
            _ => format!("{scheme}://{address}"),
        })
    });
    match page {
        Some(page) => format!("\n  admin page  {page}/admin#key={key}\n\n"),
        None => format!("\n  admin key   {key}\n\n"),
    }
}

/// The directory that systemd makes for the service, or the one of this user's session.
fn directory(variable: impl Fn(&str) -> Option<std::ffi::OsString>) -> Option<PathBuf> {
    let first = |value: std::ffi::OsString| env::split_paths(&value).next();
    let of_service = variable("RUNTIME_DIRECTORY").and_then(first);
    let of_session = || variable("XDG_RUNTIME_DIR").map(|path| Path::new(&path).join("millgate"));
    of_service.or_else(of_session).filter(|path| path.is_absolute())
}

/// Several nodes may share a directory; they have different ports.
fn file_name(http: &[Listener], process: u32) -> String {
    match http.iter().find_map(Listener::address) {
        Some(address) => format!("admin-{}.key", address.port()),
        None => format!("admin-process-{process}.key"),
    }
}

/// Writes the key as one line. The file is a new one: whoever has opened an earlier file of this
/// name, or has put a link there, gets nothing.
fn write(directory: &Path, name: &str, key: &Secret) -> io::Result<KeyFile> {
    let at = |path: &Path, error: io::Error| {
        io::Error::new(error.kind(), format!("{}: {error}", path.display()))
    };
    if !directory.exists() {
        let made = DirBuilder::new().mode(0o700).create(directory);
        made.map_err(|error| at(directory, error))?;
    }
    let path = directory.join(name);
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(at(&path, error)),
        _ => {}
    }
    let opened = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
    let mut file = opened.map_err(|error| at(&path, error))?;
    let written = KeyFile(path);
    let line = format!("{}\n", key.reveal());
    file.write_all(line.as_bytes()).map_err(|error| at(&written.0, error))?;
    Ok(written)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    #[test]
    fn only_the_user_of_the_process_can_read_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let (directory, other) = (folder.path().join("run"), folder.path().join("other"));
        fs::create_dir(&directory).unwrap();
        symlink(&other, directory.join("admin-1.key")).unwrap();
        let file = write(&directory, "admin-1.key", &Secret::from("mg_1")).unwrap();
        assert_eq!(fs::read_to_string(&file.0).unwrap(), "mg_1\n");
        assert_eq!(fs::metadata(&file.0).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(!other.exists(), "a link is replaced, not followed");
        let path = file.0.clone();
        drop(file);
        assert!(!path.exists());
    }

    #[test]
    fn the_directory_is_that_of_the_service_or_of_the_session() {
        let of = |pairs: &[(&str, &str)]| {
            let pairs: Vec<(String, String)> =
                pairs.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
            directory(|name| {
                pairs.iter().find(|(known, _)| known == name).map(|(_, value)| value.into())
            })
        };
        let both = [("RUNTIME_DIRECTORY", "/run/a:/run/b"), ("XDG_RUNTIME_DIR", "/run/user/1")];
        assert_eq!(of(&both), Some("/run/a".into()));
        assert_eq!(of(&both[1..]), Some("/run/user/1/millgate".into()));
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[("RUNTIME_DIRECTORY", "here")]), None);
    }

    #[test]
    fn a_terminal_gets_a_link_that_can_be_opened() {
        let key = Secret::from("mg_1");
        for (listener, link) in [
            ("127.0.0.1:8080", "http://127.0.0.1:8080/admin#key=mg_1"),
            ("0.0.0.0:80 tls", "https://127.0.0.1:80/admin#key=mg_1"),
            ("[::]:80", "http://[::1]:80/admin#key=mg_1"),
        ] {
            let lines = lines(&key, &[listener.parse().unwrap()]);
            assert!(lines.contains(link), "{lines}");
        }
        assert!(lines(&key, &["unix:/a".parse().unwrap()]).contains("mg_1"));
    }
}
