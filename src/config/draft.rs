//! A configuration while it is being read: settings, problems, notices.

use super::known::Known;
use super::{Config, Log};
use figment::value::Value;
use std::fmt;

/// Everything that is wrong with a configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct ConfigError {
    pub(super) problems: Vec<String>,
    pub(super) log: Box<Log>,
}

impl ConfigError {
    /// One line each; at least one.
    #[must_use]
    pub fn problems(&self) -> &[String] {
        &self.problems
    }

    /// What is said of the log, as far as it can be understood: a program that
    /// cannot start reports that in this form.
    #[must_use]
    pub fn log(&self) -> &Log {
        &self.log
    }
}

impl From<String> for ConfigError {
    fn from(problem: String) -> Self {
        Self { problems: vec![problem], log: Box::default() }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.problems.join("\n"))
    }
}

/// One value for one key, and who said so.
pub(super) struct Setting {
    /// `section.key`, known to exist.
    pub(super) key: String,
    pub(super) value: Value,
    /// The key as it is spelt at its origin.
    pub(super) said: String,
    /// A file, the environment or the command line.
    pub(super) origin: String,
}

/// What has been read so far.
pub(super) struct Draft {
    pub(super) known: Known,
    pub(super) file: Vec<Setting>,
    /// Environment, then command line.
    pub(super) above: Vec<Setting>,
    pub(super) problems: Vec<String>,
    pub(super) notices: Vec<String>,
    /// Of what is probably a mistake, and no obstacle.
    pub(super) warnings: Vec<String>,
}

impl Draft {
    pub(super) fn new() -> Result<Self, ConfigError> {
        Ok(Self {
            known: Known::new()?,
            file: Vec::new(),
            above: Vec::new(),
            problems: Vec::new(),
            notices: Vec::new(),
            warnings: Vec::new(),
        })
    }

    /// The path clients will upgrade on, as far as the sources above a file tell.
    pub(super) fn listen_path(&self) -> String {
        let said = self.above.iter().rev().find(|setting| setting.key == "listen.path");
        let path = said.and_then(|setting| setting.value.as_str().map(str::to_owned));
        path.unwrap_or_else(|| Config::default().listen.path)
    }

    /// The key that is meant by one: itself, or the one that it is called now.
    pub(super) fn renamed(&mut self, origin: &str, said: &str, key: String) -> String {
        let Some((_, now)) = RENAMED.iter().find(|(before, _)| *before == key) else { return key };
        self.warnings
            .push(format!("{origin}: \"{said}\" is called \"{now}\" now, and is read as that"));
        (*now).to_owned()
    }

    /// Whether the environment or the command line sets this key.
    pub(super) fn is_overridden(&self, key: &str) -> bool {
        self.above.iter().any(|setting| setting.key == key)
    }
}

/// Keys that had another name in an earlier version.
const RENAMED: [(&str, &str); 1] = [("limits.body_bytes", "limits.http_body_bytes")];

/// A line about a name that does not exist.
pub(super) fn unknown(origin: &str, what: &str, name: &str, near: Option<&str>) -> String {
    match near {
        Some(near) => format!("{origin}: unknown {what} \"{name}\", did you mean \"{near}\"?"),
        None => format!("{origin}: unknown {what} \"{name}\""),
    }
}
