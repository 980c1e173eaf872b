//! Where the ticks of an axis are, and what stands beside them.

use crate::report::words;
use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, Ranged, ValueFormatter};
use std::ops::Range;

/// How the numbers of an axis are spaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// Evenly, from zero if no number is below it.
    Linear,
    /// By their logarithm; numbers above zero only.
    Log,
}

/// What the numbers of an axis are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Things, or things a second.
    Count,
    /// Bytes.
    Bytes,
    /// Microseconds.
    Micros,
    /// Seconds.
    Seconds,
    /// Shares of 1.
    Share,
    /// Nines: 0 is the least value, 1 is 90 %, 2 is 99 % and so on.
    Nines,
}

/// The extent of an axis as it is drawn: logarithms on a logarithmic scale.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Span {
    scale: Scale,
    unit: Unit,
    least: f64,
    most: f64,
    ticks: Vec<f64>,
}

impl Span {
    /// What stands beside the ticks.
    pub(super) fn labels(&self) -> Vec<String> {
        self.ticks.iter().map(|tick| self.unit.label(self.scale.value(*tick))).collect()
    }
}

impl Ranged for Span {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, (from, to): (i32, i32)) -> i32 {
        let along = (self.scale.place(*value) - self.least) / (self.most - self.least);
        from + (f64::from(to - from) * along).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, hint: Hint) -> Vec<f64> {
        // The library asks for those between the ticks too: there are none.
        if hint.weight().allow_light_points() {
            return Vec::new();
        }
        self.ticks.iter().map(|tick| self.scale.value(*tick)).collect()
    }

    fn range(&self) -> Range<f64> {
        self.scale.value(self.least)..self.scale.value(self.most)
    }
}

impl ValueFormatter<f64> for Span {
    fn format_ext(&self, value: &f64) -> String {
        self.unit.label(*value)
    }
}

impl Scale {
    /// Whether a number has a place on it.
    pub(super) fn takes(self, value: f64) -> bool {
        value.is_finite() && (self == Self::Linear || value > 0.0)
    }

    fn place(self, value: f64) -> f64 {
        if self == Self::Log { value.log10() } else { value }
    }

    fn value(self, placed: f64) -> f64 {
        if self == Self::Log { 10_f64.powf(placed) } else { placed }
    }

    /// Room for all of these, with about so many ticks.
    pub(super) fn span(self, unit: Unit, values: impl Iterator<Item = f64>, wanted: usize) -> Span {
        let (mut least, mut most) = (f64::INFINITY, f64::NEG_INFINITY);
        for value in values.map(|value| self.place(value)) {
            (least, most) = (least.min(value), most.max(value));
        }
        match self {
            Self::Linear => linear(unit, least, most, wanted.max(2)),
            Self::Log => logarithmic(unit, least, most, wanted.max(2)),
        }
    }
}

fn linear(unit: Unit, least: f64, most: f64, wanted: usize) -> Span {
    let least = least.min(0.0);
    let most = if unit == Unit::Share { most.max(1.0) } else { most };
    let most = if most > least { most } else { least + 1.0 };
    let step = unit.step((most - least) / wanted as f64);
    let first = (least / step).floor() as i64;
    let last = (most / step - 1e-9).ceil() as i64;
    // Counting whole numbers keeps 0.30000000000000004 off the axis.
    let ticks: Vec<f64> = (first..=last).take(TICKS_MAX).map(|k| k as f64 * step).collect();
    // A last tick far above everything would only push the drawing down.
    let most = most + (most - least) * 0.03;
    let (end, ticks) = match unit {
        Unit::Nines | Unit::Seconds => (most, ticks),
        _ => (ticks.last().copied().unwrap_or(most).max(most), ticks),
    };
    let start = if least < 0.0 { first as f64 * step } else { 0.0 };
    let ticks = ticks.into_iter().filter(|tick| *tick <= end).collect();
    Span { scale: Scale::Linear, unit, least: start, most: end, ticks }
}

/// Powers of ten; also twice and five times of them where there are few.
fn logarithmic(unit: Unit, least: f64, most: f64, wanted: usize) -> Span {
    let pad = ((most - least) * 0.04).max(0.05);
    let (least, most) = (least - pad, most + pad);
    let decades = (least.floor() as i32)..=(most.ceil() as i32);
    let of = |parts: &[f64]| -> Vec<f64> {
        let all = decades.clone().flat_map(|decade| {
            parts.iter().map(move |part| f64::from(decade) + part.log10()).collect::<Vec<_>>()
        });
        all.filter(|tick| (least..=most).contains(tick)).collect()
    };
    let candidates = [of(&[1.0, 2.0, 5.0]), of(&[1.0, 3.0]), of(&[1.0])];
    let most_fitting = candidates.iter().find(|ticks| ticks.len() <= wanted + 2);
    let mut ticks = most_fitting.unwrap_or(&candidates[2]).clone();
    let every = ticks.len().div_ceil(wanted + 2).max(1);
    ticks = ticks.into_iter().step_by(every).collect();
    if ticks.is_empty() {
        ticks.push(f64::midpoint(least, most));
    }
    Span { scale: Scale::Log, unit, least, most, ticks }
}

impl Unit {
    /// The next step that is at least this wide and sounds right in the unit.
    fn step(self, least: f64) -> f64 {
        match self {
            Self::Seconds if least >= 1.0 => SECOND_STEPS
                .iter()
                .copied()
                .find(|step| *step >= least)
                .unwrap_or_else(|| decimal(least)),
            Self::Bytes if least >= 1.0 => {
                let unit = 1024_f64.powf(least.log(1024.0).floor());
                // Some steps on, what was 512 KiB must be whole in the next unit too.
                let steps = [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 128.0, 256.0, 512.0];
                let step = steps.into_iter().find(|step| *step >= least / unit - 1e-9);
                unit * step.unwrap_or(1024.0)
            }
            Self::Nines => decimal(least).max(1.0),
            _ => decimal(least),
        }
    }

