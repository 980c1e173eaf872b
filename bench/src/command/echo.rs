//! `echo`: requests and their answers over some of many connections.

use super::hold::{bad, exit_of, open_all};
use crate::exit::Exit;
use crate::run::{Common, Ended, Level, Run};
use crate::swarm::{Load, Protocol, Request, Whom};
use crate::units::count;
use crate::wire::stamp::STAMP_BYTES;
use clap::{Args, ValueEnum};
use std::io;

/// Sends requests over some of many connections and checks every answer.
#[derive(Args, Clone, Debug)]
pub struct Echo {
    #[command(flatten)]
    common: Common,
    /// Connections that send, the others are idle; all if not given
    #[arg(long, short = 'A', value_parser = count)]
    active: Option<u64>,
    /// Messages a second, all together (open loop); as fast as answers come if not given
    #[arg(long, short = 'R', value_parser = count)]
    rate: Option<u64>,
    /// Bytes of a message, at least 32
    #[arg(long, default_value_t = STAMP_BYTES)]
    size: usize,
    /// Messages that a connection has under way in a closed loop
    #[arg(long, default_value_t = 1)]
    in_flight: u32,
    /// What is asked: a message that comes back, or the gateway's ping
    #[arg(long, value_enum, default_value_t = Kind::Echo)]
    request: Kind,
    /// Stretches that the time is measured in; each is a sample of every figure
    #[arg(long, default_value_t = 5)]
    stretches: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Kind {
    Echo,
    Ping,
}

impl Echo {
    /// Does it.
    ///
    /// # Errors
    /// When the kernel refuses something, or a worker has failed.
    pub fn run(self) -> io::Result<(Run, Exit)> {
        if self.size < STAMP_BYTES {
            return Err(bad(format!(
                "--size: a numbered message has at least {STAMP_BYTES} bytes"
            )));
        }
        let (protocol, request) = match self.request {
            Kind::Echo => (Protocol::Echo, Request::Echo(self.size)),
            Kind::Ping => (Protocol::Gateway, Request::Ping),
        };
        let spec = self.common.spec(protocol).map_err(bad)?;
        let all = spec.crowd;
        let active = self.active.map_or(all, |count| u32::try_from(count).unwrap_or(all).min(all));
        let offered = self.rate.map(|rate| rate as f64);
        let mut run = Run::start("echo", &self.common, spec)?;
        let mut ended = open_all(&mut run, self.common.connect_rate)?;
        if ended == Ended::Done {
            let load = Load { request, active, per_s: offered, in_flight: self.in_flight.max(1) };
            run.swarm.load(Whom::Crowd, Some(load))?;
            ended = run.pass("warming up", self.common.warmup)?;
        }
        if ended == Ended::Done {
            let name = if self.request == Kind::Ping { "ping" } else { "echo" };
            let level = Level {
                name,
                whom: Whom::Crowd,
                active,
                offered_per_s: offered,
                time: self.common.duration,
                stretches: self.stretches,
            };
            let (measured, point) = run.measure(level)?;
            ended = measured;
            run.settle(Whom::Crowd)?;
            if !point.verdict.is_valid() && ended == Ended::Done {
                return Ok((run, Exit::GeneratorLimited));
            }
        }
        let exit = exit_of(&mut run, ended)?;
        Ok((run, exit))
    }
}
