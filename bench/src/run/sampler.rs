//! Both ends and the kernel, once a second.

use crate::probe::kernel;
use crate::probe::process::Process;
use crate::result::{Sample, ServerSample};
use crate::swarm::{Count, Totals};
use std::io;
use std::time::Duration;

/// What is looked at, and when it is due again.
#[derive(Debug)]
pub(super) struct Sampler {
    own: Process,
    server: Option<Process>,
    next: Duration,
}

const EVERY: Duration = Duration::from_secs(1);

/// Samples that are kept: ten hours, a second apart.
const SAMPLES_MAX: usize = 36_000;

impl Sampler {
    pub(super) fn new(server_pid: Option<u32>) -> io::Result<Self> {
        let server = server_pid.map(|pid| Process { pid });
        if let Some(server) = server {
            server.cpu().map_err(|error| named(server, &error))?;
        }
        Ok(Self { own: Process::own(), server, next: Duration::ZERO })
    }

    /// CPU time of generator and server, seconds.
    pub(super) fn cpu(&self) -> io::Result<(f64, Option<f64>)> {
        let server = self.server.map(|server| {
            server.cpu().map(|cpu| cpu.as_secs_f64()).map_err(|error| named(server, &error))
        });
        Ok((self.own.cpu()?.as_secs_f64(), server.transpose()?))
    }

    pub(super) fn server_memory(&self) -> io::Result<Option<u64>> {
        self.server
            .map(|server| server.memory_exact().map_err(|error| named(server, &error)))
            .transpose()
    }

    /// Adds a sample if one is due.
    pub(super) fn sample(
        &mut self,
        now: Duration,
        totals: &Totals,
        timeline: &mut Vec<Sample>,
    ) -> io::Result<()> {
        if now < self.next || timeline.len() >= SAMPLES_MAX {
            return Ok(());
        }
        self.next = now + EVERY;
        let (own, server) = self.cpu()?;
        let server = match (self.server, server) {
            (Some(process), Some(cpu_s)) => {
                let resident_bytes = process.memory().map_err(|error| named(process, &error))?;
                Some(ServerSample { resident_bytes, cpu_s })
            }
            _ => None,
        };
        timeline.push(Sample {
            at_s: now.as_secs_f64(),
            open: totals[Count::Open],
            logged_in: totals[Count::Present],
            lost: totals[Count::Lost],
            told: totals[Count::Told],
            returned: totals[Count::Returned],
            sent: totals[Count::Sent],
            received: totals[Count::Answered] + totals[Count::Pushed],
            generator_cpu_s: own,
            generator_bytes: self.own.memory()?,
            server,
            kernel: kernel::sample().ok(),
        });
        Ok(())
    }
}

fn named(server: Process, error: &io::Error) -> io::Error {
    io::Error::other(format!("the server's process {} (--server-pid): {error}", server.pid))
}
