//! Log lines: to stderr or to a file that rotates, never on the time of the thread that speaks.
//!
//! A line is put into a bounded queue and written by a thread of its own. When
//! the queue is full, or the disk, the line is lost and counted: a reactor that
//! waited for a disk would let a hundred thousand clients wait with it.

use crate::clock;
use crate::config::{Log, LogFormat, LogRotation};
use crate::limits::LOG_LINES_MAX;
use rustix::fs::{Access, access};
use std::ffi::OsStr;
use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use tracing::Dispatch;
use tracing_appender::non_blocking::{ErrorCounter, NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_appender::rolling::{RollingFileAppender, Rotation};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::reload::Handle;

/// Keeps the writing thread; when it is dropped, what is in the queue is written first.
#[derive(Debug)]
#[must_use = "without it, nothing is written"]
pub struct LogGuard {
    dropped: DroppedLines,
    controls: Controls,
    _worker: WorkerGuard,
}

impl LogGuard {
    /// The count of lost lines, to be kept by whoever shows it.
    #[must_use]
    pub fn dropped_lines(&self) -> DroppedLines {
        self.dropped.clone()
    }

    /// What can be changed while the log is written.
    #[must_use]
    pub fn controls(&self) -> Controls {
        self.controls.clone()
    }
}

/// Changes a log while it is written; by default that of no log, where every change succeeds.
#[derive(Clone, Default)]
pub struct Controls {
    exchange: Option<Arc<Exchange>>,
    /// Set when the file is to be opened again; the writing thread clears it.
    reopen: Arc<AtomicBool>,
}

type Exchange = dyn Fn(EnvFilter) + Send + Sync;

impl Controls {
    /// Opens the log file again before the next line, because another program may have moved
    /// it. If that fails, the log goes on in the old file, and the line counts as one that
    /// could not be written. Does nothing to a log on stderr.
    pub fn reopen_file(&self) {
        self.reopen.store(true, Ordering::Release);
    }

    /// Logs from now on what `level` lets through.
    ///
    /// # Errors
    /// When it cannot be understood; then everything is as it was.
    pub fn set_level(&self, level: &str) -> Result<(), LogError> {
        let filter = filter(level)?;
        if let Some(exchange) = &self.exchange {
            exchange(filter);
        }
        Ok(())
    }
}

impl fmt::Debug for Controls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Controls")
    }
}

fn filter(level: &str) -> Result<EnvFilter, LogError> {
    EnvFilter::try_new(level).map_err(|source| LogError::Level { level: level.to_owned(), source })
}

/// The lines that a log has lost, counted as it loses them; by default those of no log.
#[derive(Clone, Debug, Default)]
pub struct DroppedLines {
    overflow: Option<ErrorCounter>,
    failed: Arc<AtomicUsize>,
}

impl DroppedLines {
    /// Lines lost so far, because the queue was full or could not be written out.
    #[must_use]
    pub fn count(&self) -> usize {
        let overflow = self.overflow.as_ref().map_or(0, ErrorCounter::dropped_lines);
        overflow.saturating_add(self.failed.load(Ordering::Relaxed))
    }
}

/// Why logging could not be started.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The level is not one.
    #[error("log.level is {level:?}: {source}")]
    Level {
        /// What it is.
        level: String,
        /// What is wrong with it.
        source: tracing_subscriber::filter::ParseError,
    },
    /// The log file has no usable name.
    #[error("log.file {path:?} does not name a file")]
    Name {
        /// As configured.
        path: PathBuf,
    },
    /// There is a directory of that name, or the name ends like one.
    #[error("log.file {path:?} is a directory, name a file in it")]
    Directory {
        /// As configured.
        path: PathBuf,
    },
    /// The log file, or its directory, cannot be made or written.
    #[error("log.file {path:?} cannot be written: {source}")]
    File {
        /// As configured.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// There can be one log in a process.
    #[error("logging has been started already")]
    Twice,
}

/// Sends the log lines of the whole process where the configuration says.
///
/// # Errors
/// When the level cannot be understood, the file cannot be written, or logging runs already.
pub fn start(config: &Log) -> Result<LogGuard, LogError> {
    let (dispatch, guard) = dispatch(config)?;
    tracing::dispatcher::set_global_default(dispatch).map_err(|_| LogError::Twice)?;
    Ok(guard)
}

/// The same for those who hold their log in their hands: the tests, and a
/// program with more than one.
///
/// # Errors
/// When the level cannot be understood or the file cannot be written.
pub fn dispatch(config: &Log) -> Result<(Dispatch, LogGuard), LogError> {
    let filter = filter(&config.level)?;
    let to_stderr = config.file.as_os_str().is_empty();
    let reopen = Arc::new(AtomicBool::new(false));
    let (writer, mut guard) = match to_stderr {
        true => queue(io::stderr(), config),
        false => queue(LogFile::open(config, Arc::clone(&reopen))?, config),
    };
    guard.controls.reopen = reopen;
    let lines = tracing_subscriber::fmt().with_writer(writer);
    let dispatch = match config.format {
        LogFormat::Human => {
            let lines = lines.with_ansi(to_stderr && colours_welcome());
            let lines = lines.with_env_filter(filter).with_filter_reloading();
            guard.controls.exchange = Some(exchange_of(lines.reload_handle()));
            Dispatch::new(lines.finish())
        }
        LogFormat::Json => {
            let lines = lines.json().flatten_event(true);
            let lines = lines.with_current_span(false).with_span_list(false);
            let lines = lines.with_env_filter(filter).with_filter_reloading();
            guard.controls.exchange = Some(exchange_of(lines.reload_handle()));
            Dispatch::new(lines.finish())
        }
    };
    Ok((dispatch, guard))
}

