//! An nginx of the test's own, in front of a gateway.

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// The files that users are given.
pub const HTTP: &str = include_str!("../../../config/nginx/http.conf");
pub const STREAM: &str = include_str!("../../../config/nginx/stream.conf");

/// Runs until it is dropped; in a folder of its own.
pub struct Nginx {
    child: Child,
    folder: TempDir,
    pub address: SocketAddr,
}

impl Nginx {
    /// Starts one whose `http` block has this in it, with `{listen}` for the
    /// place where clients come.
    pub fn http(text: &str) -> Self {
        let text = text.replace("listen 80;", "listen {listen};");
        Self::start(&format!("http {{ access_log off; {TEMPORARY}\n{text}\n}}"))
    }

    /// Starts one with this beside it.
    pub fn stream(text: &str) -> Self {
        let text = text.replace("listen 8443;", "listen {listen};");
        Self::start(&format!("{LOAD_STREAM}\n{text}"))
    }

    /// nginx cannot be given port 0, so a free one may be taken by somebody
    /// else before it gets there: then another is tried.
    fn start(text: &str) -> Self {
        for _ in 0..10 {
            if let Some(nginx) = Self::try_start(text) {
                return nginx;
            }
        }
        panic!("nginx does not start: {text}");
    }

    fn try_start(text: &str) -> Option<Self> {
        let folder = tempfile::tempdir().expect("a folder");
        let address = free_address();
        let at = |name: &str| folder.path().join(name);
        // Module loading has to come first.
        let (modules, rest) = match text.strip_prefix(LOAD_STREAM) {
            Some(rest) => (LOAD_STREAM, rest),
            None => ("", text),
        };
        let text = format!(
            "{modules}\ndaemon off; worker_processes 2; worker_shutdown_timeout 1s; pid {};\n\
             user root; events {{ worker_connections 4096; }}\n{}",
            at("nginx.pid").display(),
            rest.replace("{listen}", &address.to_string()),
        );
        fs::write(at("nginx.conf"), text).expect("written");
        let log = fs::File::create(at("error.log")).expect("a file");
        let mut child = Command::new("nginx")
            .arg("-e")
            .arg("stderr")
            .arg("-p")
            .arg(folder.path())
            .arg("-c")
            .arg(at("nginx.conf"))
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("nginx is installed (scripts/test installs it)");
        while TcpStream::connect_timeout(&address, Duration::from_secs(5)).is_err() {
            if let Some(status) = child.try_wait().expect("a child") {
                let said = fs::read_to_string(at("error.log")).expect("a file");
                assert!(said.contains("Address already in use"), "{status}: {said}");
                return None;
            }
            std::thread::yield_now();
        }
        Some(Self { child, folder, address })
    }

    /// Has it read its configuration again, as `nginx -s reload` does; clients
    /// of the old workers are dropped after a second.
    pub fn reload(&self) {
        self.signal("HUP");
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &pid]).status().expect("kill").success());
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        self.signal("TERM");
        let _ended = self.child.wait();
    }
}

/// A place for unix sockets that a worker may enter.
pub fn socket_in(folder: &Path) -> String {
    format!("unix:{}", folder.join("websocket.sock").display())
}

fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").expect("free ports").local_addr().expect("bound")
}

/// Debian ships it as a module.
const LOAD_STREAM: &str = "load_module /usr/lib/nginx/modules/ngx_stream_module.so;";

/// Where nginx would write below its prefix, which is this test's folder.
const TEMPORARY: &str = "client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path f; \
                         uwsgi_temp_path u; scgi_temp_path s;";
