//! Numbers as people write them: `10k`, `1m`, `90s`, `2GiB`.

/// `1,234,567`, written as the gateway's doctor writes it.
pub use millgate::host::doctor::number::grouped;

use std::time::Duration;

/// Reads a count: digits with an optional decimal point and `k`, `m` or `g`
/// (thousands, millions, milliards), in either case; `_` may part digits.
///
/// # Errors
/// One line that says what is wrong.
pub fn count(text: &str) -> Result<u64, String> {
    let value = scaled(text, &[("k", 1e3), ("m", 1e6), ("g", 1e9)])
        .ok_or_else(|| format!("{text:?} is not a count such as 500, 10k or 1m"))?;
    Ok(value as u64)
}

/// Reads an amount of memory: `64MiB`, `24G`, `512k`. Letters alone mean powers of 1,024.
///
/// # Errors
/// One line that says what is wrong.
pub fn bytes(text: &str) -> Result<u64, String> {
    const UNITS: [(&str, f64); 10] = [
        ("kib", 1024.0),
        ("mib", 1_048_576.0),
        ("gib", 1_073_741_824.0),
        ("kb", 1e3),
        ("mb", 1e6),
        ("gb", 1e9),
        ("k", 1024.0),
        ("m", 1_048_576.0),
        ("g", 1_073_741_824.0),
        ("b", 1.0),
    ];
    let value = scaled(text, &UNITS)
        .ok_or_else(|| format!("{text:?} is not an amount of memory such as 64MiB or 24GiB"))?;
    Ok(value as u64)
}

/// Reads a duration: `500ms`, `30s`, `2m`, `1h`; a bare number is seconds.
///
/// # Errors
/// One line that says what is wrong.
pub fn duration(text: &str) -> Result<Duration, String> {
    const UNITS: [(&str, f64); 5] =
        [("ms", 1e-3), ("us", 1e-6), ("s", 1.0), ("m", 60.0), ("h", 3600.0)];
    let seconds = scaled(text, &UNITS)
        .ok_or_else(|| format!("{text:?} is not a duration such as 500ms, 30s or 2m"))?;
    Duration::try_from_secs_f64(seconds).map_err(|_| format!("{text:?} is too long"))
}

/// A number and one of these units, or none: factor 1.
fn scaled(text: &str, units: &[(&str, f64)]) -> Option<f64> {
    let lower = text.trim().to_ascii_lowercase().replace('_', "");
    let found = units.iter().find_map(|(unit, factor)| {
        let number = lower.strip_suffix(unit)?;
        // "5ms" must not be read as "5m" seconds.
        number.trim_end().ends_with(|c: char| c.is_ascii_digit()).then_some((number, *factor))
    });
    let (number, factor) = found.unwrap_or((&lower, 1.0));
    let number = number.trim();
    let plain = number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let value = number.parse::<f64>().ok().filter(|_| plain)? * factor;
    (value <= 1e15).then_some(value)
}

/// `1.5 GiB`, `64.0 KiB`, `17 B`.
#[must_use]
pub fn bytes_text(bytes: f64) -> String {
    let mut value = bytes;
    for unit in ["B", "KiB", "MiB", "GiB"] {
        if value.abs() < 1024.0 {
            return if unit == "B" {
                format!("{value:.0} B")
            } else {
                format!("{value:.1} {unit}")
            };
        }
        value /= 1024.0;
    }
    format!("{value:.1} TiB")
}

/// Microseconds as `850 µs`, `12.3 ms`, `4.56 s`.
#[must_use]
pub fn micros_text(micros: f64) -> String {
    match micros.abs() {
        us if us < 1e3 => format!("{micros:.0} µs"),
        us if us < 1e6 => format!("{:.1} ms", micros / 1e3),
        _ => format!("{:.2} s", micros / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_read() {
        for (text, value) in
            [("0", 0), ("500", 500), ("10k", 10_000), ("1.5M", 1_500_000), ("1_000", 1_000)]
        {
            assert_eq!(count(text), Ok(value), "{text}");
        }
        for text in ["", "k", "-1", "1e3", "10kk", "ten", "1.2.3", "inf", "nan", "9999999g"] {
            assert!(count(text).is_err(), "{text}");
        }
    }

    #[test]
    fn memory_is_read() {
        for (text, value) in
            [("24GiB", 24 << 30), ("64 MiB", 64 << 20), ("1g", 1 << 30), ("2gb", 2_000_000_000)]
        {
            assert_eq!(bytes(text), Ok(value), "{text}");
        }
        assert!(bytes("much").is_err());
    }

    #[test]
    fn durations_are_read() {
        for (text, millis) in
            [("5", 5_000), ("500ms", 500), ("1.5s", 1_500), ("2m", 120_000), ("1h", 3_600_000)]
        {
            assert_eq!(duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "s", "-1s", "1d", "1 fortnight"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn texts_are_short() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(1_234_567), "1,234,567");
        assert_eq!(bytes_text(17.0), "17 B");
        assert_eq!(bytes_text(1.5 * 1024.0 * 1024.0), "1.5 MiB");
        assert_eq!(micros_text(850.4), "850 µs");
        assert_eq!(micros_text(4_560_000.0), "4.56 s");
    }
}
