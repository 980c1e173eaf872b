//! One level of load, measured in stretches.

use super::led::Part;
use super::{Ended, Run, Stretch};
use crate::probe::machine::cores;
use crate::result::{Better, Figure, LoadPoint, Verdict};
use crate::swarm::{Count, Harvest, Timing, Whom};
use std::io;
use std::time::Duration;

/// What is measured.
#[derive(Clone, Copy, Debug)]
pub struct Level<'a> {
    /// What the figures are called by, as `echo`.
    pub name: &'a str,
    /// Whose answers count.
    pub whom: Whom,
    /// How many send.
    pub active: u32,
    /// Messages a second that are to be sent; none in a closed loop.
    pub offered_per_s: Option<f64>,
    /// How long, in all.
    pub time: Duration,
    /// In how many stretches; each gives a sample of every figure.
    pub stretches: u32,
}

/// A stretch, measured.
#[derive(Debug, Default)]
struct Slice {
    seconds: f64,
    answered: u64,
    generator_cpu_s: f64,
    server_cpu_s: Option<f64>,
}

/// Above this share of the cores the generator itself may be what is slow.
const GENERATOR_CPU_MAX: f64 = 0.8;

/// Less than this share of the offered messages means that they were not offered.
const ACHIEVED_MIN: f64 = 0.99;

/// A generator that is later than this, and than a tenth of what it measures, measures itself.
const LAG_MAX_US: u64 = 5_000;

impl Run {
    /// Measures what has been ordered already, at the same time as every other generator; adds a load point and figures to the result.
    ///
    /// # Errors
    /// When a worker or the server's process is gone.
    pub fn measure(&mut self, level: Level<'_>) -> io::Result<(Ended, LoadPoint)> {
        // Whoever is interrupted here ends with the first stretch.
        self.meet(level.name)?;
        self.measure_with(level, &mut Timing::default(), |_| Ok(()))
    }

    /// The same at once, with something to do meanwhile; collects the times of pushes as well.
    ///
    /// # Errors
    /// As [`Run::measure`], or what `step` says.
    pub fn measure_with(
        &mut self,
        level: Level<'_>,
        pushes: &mut Timing,
        mut step: impl FnMut(&Self) -> io::Result<()>,
    ) -> io::Result<(Ended, LoadPoint)> {
        // What was on its way before does not count.
        self.swarm.harvest(level.whom)?;
        let (mut timing, mut slices) = (Timing::default(), Vec::new());
        let mut ended = Ended::Done;
        for _ in 0..level.stretches.max(1) {
            let (end, part, slice) = self.slice(&level, &mut step)?;
            timing.merge(&part.replies);
            pushes.merge(&part.pushes);
            slices.push(slice);
            ended = end;
            if ended != Ended::Done {
                break;
            }
        }
        let point = self.point(&level, &timing, &slices);
        self.add_figures(&level, &slices, point.verdict.is_valid());
        self.result.loads.push(point.clone());
        Ok((ended, point))
    }

    fn slice(
        &mut self,
        level: &Level<'_>,
        step: impl FnMut(&Self) -> io::Result<()>,
    ) -> io::Result<(Ended, Harvest, Slice)> {
        let began = self.swarm.clock().now();
        let before = self.swarm.totals(level.whom)[Count::Answered];
        let (own_before, server_before) = self.cpu()?;
        let ended = self.pass_with(level.name, level.time / level.stretches.max(1), step)?;
        let (own, server) = self.cpu()?;
        let length = self.swarm.clock().now() - began;
        let answered = self.swarm.totals(level.whom)[Count::Answered] - before;
        let harvest = self.swarm.harvest(level.whom)?;
        let (name, corrected) = (level.name.to_owned(), harvest.replies.corrected());
        let stretch = Stretch { name, began, length, corrected };
        self.hand_over(|| Part::of(&stretch));
        self.stretches.push(stretch);
        let slice = Slice {
            seconds: length.as_secs_f64(),
            answered,
            generator_cpu_s: own - own_before,
            server_cpu_s: server.zip(server_before).map(|(now, before)| now - before),
        };
        Ok((ended, harvest, slice))
    }

    fn point(&self, level: &Level<'_>, timing: &Timing, slices: &[Slice]) -> LoadPoint {
        let sum = |part: fn(&Slice) -> f64| slices.iter().map(part).sum::<f64>();
        let seconds = sum(|slice| slice.seconds).max(1e-9);
        let answered: u64 = slices.iter().map(|slice| slice.answered).sum();
        let achieved_per_s = answered as f64 / seconds;
        let generator_cpu = sum(|slice| slice.generator_cpu_s) / seconds / f64::from(cores());
        let latency = timing.latency();
        let late = latency.lag.p99_us;
        let verdict = if generator_cpu > GENERATOR_CPU_MAX {
            Verdict::Invalid(format!(
                "the generator used {:.0} % of the CPU",
                generator_cpu * 100.0
            ))
        } else if late > LAG_MAX_US && late * 10 > latency.corrected.p99_us {
            Verdict::Invalid(format!("the generator sent 1 % more than {} ms late", late / 1_000))
        } else {
            match level.offered_per_s {
                Some(offered) if achieved_per_s < offered * ACHIEVED_MIN && late > LAG_MAX_US => {
                    Verdict::Invalid("the generator did not offer what it should".into())
                }
                _ => Verdict::Valid,
            }
        };
        LoadPoint {
            name: level.name.to_owned(),
            connections: self.totals()[Count::Open],
            active: u64::from(level.active),
            offered_per_s: level.offered_per_s,
            achieved_per_s,
            seconds,
            generator_cpu,
            server_cpu_s: slices.iter().map(|slice| slice.server_cpu_s).sum(),
            verdict,
            latency,
        }
    }

    fn add_figures(&mut self, level: &Level<'_>, slices: &[Slice], valid: bool) {
        let name = level.name.replace(' ', "_");
        let skip = self.stretches.len() - slices.len();
        let percentile = |share: f64| -> Vec<f64> {
            let parts = self.stretches[skip..].iter();
            parts.map(|part| part.corrected.quantile(share) as f64 / 1e3).collect()
        };
        let mut figures = vec![
            ("messages_per_second", "1/s", Better::Higher, slices.iter().map(per_second).collect()),
            ("p50", "ms", Better::Lower, percentile(0.5)),
            ("p99", "ms", Better::Lower, percentile(0.99)),
        ];
        let per_cpu: Option<Vec<f64>> = slices.iter().map(per_server_cpu).collect();
        if let Some(samples) = per_cpu {
            let unit = "1/s";
            figures.push(("messages_per_server_cpu_second", unit, Better::Higher, samples));
        }
        for (figure, unit, better, samples) in figures {
            self.result.figures.push(Figure {
                name: format!("{name}.{figure}"),
                unit: unit.to_owned(),
                better,
                samples,
                valid,
            });
        }
    }
}

fn per_second(slice: &Slice) -> f64 {
    slice.answered as f64 / slice.seconds.max(1e-9)
}

fn per_server_cpu(slice: &Slice) -> Option<f64> {
    Some(slice.answered as f64 / slice.server_cpu_s?.max(1e-9))
}
