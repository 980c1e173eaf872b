//! Counts as people write and read them: `10k`, `1m`; `1,234,567`, `1.5 GiB`.

/// Reads a count above 0: digits, with a fraction if need be, and `k`, `m` or
/// `g` (thousands, millions, milliards) in either case; `_` may part digits.
///
/// # Errors
/// One line that says what is wrong.
pub fn count(text: &str) -> Result<u64, String> {
    let wrong = || "expected a count above 0, such as 500, 10k or 1.5m".to_owned();
    let lower = text.trim().to_ascii_lowercase().replace('_', "");
    let (digits, zeros) = match lower.strip_suffix(['k', 'm', 'g']) {
        Some(digits) if lower.ends_with('k') => (digits, 3),
        Some(digits) if lower.ends_with('m') => (digits, 6),
        Some(digits) => (digits, 9),
        None => (lower.as_str(), 0),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let plain = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    let fraction_fits = fraction.len() <= zeros && digits.contains('.') != fraction.is_empty();
    if whole.is_empty() || !plain(whole) || !plain(fraction) || !fraction_fits {
        return Err(wrong());
    }
    // Moving the point instead of multiplying keeps it exact.
    let number = format!("{whole}{fraction:0<zeros$}").parse().map_err(|_| wrong())?;
    if number == 0 || number > COUNT_MAX { Err(wrong()) } else { Ok(number) }
}

/// Above any host; keeps products with bytes a connection far from overflow.
pub(super) const COUNT_MAX: u64 = 1_000_000_000_000;

/// `1,234,567`.
#[must_use]
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `17 B`, `64.0 KiB`, `1.5 GiB`.
#[must_use]
pub fn bytes(number: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if number < 1024 {
        return format!("{number} B");
    }
    let mut value = number as f64 / 1024.0;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_read() {
        for (text, number) in [
            ("1", 1),
            ("500", 500),
            ("10k", 10_000),
            ("1m", 1_000_000),
            ("1.5M", 1_500_000),
            ("0.25k", 250),
            ("2g", 2_000_000_000),
            (" 1_000 ", 1_000),
        ] {
            assert_eq!(count(text), Ok(number), "{text}");
        }
        for text in
            ["", "0", "k", ".5k", "1.", "1.5", "1.2345k", "-1", "1e3", "10kk", "ten", "9999g"]
        {
            assert!(count(text).is_err(), "{text}");
        }
    }

    #[test]
    fn numbers_are_shown() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(1_234_567), "1,234,567");
        assert_eq!(bytes(17), "17 B");
        assert_eq!(bytes(1536), "1.5 KiB");
        assert_eq!(bytes(24 << 30), "24.0 GiB");
        assert_eq!(bytes(5 << 50), "5120.0 TiB");
    }
}
