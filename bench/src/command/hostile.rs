//! `hostile`: clients that misbehave, and what each of them costs the server.

use super::hold::{bad, exit_of, log_in, open_all};
use super::probes::Probes;
use crate::exit::Exit;
use crate::probe::kernel;
use crate::result::{BadClients, Hostile};
use crate::run::{Common, Ended, Run};
use crate::swarm::{Count, Order, Protocol, Role, Whom};
use clap::Args;
use std::io;
use std::time::Duration;

/// Lets a part of the clients misbehave, one kind after the other.
#[derive(Args, Clone, Debug)]
pub struct HostileCommand {
    #[command(flatten)]
    common: Common,
    /// The gateway's HTTP API, for messages that bad readers do not read; "" for none
    #[arg(long, default_value = "http://127.0.0.1:8080")]
    http: String,
    /// Clients that read a few bytes a second, percent
    #[arg(long, default_value_t = 2.0)]
    slow_readers: f64,
    /// Clients that read nothing, percent
    #[arg(long, default_value_t = 2.0)]
    stuck_readers: f64,
    /// Clients that vanish without a word, percent
    #[arg(long, default_value_t = 2.0)]
    half_open: f64,
    /// Clients that stop in the middle of a frame, percent
    #[arg(long, default_value_t = 2.0)]
    mid_frame: f64,
    /// Clients that send their handshake a byte a second, percent
    #[arg(long, default_value_t = 2.0)]
    slow_loris: f64,
    /// Bytes of each message that bad readers do not read
    #[arg(long, default_value_t = 16_384)]
    size: usize,
    /// Such messages for each kind
    #[arg(long, default_value_t = 8)]
    messages: u32,
    #[command(flatten)]
    probes: Probes,
}

/// One kind of misbehaviour.
#[derive(Clone, Copy, Debug)]
struct Kind {
    name: &'static str,
    role: Role,
    clients: u32,
}

impl HostileCommand {
    /// Does it.
    ///
    /// # Errors
    /// When the kernel refuses something, the API cannot be reached, or a worker has failed.
    pub fn run(self) -> io::Result<(Run, Exit)> {
        let kinds = self.kinds()?;
        let loris = kinds.iter().filter(|kind| kind.role == Role::SlowLoris);
        let loris: u32 = loris.map(|kind| kind.clients).sum();
        let mut spec = self.common.spec(Protocol::Gateway).map_err(bad)?;
        spec.probes = self.probes.count;
        // Those who never finish their handshake come on top, on slots of their own.
        let good = spec.crowd;
        spec.crowd += loris;
        let mut run = Run::start("hostile", &self.common, spec)?;
        run.swarm.order(Whom::Crowd, &Order::Beat(self.common.beat(true)))?;
        let mut ended = open_some(&mut run, good, self.common.connect_rate)?;
        if ended == Ended::Done {
            ended = log_in_some(&mut run, good)?;
        }
        if ended == Ended::Done {
            ended = self.probes.open(&mut run)?;
        }
        if ended == Ended::Done {
            ended = self.probes.measure(&mut run, "ping before", self.common.warmup)?;
        }
        let lost_before = run.totals()[Count::Lost];
        let mut hostile = Hostile::default();
        for kind in kinds.into_iter().filter(|kind| kind.clients > 0) {
            if ended != Ended::Done {
                break;
            }
            self.probes.begin(&run)?;
            let (end, seen) = self.unleash(&mut run, kind)?;
            self.probes.end(&mut run, &format!("ping during {}", kind.name))?;
            hostile.kinds.push(seen);
            ended = end;
        }
        hostile.good_lost = run.totals()[Count::Lost] - lost_before;
        run.result.hostile = Some(hostile);
        self.probes.close(&mut run)?;
        let exit = exit_of(&mut run, ended)?;
        Ok((run, exit))
    }

    fn kinds(&self) -> io::Result<Vec<Kind>> {
        let all = [
            ("mid-frame", Role::MidFrame, self.mid_frame),
            ("slow-loris", Role::SlowLoris, self.slow_loris),
            ("half-open", Role::HalfOpen, self.half_open),
            ("slow-reader", Role::SlowReader, self.slow_readers),
            ("stuck-reader", Role::StuckReader, self.stuck_readers),
        ];
        let sum: f64 = all.iter().map(|(.., percent)| percent).sum();
        if all.iter().any(|(.., percent)| !(0.0..=100.0).contains(percent)) || sum > 100.0 {
            return Err(bad("percentages of bad clients: each from 0, together up to 100".into()));
        }
        let clients = f64::from(self.common.connections);
        let kinds = all.map(|(name, role, percent)| Kind {
            name,
            role,
            clients: (clients * percent / 100.0).round() as u32,
        });
        Ok(kinds.to_vec())
    }

    /// Lets one kind loose and looks at what the server keeps for it.
    fn unleash(&self, run: &mut Run, kind: Kind) -> io::Result<(Ended, BadClients)> {
        let before = run.totals();
        let memory_before = run.server_memory()?;
        let sockets_before = kernel::sample()?.socket_bytes;
        run.swarm.misbehave(kind.role, kind.clients)?;
        if kind.role == Role::SlowLoris {
            run.swarm.grow(Whom::Crowd, run.swarm.spec().crowd, None)?;
        }
        let (mut memory, mut sockets) = (memory_before, sockets_before);
        let mut ended = Ended::Done;
        let reads_badly =
            matches!(kind.role, Role::SlowReader | Role::StuckReader | Role::HalfOpen);
        let sends = reads_badly && !self.http.is_empty() && !self.common.listen_only;
        let backend = sends.then(|| self.common.backend(&self.http)).transpose()?;
        let pause = self.common.duration / self.messages.max(1);
        for _ in 0..self.messages.max(1) {
            if let Some(backend) = &backend {
                let text = "x".repeat(self.size);
                for app in &run.swarm.spec().apps {
                    backend.send_all(*app, &text)?;
                }
            }
            ended = run.pass(kind.name, pause.max(Duration::from_millis(50)))?;
            memory = memory.max(run.server_memory()?);
            sockets = sockets.max(kernel::sample()?.socket_bytes);
            if ended != Ended::Done {
                break;
            }
        }
        let each = |bytes: u64| bytes as f64 / f64::from(kind.clients.max(1));
        let closed = run.totals()[Count::BadClosed] - before[Count::BadClosed];
        let seen = BadClients {
            kind: kind.name.to_owned(),
            clients: u64::from(kind.clients),
            closed_by_server: closed,
            server_bytes_each: memory.zip(memory_before).map(|(now, then)| each(now - then)),
            socket_bytes_each: Some(each(sockets - sockets_before)),
        };
        Ok((ended, seen))
    }
}

fn open_some(run: &mut Run, good: u32, per_s: Option<f64>) -> io::Result<Ended> {
    if good == run.swarm.spec().crowd {
        return open_all(run, per_s);
    }
    run.swarm.grow(Whom::Crowd, good, per_s)?;
    run.wait_for("opening", u64::from(good), None, |totals| totals[Count::Open])
}

fn log_in_some(run: &mut Run, good: u32) -> io::Result<Ended> {
    if good == run.swarm.spec().crowd {
        return log_in(run, None);
    }
    run.swarm.log_in(None)?;
    run.wait_for("logging in", u64::from(good), None, |totals| totals[Count::LoggedIn])
}
