//! Where values come from: defaults < file < environment < command line.
//!
//! Every source is first read into [`Setting`]s, one a key. Each is looked at on
//! its own, so that one bad line does not hide the next, and then all of them
//! are merged in order.

use super::draft::{ConfigError, Draft, Setting, unknown};
use super::known::{Known, SECRET_KEYS, TEXT_OR_LIST, nearest, shown};
use super::secret_files::{FILE_SUFFIX, setting_of, without_mark, without_newline};
use super::{Config, redis_url, reference, validate};
use figment::error::{Actual, Kind};
use figment::providers::{Format, Toml};
use figment::util::nest;
use figment::value::{Dict, Value};
use figment::{Error as FigmentError, Figment};
use std::ffi::OsString;
use std::path::Path;

/// Variables that begin with this and contain [`ENV_SEPARATOR`] after it are ours.
const ENV_PREFIX: &str = "MILLGATE_";

/// Between section and key, and where a section's name has a dot. Kubernetes gives every container
/// `MILLGATE_PORT` and the like for a service of that name; none of those has it.
const ENV_SEPARATOR: &str = "__";

const COMMAND_LINE: &str = "command line";
const ENVIRONMENT: &str = "environment";

/// A configuration, and what its owner should know about how it was read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Loaded {
    /// The configuration; within all bounds.
    pub config: Config,
    /// Remarks, one line each; nothing is wrong.
    pub notices: Vec<String>,
    /// What is probably a mistake in what was read, one line each; the configuration can be used.
    pub warnings: Vec<String>,
}

impl Config {
    /// Reads a configuration with this process's environment. A file that ends
    /// in `.yaml` or `.yml` is one of the reference, any other is TOML.
    /// `overrides` are keys and values of the command line, the last one wins.
    ///
    /// # Errors
    /// [`ConfigError`] with all that is wrong.
    pub fn load(
        file: Option<&Path>,
        overrides: &[(String, String)],
    ) -> Result<Loaded, ConfigError> {
        Self::load_with(file, std::env::vars_os(), overrides)
    }

    /// The same with an environment that is given.
    ///
    /// # Errors
    /// [`ConfigError`] with all that is wrong.
    pub fn load_with(
        file: Option<&Path>,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
        overrides: &[(String, String)],
    ) -> Result<Loaded, ConfigError> {
        let mut draft = Draft::new()?;
        draft.read_environment(environment);
        draft.read_overrides(overrides);
        if let Some(path) = file {
            draft.read_file(path);
        }
        draft.finish()
    }
}

impl Config {
    /// Looks at the bounds once more, after a part of it was replaced.
    ///
    /// # Errors
    /// [`ConfigError`] with all that is wrong.
    pub fn check(&self) -> Result<(), ConfigError> {
        let problems: Vec<String> = validate::violations(self)
            .into_iter()
            .map(|violation| format!("\"{}\" {}", violation.key, violation.complaint))
            .collect();
        if problems.is_empty() {
            Ok(())
        } else {
            Err(ConfigError { problems, log: Box::new(self.log.clone()) })
        }
    }
}

impl Draft {
    fn read_environment(&mut self, environment: impl IntoIterator<Item = (OsString, OsString)>) {
        // Sorted, so that messages come in the same order every time.
        let mut variables: Vec<_> = environment.into_iter().collect();
        variables.sort();
        for (name, value) in variables {
            let name = name.to_string_lossy().into_owned();
            let Some(rest) = name.strip_prefix(ENV_PREFIX) else {
                continue;
            };
            if !rest.contains(ENV_SEPARATOR) {
                self.notice_unread(&name, rest, &value.to_string_lossy());
                continue;
            }
            let key = rest.replace(ENV_SEPARATOR, ".").to_lowercase();
            let key = self.renamed(ENVIRONMENT, &name, key);
            if !self.known.contains(&key) {
                let names: Vec<_> = self.known.keys().map(variable_name).collect();
                let near = nearest(&name, names.iter().map(String::as_str));
                let problem = unknown(ENVIRONMENT, "key", &name, near);
                self.problems.push(problem);
            } else if let Ok(text) = value.into_string() {
                let text = match SECRET_KEYS.contains(&key.as_str()) {
                    true => without_newline(&text),
                    false => &text,
                };
                self.push_text(key, name, ENVIRONMENT, text);
            } else {
                self.problems.push(format!("{ENVIRONMENT}: \"{name}\" is not UTF-8"));
            }
        }
    }

