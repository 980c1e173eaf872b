//! A fleet of gowebsocket is replaced node by node while its users get messages through all nodes.
//!
//! What its users notice is counted, and compared with a replacement by nodes of gowebsocket.

use crate::go_node::{GoClient, GoNode, Push};
use crate::nodes::eventually;
use crate::process::Process;
use crate::redis::Redis;
use crate::support::{Client, Message};
use millgate::clock::Clock;
use serde_json::Value;
use std::collections::HashMap;
use std::fmt;
use std::net::{Shutdown, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, MutexGuard, RwLock};
use std::time::Duration;

const APP: u32 = 101;
const USERS: usize = 60;

/// Pause of each sender between two messages: each node gets some 50 a second.
const PAUSE: Duration = Duration::from_millis(20);

/// So often each client gives a sign of life; the page of the reference does it every 30 seconds.
const HEARTBEAT: Duration = Duration::from_secs(5);

/// What a step may take until everybody is reached through every node: each client gives a sign of
/// life meanwhile.
const SETTLING_MAX: Duration = Duration::from_secs(6);

/// After the last step everybody is watched for so long at least: what a slow node overwrites late
/// counts too.
const WATCHED_MIN: Duration = Duration::from_secs(5);

/// A sender calls each user once in this time: a shorter outage is a single answer, and chance.
const BRIEF: Duration = Duration::from_millis(1_200);

/// So few answers in a replacement of everybody are chance too: millgate replies to a login up to
/// 50 ms before other nodes can know of it.
const FALSES_BY_CHANCE: usize = USERS / 6;

/// A Redis under load needs so long between a node's reading and writing of a record.
const SLOW_REDIS: Duration = Duration::from_millis(5);

/// How users get from an old node to a new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// The old node ends, and its clients come back to the new one.
    Sigterm,
    /// A balancer closes one connection after the other; each client comes back at once.
    Moved,
    /// Each client logs in to the new node, then closes its old connection.
    LoginFirst,
}

/// A node of the fleet.
enum Host {
    Go(Box<RwLock<Option<GoNode>>>),
    Mill(Box<Mill>),
}

struct Mill {
    process: Mutex<Process>,
    http: SocketAddr,
    websocket: SocketAddr,
    agent: ureq::Agent,
}

/// A connection of a user.
enum Line {
    Go(Box<GoClient>),
    Mill(Client),
}

struct User {
    name: String,
    state: Mutex<State>,
}

struct State {
    line: Option<Line>,
    /// Another number for each stretch in which the user is online.
    stretch: usize,
    is_online: bool,
}

/// What is known of a message.
struct Sent {
    user: usize,
    /// Answered with success while the user was online all the time.
    is_promised: bool,
    received: usize,
}

/// What users and callers have noticed.
#[derive(Clone, Copy, Debug, Default)]
struct Figures {
    /// Messages to users who were online all the time until the answer.
    messages: usize,
    /// Of these, answered with `false`.
    falses: usize,
    /// Answered with `true` and never received.
    lost: usize,
    doubled: usize,
    /// The longest time between the first and the last of the answers `false` in a row of one node
    /// for one user.
    outage: Duration,
    /// Pairs of a node and a user which did not find together in time, after all steps.
    unsettled: usize,
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { messages, falses, lost, doubled, outage, unsettled } = self;
        write!(
            f,
            "{messages} messages: {falses} answered false, {lost} lost, {doubled} doubled; \
             longest outage {outage:?}; {unsettled} unsettled"
        )
    }
}

/// A fleet, its users, and the books.
struct Fleet {
    redis: Redis,
    clock: Clock,
    hosts: RwLock<Vec<Arc<Host>>>,
    /// Which of the hosts are called.
    active: RwLock<Vec<usize>>,
    users: Vec<User>,
    inbox: Sender<Push>,
    books: Mutex<Books>,
    is_over: AtomicBool,
}

#[derive(Default)]
struct Books {
    sent: Vec<Sent>,
    figures: Figures,
    /// The last answers for a user through a host: since when they are as they are, and when
    /// the last of them came.
    answers: HashMap<(usize, usize), Answers>,
}

struct Answers {
    is_true: bool,
    since: Duration,
    last: Duration,
}

