//! What a back-end asks of the gateway's HTTP API.

use serde_json::Value;
use std::io;
use std::time::Duration;

/// The HTTP side of a gateway.
#[derive(Clone, Debug)]
pub struct Backend {
    agent: ureq::Agent,
    base: String,
}

/// An answer takes no longer, or is an error.
const TIMEOUT: Duration = Duration::from_secs(10);

impl Backend {
    /// For `http://host:port`.
    #[must_use]
    pub fn new(base: &str) -> Self {
        let config = ureq::Agent::config_builder().timeout_global(Some(TIMEOUT)).build();
        Self { agent: config.into(), base: base.trim_end_matches('/').to_owned() }
    }

    /// Sends a text to one user; false if that user is nowhere online.
    ///
    /// # Errors
    /// When the API cannot be reached, or refuses.
    pub fn send(&self, app: u32, user: &str, text: &str) -> io::Result<bool> {
        self.post("sendMessage", app, user, text)
    }

    /// Sends a text to everybody in an app but a user who does not exist.
    ///
    /// # Errors
    /// As [`Backend::send`].
    pub fn send_all(&self, app: u32, text: &str) -> io::Result<bool> {
        self.post("sendMessageAll", app, NOBODY, text)
    }

    fn post(&self, route: &str, app: u32, user: &str, text: &str) -> io::Result<bool> {
        let url = format!("{}/user/{route}", self.base);
        let app = app.to_string();
        let form = [("appID", app.as_str()), ("userID", user), ("message", text)];
        let failed = |error: &dyn std::fmt::Display| io::Error::other(format!("{url}: {error}"));
        let mut answer = self.agent.post(&url).send_form(form).map_err(|error| failed(&error))?;
        let body = answer.body_mut().read_to_string().map_err(|error| failed(&error))?;
        let body: Value = serde_json::from_str(&body).map_err(|error| failed(&error))?;
        match &body["data"]["sendResults"] {
            Value::Bool(delivered) => Ok(*delivered),
            _ => Err(failed(&body["msg"])),
        }
    }
}

/// Who is left out of a message to all.
const NOBODY: &str = "load-lab";