    /// `MILLGATE_LOG_LEVEL` is not read, but who writes it meant something.
    fn notice_unread(&mut self, name: &str, rest: &str, value: &str) {
        if is_of_others(rest, value) {
            return;
        }
        let names: Vec<String> = self.known.keys().map(variable_name).collect();
        if let Some(meant) = names.iter().find(|meant| meant.replace(ENV_SEPARATOR, "_") == name) {
            self.notices.push(format!("{ENVIRONMENT}: \"{name}\" is not read; it is \"{meant}\""));
            return;
        }
        let key = rest.to_lowercase();
        // The section may be missing, misspelt, or be followed by one underscore.
        let bare = self.known.keys().find(|known| known.rsplit('.').next() == Some(&key));
        let near = bare.map(variable_name);
        let near =
            near.or_else(|| nearest(name, names.iter().map(String::as_str)).map(str::to_owned));
        let near =
            near.or_else(|| self.known.nearest(&key.replacen('_', ".", 1)).map(variable_name));
        self.notices.push(match near {
            Some(near) => {
                format!("{ENVIRONMENT}: \"{name}\" is not read, did you mean \"{near}\"?")
            }
            None => format!(
                "{ENVIRONMENT}: \"{name}\" is not read, keys are set by MILLGATE_SECTION__KEY"
            ),
        });
    }

    fn read_overrides(&mut self, overrides: &[(String, String)]) {
        for (said, text) in overrides {
            let key = &self.renamed(COMMAND_LINE, said, said.clone());
            if self.known.contains(key) {
                self.push_text(key.clone(), said.clone(), COMMAND_LINE, text);
            } else {
                let problem = unknown(COMMAND_LINE, "key", key, self.known.nearest(key));
                self.problems.push(problem);
            }
        }
    }

    fn push_text(&mut self, key: String, said: String, origin: &str, text: &str) {
        let value = self.known.value_of_text(&key, text);
        self.above.push(Setting { key, value, said, origin: origin.to_owned() });
    }

    fn read_file(&mut self, path: &Path) {
        let origin = path.display().to_string();
        let text = match std::fs::read(path).map(String::from_utf8) {
            Ok(Ok(text)) => text,
            Ok(Err(_)) => return self.problems.push(format!("{origin}: is not UTF-8 text")),
            Err(error) => {
                return self.problems.push(format!("{origin}: cannot be read: {error}"));
            }
        };
        let text = without_mark(&text);
        let extension = path.extension().and_then(|extension| extension.to_str());
        if matches!(extension, Some("yaml" | "yml")) {
            let path = self.listen_path();
            self.file = reference::read(self, &origin, text, &path);
        } else {
            self.read_toml(&origin, text);
        }
    }

    fn read_toml(&mut self, origin: &str, text: &str) {
        let sections: Dict = match Toml::from_str(text) {
            Ok(sections) => sections,
            Err(error) => {
                // Not the whole error: it quotes the line, and there may be a password in it.
                let place = place(text, error.span().map_or(0, |span| span.start));
                let message = error.message().replace('\n', ", ");
                return self.problems.push(format!("{origin}:{place}: {message}"));
            }
        };
        for (section, keys) in sections {
            match keys {
                Value::Dict(_, keys) if self.known.has_section(&section) => {
                    self.read_section(origin, &section, keys);
                }
                Value::Dict(_, keys) => self.complain_of_section(origin, &section, &keys),
                _ if self.known.has_section(&section) => {
                    self.problems
                        .push(format!("{origin}: \"{section}\" is a section, write [{section}]"));
                }
                _ => {
                    let near = self.known.nearest(&section);
                    self.problems.push(unknown(origin, "key", &section, near));
                }
            }
        }
    }

    fn read_section(&mut self, origin: &str, section: &str, keys: Dict) {
        if keys.is_empty() {
            // A section that need not be there is there all the same, with its defaults.
            self.set(origin, section.to_owned(), section.to_owned(), Value::from(keys));
            return;
        }
        for (key, value) in keys {
            let said = format!("{section}.{key}");
            let key = self.renamed(origin, &said, said.clone());
            match value {
                Value::Dict(_, inner) if self.known.has_section(&key) => {
                    self.read_section(origin, &key, inner);
                }
                Value::Dict(_, inner) if !self.known.contains(&key) => {
                    self.complain_of_section(origin, &key, &inner);
                }
                value if self.known.contains(&key) => self.set(origin, key, said, value),
                _ if self.known.has_section(&key) => {
                    self.problems.push(format!("{origin}: \"{key}\" is a section, write [{key}]"));
                }
                _ => self.problems.push(unknown(origin, "key", &key, self.known.nearest(&key))),
            }
        }
    }

