//! Secrets that stand in files of their own, as orchestrators and service managers hand them over.

use super::draft::Setting;
use super::{Auth, Cluster, Config, Jwt, Redis, Secret};
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// The end of a key that names a file instead of its content.
pub(super) const FILE_SUFFIX: &str = "_file";

/// A longer file holds no secret; it may have no end at all.
const FILE_BYTES_MAX: u64 = 64 * 1024;

impl Config {
    /// All secrets with their keys, and the files that may hold them instead.
    fn secrets_mut(&mut self) -> Vec<(&'static str, &mut Secret, &PathBuf)> {
        let Self { auth: Auth { jwt, .. }, cluster, redis, .. } = self;
        let Cluster { token, token_file, previous_token, previous_token_file, .. } = cluster;
        let mut all = vec![
            ("cluster.token", token, &*token_file),
            ("cluster.previous_token", previous_token, &*previous_token_file),
        ];
        if let Some(Jwt { secret, secret_file, previous_secret, previous_secret_file, .. }) = jwt {
            all.push(("auth.jwt.secret", secret, secret_file));
            all.push(("auth.jwt.previous_secret", previous_secret, previous_secret_file));
        }
        if let Some(redis) = redis {
            let Redis {
                password, password_file, sentinel_password, sentinel_password_file, ..
            } = redis;
            all.push(("redis.password", password, password_file));
            all.push(("redis.sentinel_password", sentinel_password, sentinel_password_file));
        }
        all
    }

    /// Reads the files that stand for secrets, and those of keys. Returns what is wrong, as keys
    /// and complaints.
    pub(super) fn read_secrets(&mut self) -> Vec<(String, String)> {
        let mut wrong = Vec::new();
        for (key, secret, path) in self.secrets_mut() {
            if path.as_os_str().is_empty() {
                continue;
            }
            let complaint = match read(path) {
                _ if !secret.is_empty() => {
                    format!("is set, and so is {key}: one of them is enough")
                }
                Ok(text) if text.is_empty() => "is empty".to_owned(),
                Ok(text) => {
                    *secret = text.as_str().into();
                    continue;
                }
                Err(error) => error.to_string(),
            };
            wrong.push((format!("{key}{FILE_SUFFIX}"), complaint));
        }
        let Auth { keys, keys_file, .. } = &mut self.auth;
        if !keys_file.as_os_str().is_empty() {
            match read(keys_file) {
                // A secret that is not filled in yet must not leave the API open.
                Ok(text) if lines(&text).next().is_none() => {
                    wrong.push((format!("auth.keys{FILE_SUFFIX}"), "has no key in it".to_owned()));
                }
                Ok(text) => keys.extend(lines(&text)),
                Err(error) => wrong.push((format!("auth.keys{FILE_SUFFIX}"), error.to_string())),
            }
        }
        wrong
    }

    /// The keys of secrets that begin or end with white space, which hardly anybody means.
    pub(super) fn padded_secrets(&mut self) -> Vec<&'static str> {
        let is_padded = |secret: &Secret| secret.reveal().trim() != secret.reveal();
        let all = self.secrets_mut().into_iter();
        all.filter(|(_, secret, _)| is_padded(secret)).map(|(key, ..)| key).collect()
    }
}

/// The setting that a complaint about `key` is about: its own, or that of the file it was read from.
pub(super) fn setting_of<'a>(settings: &'a [Setting], key: &str) -> Option<&'a Setting> {
    let of_file = |setting: &&Setting| setting.key.strip_suffix(FILE_SUFFIX) == Some(key);
    let own = settings.iter().rfind(|setting| setting.key == key);
    own.or_else(|| settings.iter().rfind(of_file))
}

/// A text without the newline that editors and `echo` put behind it.
pub(super) fn without_newline(text: &str) -> &str {
    let text = text.strip_suffix('\n').unwrap_or(text);
    text.strip_suffix('\r').unwrap_or(text)
}

/// A text without the mark that editors of Windows put in front of it.
pub(super) fn without_mark(text: &str) -> &str {
    text.strip_prefix('\u{feff}').unwrap_or(text)
}

fn read(path: &Path) -> io::Result<String> {
    let mut bytes = Vec::new();
    File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(io::Error::other(format!("has more than {FILE_BYTES_MAX} bytes")));
    }
    let text = String::from_utf8(bytes).map_err(|_| io::Error::other("is not UTF-8 text"))?;
    Ok(without_newline(without_mark(&text)).to_owned())
}

/// The lines that are neither empty nor remarks.
fn lines(text: &str) -> impl Iterator<Item = String> {
    let lines = text.lines().map(str::trim);
    lines.filter(|line| !line.is_empty() && !line.starts_with('#')).map(str::to_owned)
}
