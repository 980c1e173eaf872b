//! What becomes of a result: printed, written, judged.

use super::Stretch;
use super::arguments::{Format, Output};
use crate::exit::Exit;
use crate::report::{csv, html, json, text};
use crate::result::RunResult;
use crate::stats::hlog::IntervalLog;
use std::fs::{self, File};
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::Path;

/// A run that has ended.
#[derive(Debug)]
pub struct Finished {
    /// What was found out.
    pub result: RunResult,
    /// Latencies of each measured stretch.
    pub stretches: Vec<Stretch>,
    /// Where it goes.
    pub output: Output,
}

impl Finished {
    /// Writes everything that was asked for; the exit code takes missed objectives in.
    ///
    /// # Errors
    /// When a file cannot be written: one line that names it.
    pub fn deliver(self, exit: Exit) -> io::Result<Exit> {
        if let Some(path) = &self.output.hlog {
            self.write_hlog(path).map_err(|error| named(path, &error))?;
        }
        write(&self.result, &self.output)?;
        let missed = self.result.objectives.iter().any(|objective| !objective.met);
        Ok(if exit == Exit::Ok && missed { Exit::ObjectiveMissed } else { exit })
    }

    fn write_hlog(&self, path: &Path) -> io::Result<()> {
        let out = BufWriter::new(File::create(path)?);
        let mut log = IntervalLog::begin(out, self.result.started_unix_s)?;
        for part in &self.stretches {
            log.append(&part.corrected, part.began, part.length, &part.name)?;
        }
        log.finish().map(drop)
    }
}

/// Prints a result, and writes it into the files that were asked for.
///
/// # Errors
/// When a file cannot be written: one line that names it.
pub fn write(result: &RunResult, output: &Output) -> io::Result<()> {
    if let Some(path) = &output.json {
        json::write(result, path).map_err(io::Error::other)?;
    }
    if let Some(path) = &output.csv {
        put(path, &tables(result)?)?;
    }
    if let Some(path) = &output.html {
        put(path, &html::page(result).map_err(io::Error::other)?)?;
    }
    let colour = output.output.is_none()
        && io::stdout().is_terminal()
        && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let printed = match output.output_format {
        Format::Quiet => return Ok(()),
        Format::Text => text::summary(result, colour),
        Format::Json => json::to_text(result).map_err(io::Error::other)?,
        Format::Csv => tables(result)?,
    };
    match &output.output {
        Some(path) => put(path, &printed),
        None => print(&printed),
    }
}

/// Prints to stdout; whoever has seen enough may close it.
///
/// # Errors
/// When stdout cannot be written for another reason.
pub fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    let end = if text.ends_with('\n') { "" } else { "\n" };
    let printed = out.write_all(text.as_bytes()).and_then(|()| out.write_all(end.as_bytes()));
    match printed.and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error),
        _ => Ok(()),
    }
}

/// The load points if there are any, and the timeline.
fn tables(result: &RunResult) -> io::Result<String> {
    let mut tables = String::new();
    if !result.loads.is_empty() {
        tables = csv::loads(result).map_err(io::Error::other)?;
        tables.push('\n');
    }
    tables.push_str(&csv::timeline(result).map_err(io::Error::other)?);
    Ok(tables)
}

fn put(path: &Path, text: &str) -> io::Result<()> {
    fs::write(path, text).map_err(|error| named(path, &error))
}

fn named(path: &Path, error: &io::Error) -> io::Error {
    io::Error::other(format!("{}: {error}", path.display()))
}