    fn set(&mut self, origin: &str, key: String, said: String, value: Value) {
        self.file.push(Setting { key, value, said, origin: origin.to_owned() });
    }

    /// A section may be misspelt, or its keys may have another place.
    fn complain_of_section(&mut self, origin: &str, section: &str, keys: &Dict) {
        let near = self.known.nearest_section(section);
        let has = |near: &str, key: &str| self.known.contains(&format!("{near}.{key}"));
        let moved = keys.keys().map(|key| format!("{section}.{key}"));
        let moved: Vec<_> = moved.filter(|key| self.known.nearest(key).is_some()).collect();
        let is_misspelt = near.is_some_and(|near| keys.keys().any(|key| has(near, key)));
        if is_misspelt || moved.is_empty() {
            return self.problems.push(unknown(origin, "section", section, near));
        }
        for key in moved {
            self.problems.push(unknown(origin, "key", &key, self.known.nearest(&key)));
        }
    }

    /// Merges what is right and reports what is not.
    fn finish(mut self) -> Result<Loaded, ConfigError> {
        self.drop_empty_redis();
        let mut good: Vec<Setting> = Vec::new();
        for setting in self.file.into_iter().chain(self.above) {
            match wrong_type(&self.known, &setting) {
                Some(problem) => self.problems.push(problem),
                None => good.push(setting),
            }
        }
        self.problems.extend(split_redis_url(&mut good));
        let merged = good.iter().fold(Figment::new(), |merged, setting| {
            merged.merge((setting.key.as_str(), &setting.value))
        });
        let mut config: Config = match merged.extract() {
            Ok(config) => config,
            Err(error) => return Err(ConfigError::from(error.to_string())),
        };
        let unread = config.read_secrets();
        let violations = validate::violations(&config).into_iter();
        // A secret that could not be read is no empty one.
        let violations = violations
            .map(|violation| (violation.key.to_owned(), violation.complaint))
            .filter(|(key, _)| !unread.iter().any(|(file, _)| is_file_of(file, key)));
        let problems: Vec<String> = unread
            .iter()
            .cloned()
            .chain(violations)
            .map(|(key, complaint)| match setting_of(&good, &key) {
                Some(Setting { key: own, said, origin, value })
                    if own == &key && own.ends_with(FILE_SUFFIX) || is_file_of(own, &key) =>
                {
                    let path = value.as_str().unwrap_or_default();
                    format!("{origin}: \"{said}\" {path}: {complaint}")
                }
                Some(Setting { said, origin, .. }) => format!("{origin}: \"{said}\" {complaint}"),
                None => format!("\"{key}\" {complaint}"),
            })
            .collect();
        self.problems.extend(problems);
        self.notices.extend(unused_url(&config, &good));
        self.notices.extend(config.padded_secrets().into_iter().map(|key| {
            format!("\"{key}\" begins or ends with white space, which is a part of it")
        }));
        if self.problems.is_empty() {
            Ok(Loaded { config, notices: self.notices, warnings: self.warnings })
        } else {
            Err(ConfigError { problems: self.problems, log: Box::new(config.log) })
        }
    }

    /// A variable that is empty, because what it was to be made of is not set, brings no cluster
    /// into being. Beside other keys of Redis it means what it says.
    fn drop_empty_redis(&mut self) {
        let is_redis = |setting: &Setting| setting.key.split('.').next() == Some(REDIS);
        let is_empty = |setting: &Setting| setting.value.as_str().is_some_and(str::is_empty);
        let says_something = |setting: &Setting| is_redis(setting) && !is_empty(setting);
        if self.file.iter().any(is_redis) || self.above.iter().any(says_something) {
            return;
        }
        for Setting { said, origin, .. } in self.above.extract_if(.., |setting| is_redis(setting)) {
            self.notices.push(format!("{origin}: \"{said}\" is empty, which makes no cluster"));
        }
    }
}

