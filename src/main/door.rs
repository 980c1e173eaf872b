//! Keys and tokens from the operator's own hand: `gen-key`, `gen-token`, `check-token`.

use super::{Failure, Settings, print};
use clap::Args;
use humantime_serde::re::humantime::parse_duration;
use millgate::auth::{AuthError, Issuer, Order, Verifier, new_key};
use millgate::clock::unix_seconds;
use millgate::config::{Jwt, Loaded, Scopes, is_key_name};
use millgate::id::AppId;
use std::io::{self, Read};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

#[derive(Args)]
pub(super) struct NewKey {
    /// Who will use it
    #[arg(value_name = "NAME", value_parser = key_name)]
    name: String,
    /// What it opens: read, send, admin, metrics, joined by "+"
    #[arg(long, default_value = "read+send", value_parser = scopes)]
    scopes: Scopes,
}

#[derive(Args)]
pub(super) struct NewToken {
    /// The user it is for
    #[arg(long)]
    user: String,
    /// An app that the user may log in to; several are separated by commas
    #[arg(long, required = true, value_delimiter = ',', value_name = "ID")]
    app: Vec<u32>,
    /// How long it is good
    #[arg(long, default_value = "1h", value_parser = parse_duration, value_name = "TIME")]
    ttl: Duration,
    /// PEM file (PKCS#8) of the issuer's private key, instead of auth.jwt.secret
    #[arg(long, value_name = "FILE")]
    private_key: Option<PathBuf>,
    /// What the key is called by in a key set
    #[arg(long, value_name = "KID")]
    kid: Option<String>,
    #[command(flatten)]
    settings: Settings,
}

#[derive(Args)]
pub(super) struct Suspect {
    /// The token; "-" reads it from stdin, where no list of processes shows it
    #[arg(value_name = "TOKEN")]
    token: String,
    /// The user who would log in with it
    #[arg(long)]
    user: Option<String>,
    /// The app that the user would log in to
    #[arg(long, value_name = "ID")]
    app: Option<u32>,
    #[command(flatten)]
    settings: Settings,
}

/// Prints a key, this once, and what the configuration gets.
pub(super) fn gen_key(order: &NewKey) -> Result<(), Failure> {
    let (key, line) = new_key(&order.name, order.scopes)?;
    print(&format!(
        "key        {key}\n\
         auth.keys  \"{line}\"\n\
         \n\
         The key is shown this once: give it to its user, who sends it as X-API-Key. The line is its\n\
         hash, which opens nothing; put it into the list auth.keys of every node.\n"
    ))
}

/// Prints a token and nothing else.
pub(super) fn gen_token(order: NewToken) -> Result<(), Failure> {
    let jwt = jwt(&order.settings.load()?)?;
    let issuer = Issuer::new(&jwt, order.private_key.as_deref())?;
    let NewToken { user, app: apps, ttl, kid: key_id, .. } = order;
    let order = Order { user, apps, ttl_seconds: ttl.as_secs(), key_id };
    let token = issuer.sign(&order, unix_seconds())?;
    print(&format!("{token}\n"))
}

/// Prints what a token holds, and whether it would be taken.
pub(super) fn check_token(suspect: Suspect) -> Result<ExitCode, Failure> {
    let Suspect { token, user, app, settings } = suspect;
    let token = match token.as_str() {
        "-" => from_stdin()?,
        _ => token,
    };
    let verifier = Verifier::load(&jwt(&settings.load()?)?)?;
    let mut text = match verifier.show(&token) {
        Some((header, claims)) => format!("header   {header}\nclaims   {claims}\n"),
        None => String::new(),
    };
    let now = unix_seconds();
    let judged = verifier.verify(&token, now).and_then(|grant| {
        let name = user.as_deref().unwrap_or(&grant.user);
        let first = grant.apps.first().copied().unwrap_or_default();
        grant.admit(name, app.map_or(first, AppId), now).map(|()| grant)
    });
    let code = match judged {
        Ok(grant) => {
            let apps: Vec<String> = grant.apps.iter().map(AppId::to_string).collect();
            let left = Duration::from_secs(grant.expires.saturating_sub(now));
            text.push_str(&format!(
                "good     for {:?} on {}, for another {left:?}\n",
                grant.user,
                apps.join(", ")
            ));
            ExitCode::SUCCESS
        }
        Err(fault) => {
            text.push_str(&format!("refused  {}\n", fault.words()));
            ExitCode::FAILURE
        }
    };
    print(&text)?;
    Ok(code)
}

/// What `[auth.jwt]` says.
fn jwt(loaded: &Loaded) -> Result<Jwt, AuthError> {
    loaded.config.auth.jwt.clone().ok_or_else(|| AuthError::Value {
        key: "auth.jwt",
        complaint: "is not set, so no tokens are wanted: name a configuration by --config"
            .to_owned(),
    })
}

fn from_stdin() -> Result<String, Failure> {
    let mut text = String::new();
    io::stdin().lock().take(TOKEN_BYTES_MAX).read_to_string(&mut text).map_err(Failure::Input)?;
    Ok(text.trim().to_owned())
}

/// More than any token has, to say so instead of reading on.
const TOKEN_BYTES_MAX: u64 = 1 << 20;

fn key_name(text: &str) -> Result<String, String> {
    let name = is_key_name(text).then(|| text.to_owned());
    name.ok_or_else(|| "1 to 64 letters, digits, dots, hyphens and underscores".to_owned())
}

fn scopes(text: &str) -> Result<Scopes, String> {
    Scopes::parse(text)
        .ok_or_else(|| "some of read, send, admin and metrics, as in read+send".to_owned())
}
