//! Two results compared, figure by figure.

use crate::exit::Exit;
use crate::report::words;
use crate::result::{Better, Figure, RunResult};
use crate::stats::bootstrap::{self, Interval};
use serde::Serialize;

/// What a change is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// Worse by more than the threshold, and not by chance.
    Worse,
    /// Better by more than the threshold, and not by chance.
    Better,
    /// Within the threshold, and so is the whole confidence interval.
    Same,
    /// Too few repetitions, or too far apart, to say.
    Unclear,
}

/// One figure that both results have.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// Its name.
    pub name: String,
    /// Its unit.
    pub unit: String,
    /// Median before.
    pub before: f64,
    /// Median after.
    pub after: f64,
    /// After over before; none if before is not above zero.
    pub ratio: Option<f64>,
    /// Lower end of its 95 % confidence interval.
    pub low: Option<f64>,
    /// Upper end.
    pub high: Option<f64>,
    /// What that means.
    pub change: Change,
}

/// All figures of two results.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// Changes below this share are none.
    pub threshold: f64,
    /// One for each figure, in the order of the first result.
    pub rows: Vec<Row>,
    /// Figures that were left out, and why: one sentence each.
    pub left_out: Vec<String>,
    /// What makes the comparison doubtful: one sentence each.
    pub warnings: Vec<String>,
}

/// Changes below 5 % are none, unless the user wants another threshold.
pub const THRESHOLD: f64 = 0.05;

/// Compares two runs of one command. The seed of `after` draws the bootstrap,
/// so that the same files give the same answer.
///
/// # Errors
/// One line, when the runs are of different commands, aimed at different kinds
/// of targets, have no figure in common, or the threshold makes no sense.
pub fn compare(
    before: &RunResult,
    after: &RunResult,
    threshold: f64,
) -> Result<Comparison, String> {
    if !(0.0..=10.0).contains(&threshold) {
        return Err(format!("a threshold of {threshold} is not a share such as 0.05"));
    }
    if before.command != after.command {
        return Err(format!(
            "a run of {:?} cannot be compared with one of {:?}",
            before.command, after.command
        ));
    }
    let (kind_before, kind_after) = (kind(before), kind(after));
    if kind_before != kind_after {
        return Err(format!(
            "a target on {kind_before} cannot be compared with one on {kind_after}"
        ));
    }
    let mut found = Comparison {
        threshold,
        rows: Vec::new(),
        left_out: Vec::new(),
        warnings: warnings(before, after),
    };
    for old in &before.figures {
        let usable = after.figure(&old.name).ok_or("only the first result has it");
        match usable.and_then(|new| row(old, new, threshold, after.seed)) {
            Ok(row) => found.rows.push(row),
            Err(why) => found.left_out.push(format!("{}: {why}", old.name)),
        }
    }
    for new in after.figures.iter().filter(|new| before.figure(&new.name).is_none()) {
        found.left_out.push(format!("{}: only the second result has it", new.name));
    }
    if found.rows.is_empty() {
        return Err("the two results have no valid figure in common".to_owned());
    }
    Ok(found)
}

impl Comparison {
    /// How the program ends: [`Exit::Regressed`] if anything is worse.
    #[must_use]
    pub fn exit(&self) -> Exit {
        let worse = self.rows.iter().any(|row| row.change == Change::Worse);
        if worse { Exit::Regressed } else { Exit::Ok }
    }

    /// For a program.
    ///
    /// # Errors
    /// One line, when it cannot be written as JSON.
    pub fn json(&self) -> Result<String, String> {
        serde_json::to_string_pretty(self).map_err(|error| error.to_string())
    }

    /// For a person: one line a figure, aligned, then what was left out. Text
    /// from the files is shown without control characters.
    #[must_use]
    pub fn text(&self) -> String {
        let width = self.rows.iter().map(|row| row.name.chars().count()).max().unwrap_or(0);
        let mut text = String::new();
        for row in &self.rows {
            let name = words::clean(&row.name);
            let values = format!("{} → {}", words::number(row.before), words::number(row.after));
            let unit = words::clean(&row.unit);
            text += &format!(
                "{name:width$}  {values:>24} {unit:<6}  {:>22}  {}\n",
                row.reach(),
                row.change.word()
            );
        }
        let count = |change| self.rows.iter().filter(|row| row.change == change).count();
        text += &format!(
            "\n{} worse, {} better, {} the same, {} unclear (threshold {}, 95 % confidence)\n",
            count(Change::Worse),
            count(Change::Better),
            count(Change::Same),
            count(Change::Unclear),
            words::percent(self.threshold)
        );
        for line in &self.left_out {
            text += &format!("left out: {}\n", words::clean(line));
        }
        for line in &self.warnings {
            text += &format!("warning: {}\n", words::clean(line));
        }
        text
    }
}