/// The section that makes a node one of a cluster.
const REDIS: &str = "redis";

fn is_file_of(file: &str, key: &str) -> bool {
    file.strip_suffix(FILE_SUFFIX) == Some(key)
}

/// Puts what `redis.addr` says as a URL into the keys that it stands for. Keys of their own that
/// come later go over it. Returns what is wrong.
fn split_redis_url(settings: &mut Vec<Setting>) -> Option<String> {
    const ADDR: &str = "redis.addr";
    let at = settings.iter().rposition(|setting| setting.key == ADDR)?;
    let Setting { value, said, origin, .. } = &settings[at];
    let url = match redis_url::parse(value.as_str()?)? {
        Ok(url) => url,
        Err(complaint) => {
            let problem = format!("{origin}: \"{said}\" {complaint}");
            settings.remove(at);
            return Some(problem);
        }
    };
    let (said, origin) = (said.clone(), origin.clone());
    let parts = [
        (ADDR, Some(Value::from(url.addr))),
        ("redis.tls", url.tls.then(|| Value::from(true))),
        ("redis.username", url.username.map(Value::from)),
        ("redis.password", url.password.map(Value::from)),
        ("redis.db", url.db.map(Value::from)),
    ];
    let parts = parts.into_iter().filter_map(|(key, value)| {
        Some(Setting {
            key: key.to_owned(),
            value: value?,
            said: said.clone(),
            origin: origin.clone(),
        })
    });
    settings.splice(at..=at, parts.collect::<Vec<_>>());
    // Addresses that are gone over may be URLs with passwords as well.
    let mut index = 0;
    settings.retain(|setting| {
        index += 1;
        setting.key != ADDR || index > at
    });
    None
}

/// Variables of Kubernetes for a service called millgate or millgate-something, and those of the
/// programs beside the gateway.
fn is_of_others(rest: &str, value: &str) -> bool {
    let rest = format!("_{rest}");
    let is_port = rest.ends_with("_PORT") && value.contains("://");
    let has_number = rest
        .split("_PORT_")
        .skip(1)
        .any(|behind| behind.split('_').next().is_some_and(|port| port.parse::<u16>().is_ok()));
    is_port
        || has_number
        || ["_SERVICE_HOST", "_SERVICE_PORT"].iter().any(|part| rest.contains(part))
        || ["_BENCH_", "_TUNE_"].iter().any(|tool| rest.starts_with(tool))
}

/// A browser lets a page read another origin only where that origin allows it.
fn unused_url(config: &Config, settings: &[Setting]) -> Option<String> {
    let said = settings.iter().rfind(|setting| setting.key == "page.http_url")?;
    let is_unused = !config.page.http_url.is_empty() && config.auth.allowed_origins.is_empty();
    let Setting { said, origin, .. } = said;
    is_unused.then(|| {
        format!(
            "{origin}: {said} is not used, the page asks where it came from; \
             list the page's own origin in auth.allowed_origins to change that"
        )
    })
}

/// Tries a setting alone: every key has a default, so one of them is a whole configuration.
fn wrong_type(known: &Known, setting: &Setting) -> Option<String> {
    let error = nest(&setting.key, setting.value.clone()).deserialize::<Config>().err()?;
    let Setting { key, value, said, origin } = setting;
    if let (Kind::Message(complaint), true) = (&error.kind, TEXT_OR_LIST.contains(&key.as_str())) {
        return Some(format!("{origin}: \"{said}\" {complaint}"));
    }
    let expected = expectation(known, key, error);
    Some(format!("{origin}: \"{said}\" is {}, expected {expected}", shown(key, value)))
}

fn expectation(known: &Known, key: &str, error: FigmentError) -> String {
    match error.kind {
        Kind::UnknownVariant(_, variants) => variants.join(" or "),
        Kind::InvalidValue(Actual::Signed(1..) | Actual::Unsigned(_), _) => {
            format!("at most {}", u32::MAX)
        }
        _ => known.expectation(key).to_owned(),
    }
}

/// Line and column, counted from 1, of a byte.
fn place(text: &str, offset: usize) -> String {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().map_or(0, |rest| rest.chars().count()) + 1;
    format!("{line}:{column}")
}

fn variable_name(key: &str) -> String {
    format!("{ENV_PREFIX}{}", key.replace('.', ENV_SEPARATOR).to_uppercase())
}
