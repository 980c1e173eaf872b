//! Real Redis servers for tests, each on a port and in a folder of its own.

#[path = "../../../tests/cluster/authority.rs"]
pub(super) mod authority;

use crate::config::{self, RedisMode};
use redis::{Cmd, FromRedisValue, RedisResult};
use rustix::process::{Pid, Signal, kill_process};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// A process of Redis; killed when it is dropped.
pub(super) struct RedisServer {
    child: Child,
    program: &'static str,
    args: Vec<String>,
    pub(super) dir: TempDir,
    pub(super) port: u16,
    /// How the test itself connects.
    pub(super) url: String,
}

/// Longer than anything should take.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// A port that nobody uses just now.
pub(super) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

impl RedisServer {
    /// A server that keeps nothing on disk, with more arguments; waits until it answers.
    pub(super) async fn start(args: &[&str]) -> Self {
        for _ in 0..5 {
            let port = free_port();
            let mut server = Self::spawn(port, format!("redis://127.0.0.1:{port}"), args);
            eventually("the server answers", async || server.answers() || server.has_ended()).await;
            if !server.has_ended() {
                return server;
            }
            // Somebody else has taken the port meanwhile.
        }
        panic!("redis-server ends at once");
    }

    /// The same without waiting; `url` is how the test connects.
    pub(super) fn spawn(port: u16, url: String, args: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let own = ["--port", &port.to_string(), "--save", "", "--appendonly", "no"];
        let args = own.iter().chain(args).map(|arg| (*arg).to_owned()).collect();
        Self::run("redis-server", dir, port, url, args)
    }

    /// A Sentinel that watches `master` on 127.0.0.1.
    pub(super) async fn sentinel(master: u16) -> Self {
        Self::sentinel_with(master, "", "").await
    }

    /// The same with more lines in its file; the test logs in as `login` (`name:password@`).
    pub(super) async fn sentinel_with(master: u16, lines: &str, login: &str) -> Self {
        let (port, dir) = (free_port(), tempfile::tempdir().unwrap());
        let file = dir.path().join("sentinel.conf");
        let text = format!(
            "port {port}\nsentinel monitor mymaster 127.0.0.1 {master} 1\n\
             sentinel down-after-milliseconds mymaster 500\n\
             sentinel failover-timeout mymaster 3000\n{lines}"
        );
        std::fs::write(&file, text).unwrap();
        let args = vec![file.to_str().unwrap().to_owned()];
        let url = format!("redis://{login}127.0.0.1:{port}");
        let server = Self::run("redis-sentinel", dir, port, url, args);
        server.wait_until_ready().await;
        server
    }

    fn run(program: &'static str, dir: TempDir, port: u16, url: String, args: Vec<String>) -> Self {
        let child = start(program, &dir, &args);
        Self { child, program, args, dir, port, url }
    }

    pub(super) async fn wait_until_ready(&self) {
        eventually("the server answers", async || self.answers()).await;
    }

    fn answers(&self) -> bool {
        self.try_ask::<String>(&redis::cmd("PING")).is_ok()
    }

    fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// What a node needs to know to use it.
    pub(super) fn config(&self) -> config::Redis {
        config::Redis { addr: format!("127.0.0.1:{}", self.port), ..config::Redis::default() }
    }

    pub(super) fn try_ask<T: FromRedisValue>(&self, command: &Cmd) -> RedisResult<T> {
        let client = redis::Client::open(self.url.as_str())?;
        let mut connection = client.get_connection_with_timeout(Duration::from_secs(1))?;
        connection.set_read_timeout(Some(Duration::from_secs(5)))?;
        command.query(&mut connection)
    }

    /// Sends a command given as words.
    pub(super) fn ask<T: FromRedisValue>(&self, words: &[&str]) -> T {
        let mut command = redis::cmd(words[0]);
        for word in &words[1..] {
            command.arg(*word);
        }
        self.try_ask(&command).unwrap_or_else(|error| panic!("{words:?}: {error}"))
    }

    /// A key's text, if it exists.
    pub(super) fn get(&self, key: &str) -> Option<String> {
        self.ask(&["GET", key])
    }

    /// The time of the server, in unix seconds.
    pub(super) fn time(&self) -> u64 {
        self.ask::<(u64, u64)>(&["TIME"]).0
    }

    /// Ends it with SIGKILL, and waits for its end.
    pub(super) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts it again on the same port, empty but for what was saved on purpose.
    pub(super) async fn restart(&mut self) {
        self.begin_restart();
        self.wait_until_ready().await;
    }

