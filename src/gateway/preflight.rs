//! What would keep a node from starting with a configuration, found without starting it.

use crate::auth::Access;
use crate::config::{Config, Listener, Place};
use crate::control;
use crate::host::{tls, unix};
use crate::logging;
use std::fmt::Display;
use std::net::{IpAddr, SocketAddr, TcpListener};

/// What is wrong with the files and places that a configuration names, one line each with the
/// key, the file and the reason; none if a node can start with it.
///
/// All files are read and their parts are matched, also those of sections that are not in use.
/// Nothing is left behind: no file is made, no port is taken, nobody is called. Whether a port is
/// free is not asked, because the node that runs by this configuration holds it.
#[must_use]
pub fn faults(config: &Config) -> Vec<String> {
    let mut faults = Vec::new();
    faults.extend(fault(Access::load(&config.auth)));
    faults.extend(fault(tls::load(&config.listen)));
    faults.extend(control::cluster_faults(config));
    faults.extend(fault(logging::check(&config.log)));
    for (key, listeners) in
        [("listen.websocket", &config.listen.websocket), ("listen.http", &config.listen.http)]
    {
        let found = listeners.iter().filter_map(|listener| place_fault(key, listener));
        faults.extend(found);
    }
    if config.redis.is_some() {
        faults.extend(address_fault("listen.grpc", config.listen.grpc));
    }
    faults
}

fn fault<T>(result: Result<T, impl Display>) -> Option<String> {
    result.err().map(|error| error.to_string())
}

fn place_fault(key: &str, listener: &Listener) -> Option<String> {
    match &listener.place {
        Place::Tcp(address) => address_fault(key, *address),
        Place::Unix { path, .. } => {
            let error = unix::obstacle(path)?;
            Some(format!("{key}: {}: {error}", path.display()))
        }
    }
}

/// An address that this host does not have, or a family that its kernel does not know.
fn address_fault(key: &str, address: SocketAddr) -> Option<String> {
    let any_port = SocketAddr::new(address.ip(), 0);
    let is_everywhere = address.ip() == IpAddr::from([0, 0, 0, 0]);
    let error = TcpListener::bind(any_port).err().filter(|_| !is_everywhere)?;
    let reason = super::error::reason(&error);
    Some(format!("{key}: {address}: {reason}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::LogRotation;
    use std::fs;

    fn with(change: impl FnOnce(&mut Config)) -> Vec<String> {
        let mut config = Config::default();
        change(&mut config);
        faults(&config)
    }

    #[test]
    fn nothing_is_wrong_with_the_defaults() {
        assert_eq!(with(|_| {}), [""; 0]);
    }

    #[test]
    fn files_are_read_wherever_they_are_named() {
        type Change = fn(&mut Config);
        let cases: [(&str, Change); 4] = [
            ("listen.tls_cert", |config| {
                config.listen.tls_cert = "/nowhere/a".into();
                config.listen.tls_key = "/nowhere/a".into();
            }),
            ("cluster.tls_cert", |config| {
                for file in [
                    &mut config.cluster.tls_cert,
                    &mut config.cluster.tls_key,
                    &mut config.cluster.tls_ca,
                ] {
                    *file = "/nowhere/a".into();
                }
            }),
            ("redis.tls_ca", |config| {
                let redis = config.redis.insert(Default::default());
                (redis.tls, redis.tls_ca) = (true, "/nowhere/a".into());
            }),
            ("redis.tls_ca", |config| {
                config.redis.insert(Default::default()).tls_ca = "/nowhere/a".into();
            }),
        ];
        for (key, change) in cases {
            let faults = with(change);
            assert_eq!(
                faults,
                [format!("{key}: /nowhere/a: No such file or directory (os error 2)")]
            );
        }
        let faults = with(|config| config.cluster.token = "two words".into());
        assert_eq!(faults, ["cluster.token: only visible ASCII letters can be sent"]);
    }

    #[test]
    fn places_that_cannot_be_had_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let notes = folder.path().join("notes");
        fs::write(&notes, "dear diary").unwrap();
        let socket = format!("unix:{}", notes.display());
        let faults = with(|config| config.listen.http = socket.parse().unwrap());
        assert_eq!(
            faults,
            [format!("listen.http: {}: there is a file that is no socket", notes.display())]
        );
        let faults = with(|config| config.listen.websocket = "192.0.2.1:80".parse().unwrap());
        assert_eq!(faults, ["listen.websocket: 192.0.2.1:80: this host has no such address"]);
        let inside = notes.join("gate.log");
        let faults = with(|config| config.log.file = inside.clone());
        assert!(
            faults[0].starts_with("log.file ") && faults[0].contains("cannot be written"),
            "{faults:?}"
        );
        let faults = with(|config| config.log.file = folder.path().to_owned());
        assert!(faults[0].contains("is a directory"), "{faults:?}");
        let faults = with(|config| {
            (config.log.file, config.log.rotation) = ("/dev/null".into(), LogRotation::Never);
        });
        assert_eq!(faults, [""; 0], "a device in a directory of others");
        let deep = folder.path().join("a/b/gate.log");
        assert_eq!(with(|config| config.log.file = deep), [""; 0]);
        assert!(!folder.path().join("a").exists(), "nothing is made");
    }
}
