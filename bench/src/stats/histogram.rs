//! A histogram of microseconds that merges without loss.

use crate::result::Quantiles;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::read::ZlibDecoder;
use hdrhistogram::Histogram as Hdr;
use hdrhistogram::serialization::{Deserializer, Serializer as _, V2DeflateSerializer};
use std::io::Read;

/// Counts of microseconds from 1 µs to an hour, to three significant digits.
///
/// About 180 KiB, whatever is recorded. What is longer than an hour counts as
/// an hour: a bounded histogram must not grow because one clock has jumped.
#[derive(Clone, Debug, PartialEq)]
pub struct Histogram {
    counts: Hdr<u64>,
}

impl Histogram {
    /// An empty one.
    ///
    /// # Panics
    /// Never: the bounds are constants that fit each other.
    #[must_use]
    pub fn new() -> Self {
        let counts = Hdr::new_with_bounds(LEAST_US, MOST_US, DIGITS);
        Self { counts: counts.expect("the bounds are constants that fit each other") }
    }

    /// Counts one value, microseconds.
    pub fn record(&mut self, micros: u64) {
        self.counts.saturating_record(micros);
    }

    /// Counts a value so many times.
    pub fn record_many(&mut self, micros: u64, times: u64) {
        self.counts.saturating_record_n(micros, times);
    }

    /// Adds all that another one has counted.
    ///
    /// # Panics
    /// Never: all have the same bounds.
    pub fn merge(&mut self, other: &Self) {
        self.counts.add(&other.counts).expect("all histograms have the same bounds");
    }

    /// Forgets everything and keeps its memory.
    pub fn clear(&mut self) {
        self.counts.reset();
    }

    /// How many values it has counted.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.len()
    }

    /// The value below which this share (0 to 1) of all lies, microseconds; 0 when empty.
    #[must_use]
    pub fn quantile(&self, share: f64) -> u64 {
        self.counts.value_at_quantile(share)
    }

    /// The greatest value, microseconds, as exactly as three digits are; 0 when empty.
    #[must_use]
    pub fn max(&self) -> u64 {
        self.counts.max()
    }

    /// The least value, microseconds; 0 when empty.
    #[must_use]
    pub fn min(&self) -> u64 {
        if self.count() == 0 { 0 } else { self.counts.min() }
    }

    /// How many of the values are this or less.
    #[must_use]
    pub fn count_up_to(&self, micros: u64) -> u64 {
        self.counts.count_between(0, micros.min(MOST_US))
    }

    /// Each value that was counted, microseconds, with how often; from the least up.
    pub fn recorded(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.counts.iter_recorded().map(|step| (step.value_iterated_to(), step.count_at_value()))
    }

    /// The figures that people ask for, and the whole histogram beside them.
    #[must_use]
    pub fn to_quantiles(&self) -> Quantiles {
        Quantiles {
            count: self.count(),
            min_us: self.min(),
            mean_us: if self.count() == 0 { 0.0 } else { self.counts.mean() },
            p50_us: self.quantile(0.5),
            p90_us: self.quantile(0.9),
            p99_us: self.quantile(0.99),
            p999_us: self.quantile(0.999),
            p9999_us: self.quantile(0.9999),
            max_us: self.max(),
            histogram: self.to_base64(),
        }
    }

    /// The whole histogram again; an empty text is an empty histogram.
    ///
    /// # Errors
    /// As [`Histogram::from_base64`].
    pub fn from_quantiles(quantiles: &Quantiles) -> Result<Self, String> {
        if quantiles.histogram.is_empty() && quantiles.count == 0 {
            return Ok(Self::new());
        }
        Self::from_base64(&quantiles.histogram)
    }

    /// Base64 of HdrHistogram's compressed V2 form, as every HdrHistogram library reads it.
    ///
    /// # Panics
    /// When one value was counted 2⁶³ times: the form knows no such counts.
    #[must_use]
    pub fn to_base64(&self) -> String {
        let mut bytes = Vec::new();
        let written = V2DeflateSerializer::new().serialize(&self.counts, &mut bytes);
        written.expect("nothing is counted 2⁶³ times");
        STANDARD.encode(bytes)
    }

    /// Reads what [`Histogram::to_base64`] has written, here or on another host.
    ///
    /// # Errors
    /// One line, if the text is something else or has other bounds: those would not merge without loss.
    pub fn from_base64(text: &str) -> Result<Self, String> {
        if text.len() > TEXT_MAX {
            return Err("a histogram of more than a mebibyte is not one of this tool".into());
        }
        let bytes = STANDARD.decode(text).map_err(|error| format!("a histogram: {error}"))?;
        // The library makes room for whatever length the text claims, so look first.
        let plain = bytes.get(COMPRESSED_HEAD..).map(inflated).unwrap_or_default();
        if !head_is_ours(&plain) {
            return Err("a histogram with other bounds than this tool's, or none at all".into());
        }
        let counts = Deserializer::new()
            .deserialize::<u64, _>(&mut plain.as_slice())
            .map_err(|error| format!("a histogram: {error}"))?;
        if counts.len() > COUNT_MAX {
            return Err(format!("a histogram that claims {} values", counts.len()));
        }
        Ok(Self { counts })
    }

    /// For the interval log, which writes the library's own type.
    pub(super) fn counts(&self) -> &Hdr<u64> {
        &self.counts
    }
}

impl Default for Histogram {
    fn default() -> Self {
        Self::new()
    }
}