impl Row {
    /// `+3.1 % (+1.0 … +5.2)`.
    fn reach(&self) -> String {
        let percent = |ratio: f64| format!("{:+.1}", (ratio - 1.0) * 100.0);
        match (self.ratio, self.low, self.high) {
            (Some(ratio), Some(low), Some(high)) => {
                format!("{} % ({} … {})", percent(ratio), percent(low), percent(high))
            }
            (Some(ratio), ..) => format!("{} %", percent(ratio)),
            _ => "–".to_owned(),
        }
    }
}

impl Change {
    fn word(self) -> &'static str {
        match self {
            Self::Worse => "WORSE",
            Self::Better => "better",
            Self::Same => "same",
            Self::Unclear => "unclear",
        }
    }
}

fn row(old: &Figure, new: &Figure, threshold: f64, seed: u64) -> Result<Row, &'static str> {
    if !old.valid || !new.valid {
        return Err("INVALID, the generator was the limit");
    }
    if old.unit != new.unit || old.better != new.better {
        return Err("its unit or direction differs");
    }
    let before = bootstrap::median(&old.samples).ok_or("no usable samples before")?;
    let after = bootstrap::median(&new.samples).ok_or("no usable samples after")?;
    let ratio = bootstrap::ratio_of_medians(&old.samples, &new.samples, seed);
    let enough = old.samples.len().min(new.samples.len()) >= SAMPLES_LEAST;
    let change = match ratio {
        Some(ratio) if enough => judged(ratio, old.better, threshold),
        Some(_) => Change::Unclear,
        None => without_ratio(old, new),
    };
    Ok(Row {
        name: old.name.clone(),
        unit: old.unit.clone(),
        before,
        after,
        ratio: ratio.map(|ratio| ratio.estimate),
        low: ratio.filter(|_| enough).map(|ratio| ratio.low),
        high: ratio.filter(|_| enough).map(|ratio| ratio.high),
        change,
    })
}

fn judged(ratio: Interval, better: Better, threshold: f64) -> Change {
    // As factors: a tenth more and a tenth less are then equally far from none.
    let far = 1.0 + threshold;
    let (higher, lower) = match better {
        Better::Higher => (Change::Better, Change::Worse),
        Better::Lower => (Change::Worse, Change::Better),
    };
    match ratio {
        Interval { estimate, low, .. } if low > 1.0 && estimate > far => higher,
        Interval { estimate, high, .. } if high < 1.0 && estimate < 1.0 / far => lower,
        Interval { low, high, .. } if low >= 1.0 / far && high <= far => Change::Same,
        _ => Change::Unclear,
    }
}

/// Where there was nothing before, as with losses: the samples themselves are compared.
fn without_ratio(old: &Figure, new: &Figure) -> Change {
    let extremes = |samples: &[f64]| {
        let least = samples.iter().copied().fold(f64::INFINITY, f64::min);
        (least, samples.iter().copied().fold(f64::NEG_INFINITY, f64::max))
    };
    let ((old_least, old_most), (new_least, new_most)) =
        (extremes(&old.samples), extremes(&new.samples));
    let (higher, lower) = match old.better {
        Better::Higher => (Change::Better, Change::Worse),
        Better::Lower => (Change::Worse, Change::Better),
    };
    match () {
        () if new_least > old_most => higher,
        () if new_most < old_least => lower,
        () if (old_least, old_most) == (new_least, new_most) => Change::Same,
        () => Change::Unclear,
    }
}

/// Loopback shares the cores of one host: its figures mean something else.
fn kind(run: &RunResult) -> &'static str {
    if run.target.loopback { "the generator's own host" } else { "another host" }
}

fn warnings(before: &RunResult, after: &RunResult) -> Vec<String> {
    let (old, new) = (&before.machine, &after.machine);
    let mut found = Vec::new();
    let mut differs = |what: &str, old: &str, new: &str| {
        if old != new {
            found.push(format!("{what} differs: {old:?} and {new:?}"));
        }
    };
    differs("the host", &old.host, &new.host);
    differs("the kernel", &old.kernel, &new.kernel);
    differs("the processor", &old.cpu, &new.cpu);
    differs("the number of cores", &old.cores.to_string(), &new.cores.to_string());
    differs("RAM", &old.memory_bytes.to_string(), &new.memory_bytes.to_string());
    differs("the generator's version", &before.version, &after.version);
    differs("what was asked", &before.arguments.join(" "), &after.arguments.join(" "));
    for name in
        old.sysctl.keys().chain(new.sysctl.keys().filter(|name| !old.sysctl.contains_key(*name)))
    {
        let value = |of: &crate::result::Machine| of.sysctl.get(name).cloned().unwrap_or_default();
        differs(name, &value(old), &value(new));
    }
    found
}

/// With fewer repetitions an interval says nothing.
const SAMPLES_LEAST: usize = 3;
