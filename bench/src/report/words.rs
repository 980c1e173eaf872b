//! Figures in the words of a report.

use crate::units;

/// A rate: `43,201/s`, `0.25/s`.
#[must_use]
pub fn rate(per_s: f64) -> String {
    format!("{}/s", number(per_s))
}

/// A number with as many digits as it deserves: `43,201`, `12.5`, `0.25`, `0.00031`.
#[must_use]
pub fn number(value: f64) -> String {
    let size = value.abs();
    let sign = if value < 0.0 { "-" } else { "" };
    match size {
        _ if !value.is_finite() => "–".to_owned(),
        0.0 => "0".to_owned(),
        _ if size >= 99.95 || size.fract() == 0.0 => {
            format!("{sign}{}", units::grouped(size.round() as u64))
        }
        _ if size >= 9.995 => format!("{value:.1}"),
        _ if size >= 0.1 => format!("{value:.2}"),
        _ if size >= 1e-4 => format!("{value:.5}").trim_end_matches('0').to_owned(),
        _ => format!("{value:.1e}"),
    }
}

/// A number for the tick of an axis: `0`, `250`, `10k`, `1.5M`.
#[must_use]
pub fn short(value: f64) -> String {
    let (scaled, unit) = match value.abs() {
        size if size >= 999_950_000.0 => (value / 1e9, "G"),
        size if size >= 999_950.0 => (value / 1e6, "M"),
        size if size >= 1e3 => (value / 1e3, "k"),
        _ => (value, ""),
    };
    let digits = format!("{scaled:.2}");
    format!("{}{unit}", digits.trim_end_matches('0').trim_end_matches('.'))
}

/// A share of 1 as `12.3 %`; a little that is not nothing stays visible.
#[must_use]
pub fn percent(share: f64) -> String {
    let percent = share * 100.0;
    match percent.abs() {
        0.0 => "0 %".to_owned(),
        size if size < 0.01 => "< 0.01 %".to_owned(),
        size if size < 1.0 => format!("{percent:.2} %"),
        size if size < 99.95 => format!("{percent:.1} %"),
        _ => format!("{percent:.0} %"),
    }
}

/// A duration: `0.42 s`, `22.1 s`, `10 min 32 s`, `2 h 05 min`.
#[must_use]
pub fn seconds(seconds: f64) -> String {
    let whole = seconds.round() as u64;
    match seconds {
        s if s < 9.995 => format!("{s:.2} s"),
        s if s < 59.95 => format!("{s:.1} s"),
        _ if whole < 3600 => format!("{} min {:02} s", whole / 60, whole % 60),
        _ => format!("{} h {:02} min", whole / 3600, whole % 3600 / 60),
    }
}

/// Bytes of one connection, where a tenth of a byte counts: `56.2 B`, `8,213 B`.
#[must_use]
pub fn bytes_each(bytes: f64) -> String {
    match bytes.abs() {
        size if size < 99.95 => format!("{bytes:.1} B"),
        size if size < 99_999.5 => format!("{} B", number(bytes)),
        _ => units::bytes_text(bytes),
    }
}

/// Both ends of a confidence interval: `61.8 … 62.6`, `-0.02 … 0.06`.
#[must_use]
pub fn between(low: f64, high: f64) -> String {
    // Adding zero takes the sign off a zero that is negative.
    let end = |value: f64| match (value * 100.0).round() / 100.0 + 0.0 {
        short if short.abs() < 9.995 => format!("{short:.2}"),
        _ => number(value),
    };
    format!("{} … {}", end(low), end(high))
}

/// A moment: `2026-11-25 10:23 UTC`.
///
/// Days to a date by H. Hinnant's `civil_from_days`: eras of 400 years, each
/// of 146,097 days, whose years begin in March.
#[must_use]
pub fn date(unix_s: u64) -> String {
    let days = unix_s / 86_400 + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let march_based = (5 * of_year + 2) / 153;
    let day = of_year - (153 * march_based + 2) / 5 + 1;
    let month = if march_based < 10 { march_based + 3 } else { march_based - 9 };
    let year = era * 400 + year + u64::from(month <= 2);
    let (hour, minute) = (unix_s % 86_400 / 3600, unix_s % 3600 / 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02} UTC")
}