impl Host {
    /// Whether the message was taken; `None` when the node cannot be called.
    fn send(&self, user: &str, text: &str) -> Option<bool> {
        match self {
            Self::Go(node) => Some(node.read().unwrap().as_ref()?.send(APP, user, text, text)),
            Self::Mill(node) => {
                let url = format!("http://{}/user/sendMessage", node.http);
                let app = APP.to_string();
                let fields =
                    [("appID", app.as_str()), ("userID", user), ("msgID", text), ("message", text)];
                let answer =
                    node.agent.post(url).send_form(fields).ok()?.body_mut().read_to_string();
                let answer: Value = serde_json::from_str(&answer.ok()?).ok()?;
                Some(answer["data"]["sendResults"] == true)
            }
        }
    }

    fn log_in(&self, user: &str, inbox: &Sender<Push>) -> Line {
        match self {
            Self::Go(node) => {
                let node = node.read().unwrap();
                let node = node.as_ref().expect("it runs");
                Line::Go(Box::new(node.connect(APP, user, inbox.clone())))
            }
            Self::Mill(node) => {
                let mut client = Client::connect_to(node.websocket, "/acc");
                client.log_in(APP, user);
                client.socket().set_read_timeout(None).unwrap();
                let writing = client.another_end();
                client.socket().set_read_timeout(None).unwrap();
                let (user, inbox) = (user.to_owned(), inbox.clone());
                std::thread::spawn(move || read(client, &user, &inbox));
                Line::Mill(writing)
            }
        }
    }
}

/// Hands on what comes, until the connection ends.
fn read(mut client: Client, user: &str, inbox: &Sender<Push>) {
    loop {
        let text = match client.recv() {
            Message::Text(text) => text,
            Message::End => return,
            _ => continue,
        };
        let push: Value = serde_json::from_str(&text).unwrap();
        let Some(msg) = push["response"]["data"]["msg"].as_str() else { continue };
        let cmd = push["cmd"].as_str().unwrap().to_owned();
        let _over = inbox.send(Push { to: user.to_owned(), cmd, msg: msg.to_owned() });
    }
}

impl Line {
    fn heartbeat(&mut self) {
        match self {
            Self::Go(client) => {
                let _known = client.heartbeat();
            }
            Self::Mill(client) => client.send_text(r#"{"seq":"h","cmd":"heartbeat","data":{}}"#),
        }
    }

    fn close(self) {
        match self {
            Self::Go(client) => client.close(),
            Self::Mill(client) => {
                let _ended = client.socket().shutdown(Shutdown::Both);
            }
        }
    }
}

impl User {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// The stretch in which the user is online; `None` if it is not.
    fn stretch(&self) -> Option<usize> {
        let state = self.state();
        state.is_online.then_some(state.stretch)
    }

    /// From now on nobody can expect that the user is reached.
    fn go_offline(&self) -> Option<Line> {
        let mut state = self.state();
        state.is_online = false;
        state.line.take()
    }

    fn come_online(&self, line: Line) {
        let mut state = self.state();
        state.stretch += 1;
        state.is_online = true;
        state.line = Some(line);
    }
}

impl Fleet {
    /// Two nodes of gowebsocket, and their users.
    fn start() -> (Arc<Self>, Receiver<Push>) {
        let (inbox, pushes) = mpsc::channel();
        let users = (0..USERS)
            .map(|n| User {
                name: format!("u{n}"),
                state: Mutex::new(State { line: None, stretch: 0, is_online: false }),
            })
            .collect();
        let fleet = Self {
            redis: Redis::start(),
            clock: Clock::start(),
            hosts: RwLock::default(),
            active: RwLock::default(),
            users,
            inbox,
            books: Mutex::default(),
            is_over: AtomicBool::new(false),
        };
        let old = [fleet.add_go(), fleet.add_go()];
        for host in old {
            fleet.await_registration(host);
        }
        for (n, user) in fleet.users.iter().enumerate() {
            user.come_online(fleet.host(old[n % 2]).log_in(&user.name, &fleet.inbox));
        }
        fleet.active.write().unwrap().extend(old);
        (Arc::new(fleet), pushes)
    }

    fn host(&self, index: usize) -> Arc<Host> {
        Arc::clone(&self.hosts.read().unwrap()[index])
    }

    fn add(&self, host: Host) -> usize {
        let mut hosts = self.hosts.write().unwrap();
        hosts.push(Arc::new(host));
        hosts.len() - 1
    }

    fn add_go(&self) -> usize {
        let node = GoNode::join(&self.redis.addr());
        node.room.lock().unwrap().logs_out_after = SLOW_REDIS;
        self.add(Host::Go(Box::new(RwLock::new(Some(node)))))
    }

