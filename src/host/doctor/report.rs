//! The doctor's answer, for people and for machines.

use super::limit::{Grade, Limit, Need, Standing, Unit};
use super::number::{bytes, grouped};
use super::{Facts, Target, ceiling, judge, paste};
use serde::Serialize;
use std::fmt::{self, Display, Formatter};

/// What was found. [`Display`] is for people; serialized, it is for machines.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The host that was looked at.
    pub host: Host,
    /// Connections that were asked for.
    pub connections: Option<u64>,
    /// Whether they fit; `None` where none were asked for.
    pub fits: Option<bool>,
    /// Connections that all limits permit; `None` if none of them is known.
    pub ceiling: Option<u64>,
    /// The limit that sets the ceiling.
    pub binds: Option<Bound>,
    /// The one that would if that were lifted.
    pub next: Option<Bound>,
    /// Every limit.
    pub limits: Vec<Limit>,
}

/// The host in a few words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Host {
    /// The kernel's release.
    pub kernel: String,
    /// Cores the gateway may use.
    pub cores: usize,
    /// RAM.
    pub memory_bytes: Option<u64>,
    /// What could be had of it.
    pub memory_free_bytes: Option<u64>,
}

/// A limit and where it ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Bound {
    /// Its name.
    pub limit: &'static str,
    /// Connections under it.
    pub permits: u64,
}

impl Report {
    /// Judges a host.
    #[must_use]
    pub fn new(facts: &Facts, target: &Target) -> Self {
        let limits = judge(facts, target);
        let hard = || limits.iter().filter(|limit| limit.grade == Grade::Ceiling);
        let mut bounds: Vec<Bound> = hard()
            .filter_map(|limit| Some(Bound { limit: limit.name, permits: limit.permits? }))
            .collect();
        // Stable: of equals the first in the table binds.
        bounds.sort_by_key(|bound| bound.permits);
        let mut bounds = bounds.into_iter();
        Self {
            host: Host {
                kernel: facts.kernel.clone(),
                cores: facts.cores,
                memory_bytes: facts.memory.total_bytes(),
                memory_free_bytes: facts.memory.free_bytes(),
            },
            connections: target.connections,
            fits: target.connections.map(|_| !hard().any(Limit::is_short)),
            ceiling: ceiling(&limits),
            binds: bounds.next(),
            next: bounds.next(),
            limits,
        }
    }

    /// Whether what was asked for does not fit.
    #[must_use]
    pub fn refuses(&self) -> bool {
        self.fits == Some(false)
    }

    fn verdict(&self) -> String {
        let (Some(ceiling), Some(binds)) = (self.ceiling, &self.binds) else {
            return "This host tells nothing that would bound the number of connections."
                .to_owned();
        };
        let next = match &self.next {
            Some(next) => format!("; next comes {} at {}", next.limit, grouped(next.permits)),
            None => String::new(),
        };
        let (ceiling, binds) = (grouped(ceiling), binds.limit);
        match (self.connections.map(grouped), self.fits) {
            (Some(wanted), Some(true)) => {
                format!("{wanted} connections fit: the ceiling is {ceiling} ({binds}){next}.")
            }
            (Some(wanted), _) => {
                format!(
                    "{wanted} connections do not fit: the ceiling is {ceiling} ({binds}){next}."
                )
            }
            (None, _) => {
                format!("This host holds {ceiling} connections: {binds} binds{next}.")
            }
        }
    }
}

impl Display for Report {
    fn fmt(&self, out: &mut Formatter) -> fmt::Result {
        writeln!(out, "{}\n", self.host)?;
        for grade in [Grade::Ceiling, Grade::Advice] {
            self.table(out, grade)?;
            writeln!(out)?;
        }
        writeln!(out, "{}", self.verdict())?;
        for (grade, heading) in [
            (Grade::Ceiling, "To make it fit:"),
            (Grade::Advice, "For speed (`scripts/tune --apply` sets what sysctl can):"),
        ] {
            let short: Vec<&Limit> = self
                .limits
                .iter()
                .filter(|limit| limit.grade == grade && limit.is_short())
                .collect();
            if !short.is_empty() {
                writeln!(out, "\n{heading}")?;
                paste::write(out, &short)?;
            }
        }
        if self.connections.is_none() {
            writeln!(out, "\nAsk with `--connections 1m` for the lines that make a number fit.")?;
        }
        Ok(())
    }
}

impl Display for Host {
    fn fmt(&self, out: &mut Formatter) -> fmt::Result {
        let kernel = if self.kernel.is_empty() { "unknown" } else { &self.kernel };
        write!(out, "Linux {kernel}, {} cores", self.cores)?;
        if let (Some(all), Some(free)) = (self.memory_bytes, self.memory_free_bytes) {
            write!(out, ", {} RAM, {} of it free", bytes(all), bytes(free))?;
        }
        Ok(())
    }
}

impl Report {
    /// One row a limit, columns as wide as they must be.
    fn table(&self, out: &mut Formatter, grade: Grade) -> fmt::Result {
        let title = match grade {
            Grade::Ceiling => "ceilings",
            Grade::Advice => "advice, for speed",
        };
        let mut rows = vec![["", title, "here", "needed", "connections", ""].map(str::to_owned)];
        rows.extend(self.limits.iter().filter(|limit| limit.grade == grade).map(row));
        let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
        let [marks, names, here, needed, permits] = [0, 1, 2, 3, 4].map(width);
        for [mark, name, a, b, c, why] in &rows {
            let line = format!(
                "{mark:marks$}  {name:names$}  {a:>here$}  {b:>needed$}  {c:>permits$}  {why}"
            );
            writeln!(out, "  {}", line.trim_end())?;
        }
        Ok(())
    }
}

fn row(limit: &Limit) -> [String; 6] {
    let permits = limit.permits.map_or_else(String::new, grouped);
    // Who has no trouble with a limit need not read what it is.
    let why = if limit.is_short() { limit.why } else { "" };
    [
        mark(limit).to_owned(),
        limit.name.to_owned(),
        here(limit),
        needed(limit),
        permits,
        why.to_owned(),
    ]
}

fn mark(limit: &Limit) -> &'static str {
    match limit.standing {
        Standing::Fits => "ok",
        Standing::Unlimited | Standing::NotInUse => "-",
        Standing::Unknown => "?",
        Standing::Short => match (limit.grade, limit.needs) {
            (Grade::Ceiling, _) => "SHORT",
            (Grade::Advice, Some(Need::AtMost(_))) => "high",
            (Grade::Advice, Some(Need::Exactly(_))) => "wrong",
            (Grade::Advice, _) => "low",
        },
    }
}

fn here(limit: &Limit) -> String {
    match (limit.here, limit.standing) {
        (Some(value), _) => amount(limit.unit, value),
        (None, Standing::NotInUse) => "not in use".to_owned(),
        (None, Standing::Unknown) => "unknown".to_owned(),
        (None, _) => "no limit".to_owned(),
    }
}

fn needed(limit: &Limit) -> String {
    match limit.needs {
        _ if limit.here.is_none() => String::new(),
        Some(Need::AtLeast(value) | Need::Exactly(value)) => amount(limit.unit, value),
        Some(Need::AtMost(value)) => format!("at most {}", amount(limit.unit, value)),
        None => String::new(),
    }
}

fn amount(unit: Unit, value: u64) -> String {
    match unit {
        Unit::Count => grouped(value),
        Unit::Bytes => bytes(value),
        Unit::Pages => format!("{} pages", grouped(value)),
    }
}
