//! Hosts of a test's own, joined by a router that loses packets when it is told to.
//!
//! Each is a network namespace that lives as long as a process in it, which ends with
//! its input: however this test ends, nothing stays behind, and names cannot clash.

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::cell::RefCell;
use std::fs::{self, File};
use std::io::Read;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::AsFd;
use std::process::{Child, Command, Stdio};

/// Runs a test that needs root: as it is for root, and for everybody else once more in a
/// user namespace in which they are.
pub fn as_root(name: &str, test: impl FnOnce()) {
    if rustix::process::geteuid().is_root() {
        return test();
    }
    let own = std::env::current_exe().expect("this program");
    let again = Command::new("unshare")
        .args(["--user", "--map-root-user", "--net", "--"])
        .arg(own)
        .args(["--exact", name, "--nocapture"])
        .output()
        .expect("unshare is installed (util-linux)");
    let [said, complaints] =
        [again.stdout, again.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    let has_passed = again.status.success() && said.contains("1 passed");
    assert!(
        has_passed,
        "it needs root, or the right to make user namespaces: {said}\n{complaints}"
    );
}

/// A network stack.
struct Space {
    keeper: Child,
    entrance: File,
}

impl Space {
    fn new() -> Self {
        let mut keeper = Command::new("unshare")
            .args(["--net", "sh", "-c", "echo; exec cat"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("unshare is installed (util-linux)");
        let output = keeper.stdout.as_mut().expect("a pipe");
        let is_there = output.read_exact(&mut [0]).is_ok();
        assert!(is_there, "no network namespace: root lacks CAP_SYS_ADMIN here");
        let entrance = File::open(format!("/proc/{}/ns/net", keeper.id())).expect("it runs");
        let space = Self { keeper, entrance };
        space.ip(&["link", "set", "lo", "up"]);
        space
    }

    /// Does something there: sockets and threads that are made meanwhile stay there.
    fn inside<T>(&self, act: impl FnOnce() -> T) -> T {
        let home = File::open("/proc/thread-self/ns/net").expect("there is /proc");
        enter(&self.entrance);
        let result = act();
        enter(&home);
        result
    }

    fn ip(&self, words: &[&str]) {
        let done = self.inside(|| Command::new("ip").args(words).status());
        assert!(done.expect("ip is installed (iproute2)").success(), "ip {words:?}");
    }
}

fn enter(space: &File) {
    let kind = Some(LinkNameSpaceType::Network);
    move_into_link_name_space(space.as_fd(), kind).expect("root may enter it");
}

impl Drop for Space {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        // It ends with its input; if it has ended already, so much the better.
        let _ended = self.keeper.wait();
    }
}

/// A host: a network stack with one way out.
pub struct Host {
    space: Space,
    pub ip: IpAddr,
}

impl Host {
    /// Does something there: sockets and threads that are made meanwhile stay there.
    pub fn inside<T>(&self, act: impl FnOnce() -> T) -> T {
        self.space.inside(act)
    }
}

/// The router between hosts.
pub struct Network {
    router: Space,
    hosts: u8,
    /// Rules by which it loses packets.
    cuts: RefCell<Vec<Vec<String>>>,
}

impl Network {
    pub fn new() -> Self {
        let router = Space::new();
        router.inside(|| fs::write("/proc/sys/net/ipv4/ip_forward", "1")).expect("root may");
        Self { router, hosts: 0, cuts: RefCell::default() }
    }

    /// One more host.
    pub fn host(&mut self) -> Host {
        self.hosts += 1;
        let number = self.hosts;
        let (space, port) = (Space::new(), format!("port{number}"));
        let (gateway, own) = (format!("10.77.{number}.1"), Ipv4Addr::new(10, 77, number, 2));
        let pid = space.keeper.id().to_string();
        let cable = ["link", "add", &port, "type", "veth", "peer", "name", "cable", "netns", &pid];
        self.router.ip(&cable);
        self.router.ip(&["addr", "add", &format!("{gateway}/24"), "dev", &port]);
        self.router.ip(&["link", "set", &port, "up"]);
        space.ip(&["addr", "add", &format!("{own}/24"), "dev", "cable"]);
        space.ip(&["link", "set", "cable", "up"]);
        space.ip(&["route", "add", "default", "via", &gateway]);
        Host { space, ip: own.into() }
    }

    /// From now on whatever a host sends is lost without a word, and what is sent to it.
    pub fn cut_off(&self, host: &Host) {
        let ip = host.ip.to_string();
        self.lose(&["from", &ip]);
        self.lose(&["to", &ip]);
    }

    /// The same between two hosts alone.
    pub fn cut_between(&self, one: &Host, other: &Host) {
        let (one, other) = (one.ip.to_string(), other.ip.to_string());
        self.lose(&["from", &one, "to", &other]);
        self.lose(&["from", &other, "to", &one]);
    }

    fn lose(&self, packets: &[&str]) {
        let rule = [packets, &["blackhole"]].concat();
        self.router.ip(&[&["rule", "add"], &rule[..]].concat());
        self.cuts.borrow_mut().push(rule.into_iter().map(str::to_owned).collect());
    }

    /// Everything arrives again.
    pub fn mend(&self) {
        for rule in self.cuts.take() {
            let rule: Vec<&str> = rule.iter().map(String::as_str).collect();
            self.router.ip(&[&["rule", "del"], &rule[..]].concat());
        }
    }
}
