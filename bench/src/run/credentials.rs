//! What the gateway wants to be shown: keys of its API, tokens of its users.
//!
//! Secrets come from files or the environment, since everybody on a host can read command
//! lines; and they stay out of results, which name the files alone.

use crate::units::duration;
use crate::wire::token::Issuer;
use clap::{Args, ValueEnum};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What the gateway wants to be shown.
#[derive(Args, Clone, Debug)]
pub struct Credentials {
    /// File with a key for the HTTP API (or in MILLGATE_BENCH_API_KEY)
    #[arg(long, value_name = "FILE")]
    pub api_key_file: Option<PathBuf>,
    /// File with the secret that users' tokens are signed with: each logs in with one of its own (or in MILLGATE_BENCH_TOKEN_SECRET)
    #[arg(long, value_name = "FILE")]
    pub token_secret_file: Option<PathBuf>,
    /// How tokens are signed: HS256, HS384, HS512
    #[arg(long, value_name = "ALG", default_value = "HS256")]
    pub token_algorithm: String,
    /// Who issues them (iss)
    #[arg(long, value_name = "TEXT")]
    pub token_issuer: Option<String>,
    /// Whom they are for (aud)
    #[arg(long, value_name = "TEXT")]
    pub token_audience: Option<String>,
    /// How long each is good
    #[arg(long, default_value = "1h", value_parser = duration)]
    pub token_ttl: Duration,
    /// Where a client shows its token
    #[arg(long, value_enum, default_value_t = TokenAt::Login)]
    pub token_at: TokenAt,
}

/// Where a client shows its token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TokenAt {
    /// As `serviceToken`
    Login,
    /// As `Authorization: Bearer`
    Handshake,
}

const API_KEY: &str = "MILLGATE_BENCH_API_KEY";
const TOKEN_SECRET: &str = "MILLGATE_BENCH_TOKEN_SECRET";

impl Credentials {
    /// The key for the API, if there is one.
    ///
    /// # Errors
    /// When its file cannot be read, or holds nothing that fits into a header.
    pub fn api_key(&self) -> Result<Option<String>, String> {
        let flag = "--api-key-file";
        let Some(key) = secret(self.api_key_file.as_deref(), flag, API_KEY)? else {
            return Ok(None);
        };
        match key.bytes().all(|byte| byte.is_ascii_graphic()) {
            true => Ok(Some(key)),
            false => Err(format!("{flag}: a key has visible ASCII letters only")),
        }
    }

    /// Who issues the tokens of users, if they need any.
    ///
    /// # Errors
    /// When the file of the secret cannot be read, or the algorithm is not known.
    pub fn issuer(&self) -> Result<Option<Issuer>, String> {
        let flag = "--token-secret-file";
        let Some(secret) = secret(self.token_secret_file.as_deref(), flag, TOKEN_SECRET)? else {
            return Ok(None);
        };
        let issuer = Issuer::new(secret.as_bytes(), &self.token_algorithm, self.token_ttl)
            .map_err(|error| format!("--token-algorithm: {error}"))?;
        Ok(Some(issuer.naming(self.token_issuer.clone(), self.token_audience.clone())))
    }
}

/// A secret from its file, or else from the environment, without white space around it.
fn secret(file: Option<&Path>, flag: &str, variable: &str) -> Result<Option<String>, String> {
    let text = match file {
        Some(file) => std::fs::read_to_string(file)
            .map_err(|error| format!("{flag} {}: {error}", file.display()))?,
        None => match std::env::var(variable) {
            Ok(text) => text,
            Err(_) => return Ok(None),
        },
    };
    match text.trim() {
        "" => Err(format!("{flag} (or {variable}): there is nothing in it")),
        secret => Ok(Some(secret.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        credentials: Credentials,
    }

    fn credentials(file: &Path) -> Credentials {
        let file = file.to_str().unwrap();
        let line = ["x", "--api-key-file", file, "--token-secret-file", file];
        Line::try_parse_from(line).unwrap().credentials
    }

    #[test]
    fn secrets_come_from_files() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key");
        std::fs::write(&file, " mg_key\n").unwrap();
        assert_eq!(credentials(&file).api_key(), Ok(Some("mg_key".to_owned())));
        assert!(credentials(&file).issuer().unwrap().is_some());
        for text in ["", " \n"] {
            std::fs::write(&file, text).unwrap();
            assert!(credentials(&file).api_key().unwrap_err().contains("nothing"));
        }
        std::fs::write(&file, "two words").unwrap();
        assert!(credentials(&file).api_key().is_err());
        std::fs::remove_file(&file).unwrap();
        assert!(credentials(&file).issuer().unwrap_err().contains("key"));
    }

    #[test]
    fn who_gives_none_shows_none() {
        let credentials = Line::try_parse_from(["x"]).unwrap().credentials;
        assert_eq!(credentials.api_key(), Ok(None));
        assert!(credentials.issuer().unwrap().is_none());
    }
}