    fn add_mill(&self) -> usize {
        let addr = format!("redis.addr={}", self.redis.addr());
        let process =
            Process::start(&[&addr, "listen.grpc=127.0.0.1:0", "cluster.trust_network=true"]);
        let config = ureq::Agent::config_builder().timeout_global(Some(Duration::from_secs(5)));
        let (http, websocket) = (process.http(), process.websocket());
        let (process, agent) = (Mutex::new(process), config.build().into());
        self.add(Host::Mill(Box::new(Mill { process, http, websocket, agent })))
    }

    /// Waits until the other nodes can know of it.
    fn await_registration(&self, host: usize) {
        match &*self.host(host) {
            Host::Go(node) => {
                let addr = node.read().unwrap().as_ref().unwrap().addr.to_string();
                let ask = ["HEXISTS", "acc:hash:servers", &addr];
                eventually("it registers", || self.redis.ask(&ask).is_some_and(|a| a == ":1\r\n"));
            }
            Host::Mill(node) => eventually("it knows another node", || {
                node.process.lock().unwrap().metric("millgate_peers{state=\"up\"}") >= 1.0
            }),
        }
    }

    /// Replaces one node: its users get to the new one in this way.
    fn replace(&self, old: usize, new: usize, way: Way) {
        self.await_registration(new);
        self.active.write().unwrap().push(new);
        let (from, to) = (self.host(old), self.host(new));
        let users = || self.users.iter().skip(old).step_by(2);
        match way {
            Way::Sigterm => {
                let lines: Vec<Option<Line>> = users().map(User::go_offline).collect();
                self.end(old, &from);
                drop(lines);
                for user in users() {
                    user.come_online(to.log_in(&user.name, &self.inbox));
                }
            }
            Way::Moved => {
                for user in users() {
                    user.go_offline().expect("it was connected").close();
                    user.come_online(to.log_in(&user.name, &self.inbox));
                    std::thread::park_timeout(PAUSE);
                }
                self.end_idle(old, &from);
            }
            Way::LoginFirst => {
                for user in users() {
                    let newer = to.log_in(&user.name, &self.inbox);
                    let older = user.state().line.replace(newer);
                    older.expect("it was connected").close();
                    std::thread::park_timeout(PAUSE);
                }
                self.end_idle(old, &from);
            }
        }
    }

    /// Ends a node that nobody is connected to any more.
    fn end_idle(&self, old: usize, host: &Host) {
        let Host::Go(node) = host else { unreachable!("old nodes are those of gowebsocket") };
        eventually("it has taken note of all ends", || {
            node.read().unwrap().as_ref().unwrap().list(APP).len() <= USERS
        });
        self.end(old, host);
    }

    fn end(&self, old: usize, host: &Host) {
        self.active.write().unwrap().retain(|index| *index != old);
        let Host::Go(node) = host else { unreachable!("old nodes are those of gowebsocket") };
        drop(node.write().unwrap().take());
    }

    /// Sends to one user after the other through one node, as long as it is called.
    fn call(&self, index: usize) {
        let host = self.host(index);
        let mut next = index * 7;
        while !self.is_over.load(Ordering::Relaxed) && self.active.read().unwrap().contains(&index)
        {
            next += 1;
            let place = next % USERS;
            let user = &self.users[place];
            if let Some(stretch) = user.stretch() {
                let id = self.books().begin(place);
                let begun = self.clock.now();
                let answer = host.send(&user.name, &id.to_string());
                // A call that no node took is its caller's to repeat.
                if let Some(is_true) = answer
                    && user.stretch() == Some(stretch)
                {
                    self.books().answer(id, index, is_true, begun, self.clock.now());
                }
            }
            std::thread::park_timeout(PAUSE);
        }
    }

    /// Gives signs of life for all clients, spread over the time.
    fn live(&self) {
        let pause = HEARTBEAT / u32::try_from(USERS).unwrap();
        for user in self.users.iter().cycle() {
            if self.is_over.load(Ordering::Relaxed) {
                return;
            }
            if let Some(line) = &mut user.state().line {
                line.heartbeat();
            }
            std::thread::park_timeout(pause);
        }
    }

    /// Waits until each node that is called reaches everybody, and for `at_least` this time; returns
    /// how many pairs of a node and a user do not find together in time.
    fn settle(&self, at_least: Duration) -> usize {
        let begun = self.clock.now();
        loop {
            let active = self.active.read().unwrap().clone();
            let books = self.books();
            let is_settled = |pair: &(usize, usize)| {
                books.answers.get(pair).is_some_and(|at| at.is_true && at.last > begun)
            };
            let pairs = active.iter().flat_map(|host| (0..USERS).map(|user| (user, *host)));
            let open = pairs.filter(|pair| !is_settled(pair)).count();
            let passed = self.clock.now() - begun;
            if open == 0 && passed >= at_least || passed > SETTLING_MAX {
                return open;
            }
            drop(books);
            std::thread::park_timeout(PAUSE);
        }
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap()
    }
}

impl Books {
    /// The number of a message that is about to be sent.
    fn begin(&mut self, user: usize) -> usize {
        self.sent.push(Sent { user, is_promised: false, received: 0 });
        self.sent.len() - 1
    }