/// The lines that tell why the program ends, in the format of the log: for what is said
/// before a log is open, or when there is no time left for its queue.
#[must_use]
pub fn fatal_lines(config: &Log, message: &str) -> String {
    let line = |line: &str| match config.format {
        LogFormat::Human => format!("millgate: {line}\n"),
        LogFormat::Json => {
            let mut timestamp = String::new();
            // Writing to a string does not fail.
            let _written = SystemTime.format_time(&mut Writer::new(&mut timestamp));
            let mut fields = serde_json::json!({
                "timestamp": timestamp, "level": "ERROR", "message": line, "target": "millgate"
            });
            if !config.node.is_empty() {
                fields["node"] = config.node.as_str().into();
            }
            format!("{fields}\n")
        }
    };
    message.lines().map(line).collect()
}

fn exchange_of<S: 'static>(handle: Handle<EnvFilter, S>) -> Arc<Exchange> {
    Arc::new(move |filter| {
        // It fails when the log has ended; then nobody writes any more.
        let _replaced = handle.reload(filter);
    })
}

/// People who set `NO_COLOR` to anything want none; see <https://no-color.org>.
fn colours_welcome() -> bool {
    let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    !refused && io::stderr().is_terminal()
}

fn queue(destination: impl Write + Send + 'static, config: &Log) -> (NonBlocking, LogGuard) {
    let failed = Arc::new(AtomicUsize::new(0));
    let begin = begin_of_lines(config);
    let counted = Counted { destination, begin, failed: Arc::clone(&failed) };
    let (writer, worker) = NonBlockingBuilder::default()
        .lossy(true)
        .buffered_lines_limit(LOG_LINES_MAX)
        .thread_name("millgate-log")
        .finish(counted);
    let dropped = DroppedLines { overflow: Some(writer.error_counter()), failed };
    (writer, LogGuard { dropped, controls: Controls::default(), _worker: worker })
}

/// How each line begins that names the node: JSON lines do, if it has a name.
fn begin_of_lines(config: &Log) -> Vec<u8> {
    if config.node.is_empty() || config.format != LogFormat::Json {
        return Vec::new();
    }
    format!("{{\"node\":{},", serde_json::Value::from(config.node.as_str())).into_bytes()
}

/// Counts the lines that could not be written; the writing thread has nobody to tell.
struct Counted<W> {
    destination: W,
    /// Stands in for the brace that begins a line; empty for lines as they are.
    begin: Vec<u8>,
    failed: Arc<AtomicUsize>,
}

impl<W: Write> Write for Counted<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.destination.write(bytes)
    }

    fn write_all(&mut self, line: &[u8]) -> io::Result<()> {
        let written = match line.strip_prefix(b"{") {
            Some(rest) if !self.begin.is_empty() => {
                self.destination.write_all(&[&self.begin, rest].concat())
            }
            _ => self.destination.write_all(line),
        };
        if written.is_err() {
            self.failed.fetch_add(1, Ordering::Relaxed);
        }
        written
    }

    fn flush(&mut self) -> io::Result<()> {
        self.destination.flush()
    }
}

/// A log file that is begun anew each hour or day, and the old ones that are kept.
///
/// The appender could remove old files itself, but it takes for one whatever
/// begins with the same letters: with a log named `millgate` it would remove
/// `millgate.toml` one day.
struct LogFile {
    appender: RollingFileAppender,
    rotation: Rotation,
    /// Whether the file is to be opened again before the next line.
    reopen: Arc<AtomicBool>,
    directory: PathBuf,
    name: String,
    /// Seconds until the next file; 0 means never.
    period: u64,
    /// Number of the period that is being written.
    current: u64,
    keep: usize,
}

/// Looks at what [`start`] would need, and makes nothing.
///
/// # Errors
/// When the level cannot be understood, or the file could not be written.
pub fn check(config: &Log) -> Result<(), LogError> {
    filter(&config.level)?;
    if config.file.as_os_str().is_empty() {
        return Ok(());
    }
    let (directory, _) = LogFile::place(&config.file)?;
    let refused = |source| LogError::File { path: config.file.clone(), source };
    // Without a date behind its name a file that is there is written on; it may be a device.
    if config.rotation == LogRotation::Never && config.file.exists() {
        return access(&config.file, Access::WRITE_OK).map_err(|error| refused(error.into()));
    }
    // The directory is made with all above it; the first that is there has to take it.
    for place in directory.ancestors() {
        let place = if place.as_os_str().is_empty() { Path::new(".") } else { place };
        match std::fs::metadata(place) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(refused(error)),
            Ok(metadata) if !metadata.is_dir() => {
                return Err(refused(io::ErrorKind::NotADirectory.into()));
            }
            Ok(_) => {
                let may_write = Access::WRITE_OK | Access::EXEC_OK;
                return access(place, may_write).map_err(|error| refused(error.into()));
            }
        }
    }
    Ok(())
}