/// A bounded part of what was compressed; what is broken is simply shorter.
fn inflated(bytes: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    let mut source = ZlibDecoder::new(bytes).take(PLAIN_MAX);
    // An error leaves what was read before it: the look at the head, or the library, refuses that.
    if source.read_to_end(&mut plain).is_err() {
        plain.clear();
    }
    plain
}

/// Whether this begins as a V2 histogram of our bounds, and is as long as it claims.
///
/// Layout (HdrHistogram, `V2EncodingCookieBase`): cookie 4, payload length 4,
/// normalizing offset 4, digits 4, least 8, most 8, ratio 8.
fn head_is_ours(plain: &[u8]) -> bool {
    let word =
        |at: usize| plain.get(at..at + 4).map(|b| u32::from_be_bytes([b[0], b[1], b[2], b[3]]));
    let long = |at: usize| Some((u64::from(word(at)?) << 32) | u64::from(word(at + 4)?));
    let fits = word(4).is_some_and(|length| length as usize + PLAIN_HEAD <= plain.len());
    fits && word(12) == Some(u32::from(DIGITS))
        && long(16) == Some(LEAST_US)
        && long(24) == Some(MOST_US)
}

const LEAST_US: u64 = 1;
const MOST_US: u64 = 3_600_000_000;
const DIGITS: u8 = 3;
/// Longest text: a full histogram of distinct counts is below 200 KiB.
const TEXT_MAX: usize = 1 << 20;
/// Most that a text may inflate to: 23 × 1,024 counts of 9 bytes are below it.
const PLAIN_MAX: u64 = 1 << 20;
/// Most values that a foreign histogram may claim, so that no merging comes near 2⁶³:
/// nine years of a million a second.
const COUNT_MAX: u64 = 1 << 48;
const COMPRESSED_HEAD: usize = 8;
const PLAIN_HEAD: usize = 40;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn parts_that_travel_as_text_merge_to_the_whole(
            parts in prop::collection::vec(prop::collection::vec(0_u64..10_000_000_000, 0..50), 0..5)
        ) {
            let mut whole = Histogram::new();
            let mut merged = Histogram::new();
            for part in &parts {
                let mut histogram = Histogram::new();
                for value in part {
                    histogram.record(*value);
                    whole.record(*value);
                }
                merged.merge(&Histogram::from_base64(&histogram.to_base64()).unwrap());
            }
            prop_assert_eq!(&merged, &whole);
            prop_assert_eq!(merged.to_quantiles(), whole.to_quantiles());
        }

        #[test]
        fn no_text_breaks_the_reader(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(Histogram::from_base64(&STANDARD.encode(bytes)).is_err());
        }
    }

    #[test]
    fn quantiles_are_those_of_the_values() {
        let mut histogram = Histogram::new();
        (1..=1000).for_each(|value| histogram.record(value));
        let quantiles = histogram.to_quantiles();
        assert_eq!((quantiles.count, quantiles.min_us, quantiles.max_us), (1000, 1, 1000));
        assert_eq!((quantiles.p50_us, quantiles.p90_us, quantiles.p99_us), (500, 900, 990));
        assert_eq!((quantiles.p999_us, quantiles.p9999_us), (999, 1000));
        assert!((quantiles.mean_us - 500.5).abs() < 1e-9);
        assert_eq!(histogram.count_up_to(250), 250);
        assert_eq!(Histogram::from_quantiles(&quantiles), Ok(histogram));
    }

    #[test]
    fn an_empty_one_has_no_figures() {
        let quantiles = Histogram::new().to_quantiles();
        assert_eq!((quantiles.count, quantiles.min_us, quantiles.max_us), (0, 0, 0));
        assert!(quantiles.mean_us.abs() < f64::EPSILON);
        assert_eq!(Histogram::from_quantiles(&Quantiles::default()), Ok(Histogram::new()));
    }

    #[test]
    fn what_is_too_long_counts_as_an_hour() {
        let mut histogram = Histogram::new();
        histogram.record(u64::MAX);
        assert_eq!(histogram.count(), 1);
        assert!((3_600_000_000..3_700_000_000).contains(&histogram.max()));
    }

    #[test]
    fn a_full_histogram_still_fits_its_bounds() {
        let mut histogram = Histogram::new();
        let mut random = fastrand::Rng::with_seed(1);
        let mut value = 1.0_f64;
        while value < 3.6e9 {
            histogram.record_many(value as u64, random.u64(1..1 << 31));
            value *= 1.000_3;
        }
        let text = histogram.to_base64();
        assert!(text.len() < TEXT_MAX / 2, "{}", text.len());
        assert_eq!(Histogram::from_base64(&text), Ok(histogram));
    }

    #[test]
    fn absurd_counts_are_refused() {
        let mut histogram = Histogram::new();
        histogram.record_many(5, COUNT_MAX + 1);
        assert!(Histogram::from_base64(&histogram.to_base64()).unwrap_err().contains("claims"));
    }

    #[test]
    fn foreign_histograms_are_refused() {
        let mut bytes = Vec::new();
        let foreign = Hdr::<u64>::new_with_bounds(1, u64::MAX, 5).unwrap();
        V2DeflateSerializer::new().serialize(&foreign, &mut bytes).unwrap();
        assert!(Histogram::from_base64(&STANDARD.encode(bytes)).unwrap_err().contains("bounds"));
        assert!(Histogram::from_base64("not base64!").is_err());
        assert!(Histogram::from_base64("").is_err());
    }

    #[test]
    fn a_cleared_one_is_as_new() {
        let mut histogram = Histogram::new();
        histogram.record(17);
        assert_eq!(histogram.recorded().collect::<Vec<_>>(), [(17, 1)]);
        histogram.clear();
        assert_eq!(histogram, Histogram::new());
    }
}
