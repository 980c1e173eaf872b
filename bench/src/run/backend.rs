//! What a back-end asks of the gateway's HTTP API.

use serde_json::{Value, json};
use std::fmt;
use std::io;
use std::time::Duration;

/// The HTTP side of a gateway.
#[derive(Clone)]
pub struct Backend {
    agent: ureq::Agent,
    base: String,
    /// Shown with every request.
    key: Option<String>,
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
    /// For `http://host:port`, with a key if it wants one.
    #[must_use]
    pub fn new(base: &str, key: Option<String>) -> Self {
        let config = ureq::Agent::config_builder().timeout_global(Some(TIMEOUT)).build();
        Self { agent: config.into(), base: base.trim_end_matches('/').to_owned(), key }
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

    /// Sends texts to single users in one request; of each as [`Backend::send`], `None` if it was refused.
    ///
    /// # Errors
    /// When the API cannot be reached, or refuses all of them.
    pub fn send_many(&self, messages: &[ToUser]) -> io::Result<Vec<Option<bool>>> {
        let of = |to: &ToUser| json!({"appID": to.app, "userID": to.user, "message": to.text});
        let body = json!({"messages": messages.iter().map(of).collect::<Vec<_>>()}).to_string();
        let url = format!("{}/user/sendMessages", self.base);
        let request = self.request(&url).content_type("application/json");
        let answer = read(&url, request.send(body))?;
        let results = answer["data"]["results"].as_array();
        let results = results.ok_or_else(|| failed(&url, &answer["msg"]))?;
        let told = |result: &Value| match (&result["sendResults"], &result["sendResultsErr"]) {
            (Value::Bool(delivered), Value::Null) => Some(*delivered),
            _ => None,
        };
        Ok(results.iter().map(told).collect())
    }

    fn request(&self, url: &str) -> ureq::RequestBuilder<ureq::typestate::WithBody> {
        let request = self.agent.post(url);
        match &self.key {
            Some(key) => request.header("X-API-Key", key),
            None => request,
        }
    }

    fn post(&self, route: &str, app: u32, user: &str, text: &str) -> io::Result<bool> {
        let url = format!("{}/user/{route}", self.base);
        let app = app.to_string();
        let form = [("appID", app.as_str()), ("userID", user), ("message", text)];
        let answer = read(&url, self.request(&url).send_form(form))?;
        match &answer["data"]["sendResults"] {
            Value::Bool(delivered) => Ok(*delivered),
            _ => Err(failed(&url, &answer["msg"])),
        }
    }
}

fn read(
    url: &str,
    answer: Result<ureq::http::Response<ureq::Body>, ureq::Error>,
) -> io::Result<Value> {
    let mut answer = answer.map_err(|error| match error {
        ureq::Error::StatusCode(401) => failed(url, &NO_KEY),
        ureq::Error::StatusCode(403) => failed(url, &OTHER_SCOPE),
        error => failed(url, &error),
    })?;
    let body = answer.body_mut().read_to_string().map_err(|error| failed(url, &error))?;
    serde_json::from_str(&body).map_err(|error| failed(url, &error))
}

fn failed(url: &str, error: &dyn fmt::Display) -> io::Error {
    io::Error::other(format!("{url}: {error}"))
}

/// What a caller is told whose key is good, but not for this.
const OTHER_SCOPE: &str = "the key of --api-key-file has not the scope send";

/// What a caller is told who shows no key, or none of the API's.
const NO_KEY: &str =
    "the API wants a key with the scope send: --api-key-file, or MILLGATE_BENCH_API_KEY";

/// Without the key.
impl fmt::Debug for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Backend").field("base", &self.base).finish_non_exhaustive()
    }
}

/// Who is left out of a message to all.
const NOBODY: &str = "load-lab";