impl LogFile {
    /// The directory and the name of a log file.
    fn place(path: &Path) -> Result<(&Path, &str), LogError> {
        let Some(name) = path.file_name().and_then(OsStr::to_str) else {
            return Err(LogError::Name { path: path.to_owned() });
        };
        // The date behind its name would make it a file beside the directory.
        if path.is_dir() || path.as_os_str().as_encoded_bytes().ends_with(b"/") {
            return Err(LogError::Directory { path: path.to_owned() });
        }
        match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => Ok((parent, name)),
            _ => Ok((Path::new("."), name)),
        }
    }

    fn open(config: &Log, reopen: Arc<AtomicBool>) -> Result<Self, LogError> {
        let path = &config.file;
        let (directory, name) = Self::place(path)?;
        let refused = |source| LogError::File { path: path.clone(), source };
        std::fs::create_dir_all(directory).map_err(refused)?;
        let (rotation, period) = match config.rotation {
            LogRotation::Never => (Rotation::NEVER, 0),
            LogRotation::Hourly => (Rotation::HOURLY, 3_600),
            LogRotation::Daily => (Rotation::DAILY, 86_400),
        };
        let appender = appender(&rotation, directory, name).map_err(refused)?;
        let mut file = Self {
            appender,
            rotation,
            reopen,
            directory: directory.to_owned(),
            name: name.to_owned(),
            period,
            current: 0,
            keep: config.keep_files,
        };
        file.tidy();
        Ok(file)
    }

    /// Opens the file again if that has been asked for.
    fn reopen_if_asked(&mut self) -> io::Result<()> {
        if self.reopen.swap(false, Ordering::AcqRel) {
            // A program that moves files may have moved the directory as well.
            std::fs::create_dir_all(&self.directory)?;
            self.appender = appender(&self.rotation, &self.directory, &self.name)?;
        }
        Ok(())
    }

    /// Removes the oldest files when a period has begun.
    fn tidy(&mut self) {
        let Some(period) = clock::unix_seconds().checked_div(self.period) else {
            return;
        };
        if period == self.current || self.keep == 0 {
            return;
        }
        self.current = period;
        let Ok(entries) = std::fs::read_dir(&self.directory) else {
            return;
        };
        let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
        let mut ours: Vec<_> = names.filter(|name| is_rotated(name, &self.name)).collect();
        // The date stands largest unit first, so the order of the letters is that of time.
        ours.sort();
        for name in ours.iter().rev().skip(self.keep) {
            // One that cannot be removed is tried again in the next period.
            let _gone = std::fs::remove_file(self.directory.join(name));
        }
    }
}

impl Write for LogFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let reopened = self.reopen_if_asked();
        // A file that cannot be opened again does not cost the line: it goes to the old one.
        let written = self.appender.write(bytes);
        reopened?;
        self.tidy();
        written
    }

    fn flush(&mut self) -> io::Result<()> {
        self.appender.flush()
    }
}

fn appender(rotation: &Rotation, directory: &Path, name: &str) -> io::Result<RollingFileAppender> {
    let builder = RollingFileAppender::builder().rotation(rotation.clone()).filename_prefix(name);
    builder.build(directory).map_err(|error| cause(&error))
}

/// Whether a file is `name` with a date behind it: `.2025-01-31` or `.2025-01-31-23`.
fn is_rotated(file: &str, name: &str) -> bool {
    let date = file.strip_prefix(name).and_then(|rest| rest.strip_prefix('.'));
    date.is_some_and(|date| {
        matches!(date.len(), 10 | 13)
            && date.bytes().enumerate().all(|(at, byte)| match at {
                4 | 7 | 10 => byte == b'-',
                _ => byte.is_ascii_digit(),
            })
    })
}

/// What the system said, without the words around it.
fn cause(error: &dyn std::error::Error) -> io::Error {
    match error.source().and_then(|source| source.downcast_ref::<io::Error>()) {
        Some(source) => io::Error::new(source.kind(), source.to_string()),
        None => io::Error::other(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_files_of_this_log_are_its_own() {
        assert!(is_rotated("gin.log.2025-01-31", "gin.log"));
        assert!(is_rotated("gin.log.2025-01-31-23", "gin.log"));
        assert!(!is_rotated("gin.log", "gin.log"));
        assert!(!is_rotated("gin.log.2025-01-31.gz", "gin.log"));
        assert!(!is_rotated("gin.log-2025-01-31", "gin.log"));
        assert!(!is_rotated("millgate.toml", "millgate"));
    }
}
