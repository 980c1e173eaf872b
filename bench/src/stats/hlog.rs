//! Interval logs that every HdrHistogram tool reads.

use super::histogram::Histogram;
use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::{IntervalLogWriterBuilder, Tag};
use std::io::{self, Write};
use std::time::{Duration, UNIX_EPOCH};

/// Writes a histogram for each stretch of time, one line each.
///
/// Values are microseconds: tools that print milliseconds want a ratio of
/// 1,000 (`HistogramLogProcessor -outputValueUnitRatio 1000`).
pub struct IntervalLog<W: Write> {
    out: W,
    serializer: V2DeflateSerializer,
}

impl<W: Write> IntervalLog<W> {
    /// Writes the head of the log.
    ///
    /// # Errors
    /// When `out` refuses.
    pub fn begin(mut out: W, started_unix_s: u64) -> io::Result<Self> {
        let mut serializer = V2DeflateSerializer::new();
        let started = UNIX_EPOCH + Duration::from_secs(started_unix_s);
        IntervalLogWriterBuilder::new()
            .add_comment("[Logged with millgate-bench; values are microseconds]")
            .add_comment("[Histogram log format version 1.3]")
            .with_start_time(started)
            .with_base_time(started)
            .begin_log_with(&mut out, &mut serializer)?;
        Ok(Self { out, serializer })
    }

    /// Appends what was counted in the `length` that began `since_start`; the
    /// tag tells several logs in one file apart. Characters that would break
    /// the line are left out of it.
    ///
    /// # Errors
    /// When the writer refuses.
    pub fn append(
        &mut self,
        counted: &Histogram,
        since_start: Duration,
        length: Duration,
        tag: &str,
    ) -> io::Result<()> {
        let tag: String =
            tag.chars().filter(|c| !c.is_whitespace() && !c.is_control() && *c != ',').collect();
        let tag = Some(tag.as_str()).filter(|tag| !tag.is_empty()).and_then(Tag::new);
        IntervalLogWriterBuilder::new()
            .begin_log_with(&mut self.out, &mut self.serializer)?
            .write_histogram(counted.counts(), since_start, length, tag)
            .map_err(|error| io::Error::other(error.to_string()))
    }

    /// Writes out what is still in a buffer and gives the writer back.
    ///
    /// # Errors
    /// When the writer refuses.
    pub fn finish(mut self) -> io::Result<W> {
        self.out.flush()?;
        Ok(self.out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};

    #[test]
    fn a_log_is_read_back() {
        let mut log = IntervalLog::begin(Vec::new(), 1_700_000_000).unwrap();
        let mut first = Histogram::new();
        first.record(250);
        log.append(&first, Duration::ZERO, Duration::from_secs(1), "corrected").unwrap();
        let mut second = Histogram::new();
        second.record_many(9_000, 3);
        log.append(&second, Duration::from_secs(1), Duration::from_secs(1), "la,g\n").unwrap();
        let bytes = log.finish().unwrap();

        let entries: Vec<_> = IntervalLogIterator::new(&bytes).map(Result::unwrap).collect();
        assert!(entries.iter().any(|entry| matches!(entry,
            LogEntry::StartTime(at) if at.as_secs() == 1_700_000_000)));
        let intervals: Vec<_> = entries
            .iter()
            .filter_map(|entry| match entry {
                LogEntry::Interval(interval) => Some(interval),
                _ => None,
            })
            .collect();
        assert_eq!(intervals.len(), 2);
        assert_eq!(intervals[1].tag().unwrap().as_str(), "lag");
        assert_eq!(intervals[1].start_timestamp(), Duration::from_secs(1));
        for (interval, counted) in intervals.iter().zip([first, second]) {
            assert_eq!(Histogram::from_base64(interval.encoded_histogram()), Ok(counted));
        }
    }
}