/// What a demand's measured value is in: ` ms` of `p99<200ms`, ` %`, `/s`.
#[must_use]
pub fn objective_unit(text: &str) -> String {
    if text.trim_start().starts_with("rate") {
        return "/s".to_owned();
    }
    let unit: String = text.chars().rev().take_while(|c| c.is_alphabetic() || *c == '%').collect();
    let unit: String = unit.chars().rev().collect();
    if unit.is_empty() || text.len() == unit.len() { String::new() } else { format!(" {unit}") }
}

/// Text from outside, for a terminal: nothing in it moves the cursor, changes
/// colours or turns the direction of writing.
#[must_use]
pub fn clean(text: &str) -> String {
    let turns = |c: char| matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    text.chars().map(|c| if c.is_control() || turns(c) { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_the_digits_they_deserve() {
        for (value, text) in [
            (0.0, "0"),
            (43_200.6, "43,201"),
            (12.51, "12.5"),
            (0.25, "0.25"),
            (99.96, "100"),
            (9.996, "10.0"),
            (50.0, "50"),
            (0.0041, "0.0041"),
            (0.000_31, "0.00031"),
            (4e-7, "4.0e-7"),
            (-1234.0, "-1,234"),
            (f64::NAN, "–"),
        ] {
            assert_eq!(number(value), text);
        }
        assert_eq!(rate(1e6), "1,000,000/s");
    }

    #[test]
    fn ticks_are_short() {
        for (value, text) in [
            (0.0, "0"),
            (250.0, "250"),
            (10_000.0, "10k"),
            (1.5e6, "1.5M"),
            (1e6, "1M"),
            (0.5, "0.5"),
            (2e9, "2G"),
        ] {
            assert_eq!(short(value), text);
        }
    }

    #[test]
    fn shares_and_times_are_read_at_a_glance() {
        for (share, text) in [(0.0, "0 %"), (1.0, "100 %"), (0.123, "12.3 %"), (1e-6, "< 0.01 %")] {
            assert_eq!(percent(share), text);
        }
        for (value, text) in [
            (0.42, "0.42 s"),
            (22.13, "22.1 s"),
            (632.0, "10 min 32 s"),
            (7500.0, "2 h 05 min"),
            (59.97, "1 min 00 s"),
        ] {
            assert_eq!(seconds(value), text);
        }
        assert_eq!(between(-0.000_1, 61.83), "0.00 … 61.8");
        assert_eq!(between(-2.5, 8_000.2), "-2.50 … 8,000");
        assert_eq!(bytes_each(56.23), "56.2 B");
        assert_eq!(bytes_each(8213.4), "8,213 B");
    }

    #[test]
    fn dates_are_those_of_the_calendar() {
        assert_eq!(date(0), "1970-01-01 00:00 UTC");
        assert_eq!(date(951_782_400), "2000-02-29 00:00 UTC");
        assert_eq!(date(1_700_000_000), "2023-11-14 22:13 UTC");
        assert_eq!(date(4_107_542_399), "2100-02-28 23:59 UTC");
    }

    #[test]
    fn demands_have_units() {
        for (text, unit) in
            [("p99<200ms", " ms"), ("loss<0.1%", " %"), ("rate>10k", "/s"), ("loss<1", "")]
        {
            assert_eq!(objective_unit(text), unit, "{text}");
        }
    }

    #[test]
    fn a_name_cannot_command_the_terminal() {
        assert_eq!(clean("a\x1b[31m\n\u{202e}b"), "a\u{fffd}[31m\u{fffd}\u{fffd}b");
    }
}
