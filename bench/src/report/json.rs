//! A result as a file.

use crate::result::{FORMAT, RunResult};
use serde::Deserialize;
use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

/// Writes a result, as JSON that people can read too.
///
/// The file appears whole or not at all: a run that is cut off leaves no half of one.
///
/// # Errors
/// One line that names the file.
pub fn write(run: &RunResult, path: &Path) -> Result<(), String> {
    let failed = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let text = to_text(run).map_err(|error| failed(&error))?;
    let mut unfinished = path.as_os_str().to_owned();
    unfinished.push(".part");
    fs::write(&unfinished, text).map_err(|error| failed(&error))?;
    fs::rename(&unfinished, path).map_err(|error| failed(&error))
}

/// Reads a result file.
///
/// # Errors
/// One line that names the file: it cannot be read, is no result, or has a format of another version.
pub fn read(path: &Path) -> Result<RunResult, String> {
    let failed = |error: String| format!("{}: {error}", path.display());
    let mut text = String::new();
    let file = File::open(path).map_err(|error| failed(error.to_string()))?;
    let read = file.take(BYTES_MAX + 1).read_to_string(&mut text);
    read.map_err(|error| failed(error.to_string()))?;
    if text.len() as u64 > BYTES_MAX {
        return Err(failed(format!("more than {} MiB are not a result", BYTES_MAX >> 20)));
    }
    from_text(&text).map_err(failed)
}

/// The text of a result file.
///
/// # Errors
/// One line, if a number in it is not finite: JSON knows no such numbers.
pub fn to_text(run: &RunResult) -> Result<String, String> {
    let mut text = serde_json::to_string_pretty(run).map_err(|error| error.to_string())?;
    text.push('\n');
    Ok(text)
}

/// Reads the text of a result file.
///
/// # Errors
/// One line: no result, or a format of another version.
pub fn from_text(text: &str) -> Result<RunResult, String> {
    #[derive(Deserialize)]
    struct Head {
        format: String,
    }
    let head: Head = serde_json::from_str(text)
        .map_err(|_| format!("not a result of this tool: no JSON with \"format\": {FORMAT:?}"))?;
    if head.format != FORMAT {
        let found: String = head.format.chars().take(40).collect();
        return Err(format!("its format is {found:?}, this version reads {FORMAT:?}"));
    }
    serde_json::from_str(text).map_err(|error| format!("not a result of this version: {error}"))
}

/// A day's timeline and a thousand full histograms are below it.
const BYTES_MAX: u64 = 256 << 20;