    /// What stands beside a tick.
    fn label(self, value: f64) -> String {
        match self {
            Self::Count => words::short(value),
            Self::Share => format!("{} %", trimmed(value * 100.0)),
            Self::Seconds => seconds(value),
            Self::Micros => match value {
                0.0 => "0".to_owned(),
                us if us < 999.5 => format!("{} µs", trimmed(us)),
                us if us < 999_500.0 => format!("{} ms", trimmed(us / 1e3)),
                us => seconds(us / 1e6),
            },
            Self::Bytes => bytes(value),
            Self::Nines => match value {
                nines if nines < 0.5 => "0 %".to_owned(),
                nines if nines < 1.5 => "90 %".to_owned(),
                nines if nines < 2.5 => "99 %".to_owned(),
                nines => format!("99.{} %", "9".repeat(nines.round() as usize - 2)),
            },
        }
    }
}

/// 1, 2 or 5 times a power of ten.
fn decimal(least: f64) -> f64 {
    let power = 10_f64.powf(least.log10().floor());
    let part = least / power;
    power * [1.0, 2.0, 5.0].into_iter().find(|step| *step >= part - 1e-9).unwrap_or(10.0)
}

fn seconds(value: f64) -> String {
    let whole = value.fract().abs() < 1e-9;
    match value {
        0.0 => "0".to_owned(),
        s if s >= 3600.0 && s % 3600.0 == 0.0 => format!("{} h", s / 3600.0),
        s if s >= 60.0 && s % 60.0 == 0.0 => format!("{} min", s / 60.0),
        s if s > 60.0 && whole => format!("{}:{:02} min", s as u64 / 60, s as u64 % 60),
        s => format!("{} s", trimmed(s)),
    }
}

fn bytes(value: f64) -> String {
    let mut value = value;
    let mut units = ["B", "KiB", "MiB", "GiB", "TiB"].into_iter();
    let mut unit = units.next();
    while value.abs() >= 1023.5 {
        let Some(next) = units.next() else { break };
        unit = Some(next);
        value /= 1024.0;
    }
    if value == 0.0 {
        "0".to_owned()
    } else {
        format!("{} {}", trimmed(value), unit.unwrap_or("TiB"))
    }
}

/// At most three decimals, and none for nothing.
fn trimmed(value: f64) -> String {
    let text = format!("{value:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

const SECOND_STEPS: [f64; 17] = [
    1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1800.0, 3600.0, 7200.0,
    14_400.0, 43_200.0, 86_400.0,
];

const TICKS_MAX: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(scale: Scale, unit: Unit, least: f64, most: f64, wanted: usize) -> Vec<String> {
        scale.span(unit, [least, most].into_iter(), wanted).labels()
    }

    #[test]
    fn ticks_sound_right_in_their_unit() {
        use Scale::{Linear, Log};
        let cases: [(Scale, Unit, f64, f64, &[&str]); 8] = [
            (Linear, Unit::Count, 0.0, 1e6, &["0", "200k", "400k", "600k", "800k", "1M"]),
            (Linear, Unit::Seconds, 0.0, 632.0, &["0", "5 min", "10 min"]),
            (Linear, Unit::Seconds, 0.0, 14.0, &["0", "5 s", "10 s"]),
            (
                Linear,
                Unit::Bytes,
                0.0,
                7.5 * 1_073_741_824.0,
                &["0", "2 GiB", "4 GiB", "6 GiB", "8 GiB"],
            ),
            (Linear, Unit::Share, 0.0, 1.0, &["0 %", "20 %", "40 %", "60 %", "80 %", "100 %"]),
            (Linear, Unit::Nines, 0.0, 4.0, &["0 %", "90 %", "99 %", "99.9 %", "99.99 %"]),
            (Log, Unit::Micros, 80.0, 2.5e6, &["100 µs", "1 ms", "10 ms", "100 ms", "1 s"]),
            (Log, Unit::Count, 900.0, 9_500.0, &["1k", "2k", "5k", "10k"]),
        ];
        for (scale, unit, least, most, expected) in cases {
            assert_eq!(labels(scale, unit, least, most, 5), expected, "{unit:?} {most}");
        }
    }

    #[test]
    fn bytes_stay_whole_across_units() {
        let span = Scale::Linear.span(Unit::Bytes, [0.0, 2.4 * 1_048_576.0].into_iter(), 5);
        assert_eq!(span.labels(), ["0", "512 KiB", "1 MiB", "1.5 MiB", "2 MiB", "2.5 MiB"]);
    }

    #[test]
    fn every_axis_has_ticks_inside_of_it() {
        for scale in [Scale::Linear, Scale::Log] {
            for unit in [Unit::Count, Unit::Bytes, Unit::Micros, Unit::Seconds, Unit::Nines] {
                for (least, most) in
                    [(1.0, 1.0), (1.0, 3.0), (0.001, 0.002), (5e8, 6e11), (1.0, 1e12)]
                {
                    let span = scale.span(unit, [least, most].into_iter(), 5);
                    assert!(span.least < span.most);
                    assert!(!span.ticks.is_empty() && span.ticks.len() <= TICKS_MAX, "{span:?}");
                    let inside = |tick: &f64| span.least <= *tick && *tick <= span.most;
                    assert!(span.ticks.iter().all(inside), "{span:?}");
                }
            }
        }
    }
}
