//! What the gateway tells systemd, which is a datagram socket here.

use crate::crowd::PATIENCE;
use crate::process::Process;
use crate::support::Client;
use rustix::process::Signal;
use std::os::unix::net::UnixDatagram;

/// The next datagram that says this much; the others are passed over.
fn hears(socket: &UnixDatagram, what: &str) -> String {
    loop {
        let mut bytes = [0; 4_096];
        let length = socket.recv(&mut bytes).unwrap_or_else(|error| panic!("{what}: {error}"));
        let text = String::from_utf8(bytes[..length].to_vec()).unwrap();
        if text.lines().any(|line| line == what) {
            return text;
        }
    }
}

#[test]
fn systemd_is_told_of_every_stage() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let process = Process::as_service(&path, &["stop.timeout=4s"]);
    hears(&socket, "READY=1");
    hears(&socket, "WATCHDOG=1");
    process.signal(Signal::HUP);
    hears(&socket, "RELOADING=1");
    hears(&socket, "READY=1");
    // Somebody who does not answer a close, so that the end takes a while.
    let stubborn = Client::connect_to(process.websocket(), "/acc");
    process.terminate();
    let told = hears(&socket, "STOPPING=1");
    assert!(told.contains("EXTEND_TIMEOUT_USEC="), "{told}");
    drop(stubborn);
    let (status, _) = process.ended_within(PATIENCE);
    assert!(status.success());
}