    /// The same without waiting.
    pub(super) fn begin_restart(&mut self) {
        self.child = start(self.program, &self.dir, &self.args);
    }

    /// Stops it, with its sockets open.
    pub(super) fn freeze(&self) {
        kill_process(Pid::from_child(&self.child), Signal::STOP).unwrap();
    }

    /// Lets it go on.
    pub(super) fn thaw(&self) {
        kill_process(Pid::from_child(&self.child), Signal::CONT).unwrap();
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        // It may have been killed already.
        let _killed = self.child.kill();
        let _ended = self.child.wait();
    }
}

/// A Redis Cluster of masters, which share all slots evenly and have no replicas.
pub(super) struct Shards {
    pub(super) servers: Vec<RedisServer>,
}

const SLOTS: u16 = 16_384;

impl Shards {
    pub(super) async fn start(count: u16) -> Self {
        Self::start_with(count, Vec::new).await
    }

    /// The same with more arguments for each.
    pub(super) async fn start_with(count: u16, mut args_of: impl FnMut() -> Vec<String>) -> Self {
        let mut servers: Vec<RedisServer> = Vec::new();
        for index in 0..count {
            let bus = free_port().to_string();
            let args = ["--cluster-enabled", "yes", "--cluster-port", &bus];
            let more = ["--cluster-require-full-coverage", "no", "--cluster-node-timeout", "1000"];
            let own = args_of();
            let own: Vec<&str> = own.iter().map(String::as_str).collect();
            let server = RedisServer::start(&[&args[..], &more, &own].concat()).await;
            let (from, to) = (SLOTS / count * index, SLOTS / count * (index + 1));
            let to = if index + 1 == count { SLOTS } else { to };
            let range = [from.to_string(), (to - 1).to_string()];
            server.ask::<()>(&["CLUSTER", "ADDSLOTSRANGE", &range[0], &range[1]]);
            server.ask::<()>(&["CLUSTER", "SET-CONFIG-EPOCH", &(index + 1).to_string()]);
            if let Some(first) = servers.first() {
                let port = server.port.to_string();
                first.ask::<()>(&["CLUSTER", "MEET", "127.0.0.1", &port, &bus]);
            }
            servers.push(server);
        }
        let shards = Self { servers };
        eventually("all know all slots", async || {
            shards.servers.iter().all(|server| {
                let text: String = server.ask(&["CLUSTER", "INFO"]);
                text.contains("cluster_slots_ok:16384") && text.contains("cluster_state:ok")
            })
        })
        .await;
        shards
    }

    pub(super) fn config(&self) -> config::Redis {
        let addr = self.servers.iter().map(|server| format!("127.0.0.1:{}", server.port));
        let addr = addr.collect::<Vec<_>>().join(",");
        config::Redis { addr, mode: RedisMode::Cluster, ..config::Redis::default() }
    }

    /// Which server was given the slot of a key.
    pub(super) fn owner(&self, key: &str) -> usize {
        let slot: u16 = self.servers[0].ask(&["CLUSTER", "KEYSLOT", key]);
        let count = u16::try_from(self.servers.len()).unwrap();
        usize::from((slot / (SLOTS / count)).min(count - 1))
    }

    /// Gives the slot of a key, and the key, to another server.
    pub(super) fn move_slot(&self, key: &str, to: usize) {
        let (from, to) = (&self.servers[self.owner(key)], &self.servers[to]);
        let slot = from.ask::<u16>(&["CLUSTER", "KEYSLOT", key]).to_string();
        let [from_id, to_id] = [from, to].map(|server| server.ask::<String>(&["CLUSTER", "MYID"]));
        to.ask::<()>(&["CLUSTER", "SETSLOT", &slot, "IMPORTING", &from_id]);
        from.ask::<()>(&["CLUSTER", "SETSLOT", &slot, "MIGRATING", &to_id]);
        from.ask::<()>(&["MIGRATE", "127.0.0.1", &to.port.to_string(), key, "0", "5000"]);
        for server in [to, from] {
            server.ask::<()>(&["CLUSTER", "SETSLOT", &slot, "NODE", &to_id]);
        }
    }
}

fn start(program: &str, dir: &TempDir, args: &[String]) -> Child {
    let mut command = Command::new(program);
    command.args(args).current_dir(dir.path()).stdin(Stdio::null()).stdout(Stdio::null());
    command.spawn().unwrap_or_else(|error| panic!("{program}: {error} (apt install {program})"))
}

/// Waits until a condition holds; panics when it does not.
pub(super) async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let polled = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let waited = tokio::time::timeout(PATIENCE, polled).await;
    assert!(waited.is_ok(), "waited in vain: {what}");
}
