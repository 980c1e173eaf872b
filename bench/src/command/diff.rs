//! `diff` and `report`: what can be done with results that were kept.

use super::hold::bad;
use crate::diff::{THRESHOLD, compare};
use crate::exit::Exit;
use crate::report::json;
use crate::run::arguments::Output;
use crate::run::{print, write};
use clap::Args;
use std::io;
use std::path::PathBuf;

/// Compares two results; exit code 98 when something has become worse.
#[derive(Args, Clone, Debug)]
pub struct Diff {
    /// The result before
    before: PathBuf,
    /// The result after
    after: PathBuf,
    /// Changes below this share are none
    #[arg(long, default_value_t = THRESHOLD)]
    threshold: f64,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Diff {
    /// Does it.
    ///
    /// # Errors
    /// When a file is no result, or the two cannot be compared.
    pub fn run(&self) -> io::Result<Exit> {
        let before = json::read(&self.before).map_err(bad)?;
        let after = json::read(&self.after).map_err(bad)?;
        let comparison = compare(&before, &after, self.threshold).map_err(bad)?;
        let text = if self.json { comparison.json().map_err(bad)? } else { comparison.text() };
        print(&text)?;
        Ok(comparison.exit())
    }
}

/// Draws a result that was kept, as `--html` and the others would have.
#[derive(Args, Clone, Debug)]
pub struct Report {
    /// The result
    result: PathBuf,
    #[command(flatten)]
    output: Output,
}

impl Report {
    /// Does it.
    ///
    /// # Errors
    /// When the file is no result, or another one cannot be written.
    pub fn run(&self) -> io::Result<Exit> {
        let result = json::read(&self.result).map_err(bad)?;
        write(&result, &self.output)?;
        Ok(Exit::Ok)
    }
}
