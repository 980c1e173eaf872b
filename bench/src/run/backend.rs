//! What a back-end asks of the gateway's HTTP API.

use serde_json::{Value, json};
use std::io;
use std::time::Duration;

/// The HTTP side of a gateway.
#[derive(Clone, Debug)]
pub struct Backend {
    agent: ureq::Agent,
    base: String,
}

/// A text to one user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToUser {
    /// The user's app.
    pub app: u32,
    /// The user's name.
    pub user: String,
    /// What is said.
    pub text: String,
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

    /// Sends texts to single users in one request; which of them are nowhere online, as above.
    ///
    /// # Errors
    /// As [`Backend::send`]; also when one of the messages was refused.
    pub fn send_many(&self, messages: &[ToUser]) -> io::Result<Vec<bool>> {
        let url = format!("{}/user/sendMessages", self.base);
        let failed = |error: &dyn std::fmt::Display| io::Error::other(format!("{url}: {error}"));
        let list: Vec<Value> = messages
            .iter()
            .map(|to| json!({"appID": to.app, "userID": to.user, "message": to.text}))
            .collect();
        let body = json!({ "messages": list }).to_string();
        let request = self.agent.post(&url).content_type("application/json");
        let mut answer = request.send(body).map_err(|error| failed(&error))?;
        let body = answer.body_mut().read_to_string().map_err(|error| failed(&error))?;
        let body: Value = serde_json::from_str(&body).map_err(|error| failed(&error))?;
        let results = body["data"]["results"].as_array().ok_or_else(|| failed(&body["msg"]))?;
        let delivered = |result: &Value| match (&result["sendResults"], &result["sendResultsErr"]) {
            (Value::Bool(delivered), Value::Null) => Ok(*delivered),
            (_, why) => Err(failed(why)),
        };
        results.iter().map(delivered).collect()
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
