//! A configuration loaded from the sources a test names.

use millgate::config::{Config, Loaded};
use std::ffi::OsString;

/// The sources of one case.
#[derive(Default)]
pub(crate) struct Case {
    file: Option<(&'static str, String)>,
    environment: Vec<(OsString, OsString)>,
    flags: Vec<(String, String)>,
}

impl Case {
    pub(crate) fn file(name: &'static str, text: &str) -> Self {
        Self { file: Some((name, text.to_owned())), ..Self::default() }
    }

    pub(crate) fn toml(text: &str) -> Self {
        Self::file("x.toml", text)
    }

    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    pub(crate) fn flag(mut self, key: &str, value: &str) -> Self {
        self.flags.push((key.to_owned(), value.to_owned()));
        self
    }

    /// Loads it; the directory is cut from messages, so that a file is called by its name.
    pub(crate) fn load(self) -> Result<Loaded, Vec<String>> {
        let directory = tempfile::tempdir().unwrap();
        let path = self.file.map(|(name, text)| {
            let path = directory.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        });
        let result = Config::load_with(path.as_deref(), self.environment, &self.flags);
        let prefix = format!("{}/", directory.path().display());
        let cut = |lines: &[String]| lines.iter().map(|l| l.replace(&prefix, "")).collect();
        match result {
            Ok(loaded) => Ok(Loaded {
                notices: cut(&loaded.notices),
                warnings: cut(&loaded.warnings),
                ..loaded
            }),
            Err(error) => Err(cut(error.problems())),
        }
    }

    pub(crate) fn config(self) -> Config {
        self.load().unwrap().config
    }

    pub(crate) fn problems(self) -> Vec<String> {
        self.load().unwrap_err()
    }
}