    fn answer(&mut self, id: usize, host: usize, is_true: bool, begun: Duration, now: Duration) {
        self.figures.messages += 1;
        self.figures.falses += usize::from(!is_true);
        self.sent[id].is_promised = is_true;
        let fresh = Answers { is_true, since: begun, last: now };
        let answers = self.answers.entry((self.sent[id].user, host)).or_insert(fresh);
        if answers.is_true != is_true {
            answers.since = begun;
            answers.is_true = is_true;
        }
        answers.last = now;
        if !is_true {
            self.figures.outage = self.figures.outage.max(now - answers.since);
        }
    }

    fn receive(&mut self, push: &Push, users: &[User]) {
        if push.cmd == "msg" {
            let sent = &mut self.sent[push.msg.parse::<usize>().unwrap()];
            assert_eq!(users[sent.user].name, push.to, "it came to somebody else");
            sent.received += 1;
        }
    }

    /// The result, once nothing more comes.
    fn close(&self) -> Figures {
        let lost = self.sent.iter().filter(|sent| sent.is_promised && sent.received == 0).count();
        let doubled = self.sent.iter().filter(|sent| sent.received > 1).count();
        Figures { lost, doubled, ..self.figures }
    }
}

/// Replaces both nodes of a fleet; what its users have noticed.
fn roll(way: Way, add: fn(&Fleet) -> usize) -> Figures {
    let (fleet, pushes) = Fleet::start();
    std::thread::scope(|threads| {
        let called = AtomicUsize::new(0);
        let fleet = &*fleet;
        let call_new = || {
            for index in called.load(Ordering::Relaxed)..fleet.hosts.read().unwrap().len() {
                threads.spawn(move || fleet.call(index));
                called.store(index + 1, Ordering::Relaxed);
            }
        };
        call_new();
        threads.spawn(|| fleet.live());
        let reading = threads.spawn(move || {
            while let Ok(push) = pushes.recv_timeout(Duration::from_secs(2)) {
                fleet.books().receive(&push, &fleet.users);
            }
        });
        assert_eq!(fleet.settle(Duration::ZERO), 0, "all is well before");
        // What happened while the first users came does not count.
        fleet.books().figures = Figures::default();
        let mut unsettled = 0;
        for old in [0, 1] {
            let new = add(fleet);
            // It is called from the moment on at which it is active.
            let replacing = threads.spawn(move || fleet.replace(old, new, way));
            eventually("it is active", || fleet.active.read().unwrap().contains(&new));
            call_new();
            replacing.join().unwrap();
            unsettled = fleet.settle(if old == 1 { WATCHED_MIN } else { Duration::ZERO });
        }
        fleet.is_over.store(true, Ordering::Relaxed);
        reading.join().unwrap();
        Figures { unsettled, ..fleet.books().close() }
    })
}

/// Both kinds of a replacement at the same time, on the same host.
fn compare(way: Way) {
    let go = std::thread::spawn(move || roll(way, Fleet::add_go));
    let mill = roll(way, Fleet::add_mill);
    let go = go.join().unwrap();
    println!("{way:?}, replaced by gowebsocket: {go}");
    println!("{way:?}, replaced by millgate:    {mill}");
    assert_eq!(mill.doubled, 0, "{mill}");
    assert_eq!(mill.unsettled, 0, "{mill}");
    assert!(mill.lost <= go.lost, "{mill}, not as {go}");
    assert!(mill.falses <= go.falses.max(FALSES_BY_CHANCE), "{mill}, not as {go}");
    assert!(mill.outage <= go.outage.max(BRIEF), "{mill}, not as {go}");
}

#[test]
fn a_replacement_by_sigterm_is_no_worse_than_among_nodes_of_gowebsocket() {
    compare(Way::Sigterm);
}

#[test]
fn a_replacement_by_a_balancer_is_no_worse_than_among_nodes_of_gowebsocket() {
    compare(Way::Moved);
}

#[test]
fn a_replacement_with_login_before_close_is_no_worse_than_among_nodes_of_gowebsocket() {
    compare(Way::LoginFirst);
}
