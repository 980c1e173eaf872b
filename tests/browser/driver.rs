//! Chromium, as a person would use it: through WebDriver.
//!
//! Nothing here sleeps; whatever is expected is waited for.

use axum::http::Method;
use fantoccini::elements::Element;
use fantoccini::key::Key;
use fantoccini::wd::WebDriverCompatibleCommand;
use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::ops::Deref;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;
use url::{ParseError, Url};

/// A running chromedriver, which ends its browsers with itself.
pub struct Driver {
    program: Child,
    port: u16,
}

const MISSING: &str =
    "chromedriver cannot be started: install Debian's chromium and chromium-driver";
const PATIENCE: Duration = Duration::from_secs(30);

impl Driver {
    /// Two drivers started at once may pick the same port: the later one ends
    /// and is started again.
    pub fn start() -> Self {
        (0..20).find_map(|_| Self::try_start()).expect("chromedriver finds a port")
    }

    fn try_start() -> Option<Self> {
        let mut command = Command::new("chromedriver");
        command.arg("--port=0").stdout(Stdio::piped()).stderr(Stdio::null());
        let mut program = command.spawn().expect(MISSING);
        let lines = BufReader::new(program.stdout.take().expect("a pipe")).lines();
        let mut lines = lines.map(|line| line.expect("text"));
        let started = |line: String| {
            let (_, port) = line.split_once("started successfully on port ")?;
            Some(port.trim_end_matches('.').parse().expect("a port"))
        };
        let Some(port) = lines.find_map(started) else {
            program.wait().expect("it has ended");
            return None;
        };
        // Reads on, lest the program waits for a reader.
        std::thread::spawn(move || lines.for_each(drop));
        Some(Self { program, port })
    }

    /// A browser of its own with this page open.
    pub async fn open(&self, url: &str) -> Page {
        let profile = TempDir::new().expect("a directory");
        let options = json!({"args": [
            "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
            "--disable-background-networking", "--disable-component-update", "--disable-sync",
            "--window-size=1280,800", format!("--user-data-dir={}", profile.path().display()),
        ]});
        let wishes = json!({"browserName": "chrome", "goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}});
        let Value::Object(wishes) = wishes else { unreachable!("an object") };
        let mut builder = ClientBuilder::new(HttpConnector::new());
        builder.capabilities(wishes);
        let browser = builder.connect(&format!("http://127.0.0.1:{}", self.port)).await;
        let browser = browser.expect("chromium starts: is Debian's chromium installed?");
        browser.goto(url).await.expect("the page loads");
        Page { browser, _profile: profile }
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        // Asked like this it ends the browsers that a failed test has left open.
        if let Ok(mut socket) = TcpStream::connect(("127.0.0.1", self.port)) {
            let request = "GET /shutdown HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
            let _asked = socket.write_all(request.as_bytes());
            let _answered = socket.read_to_end(&mut Vec::new());
        }
        let _may_have_ended = self.program.kill();
        let _reaped = self.program.wait();
    }
}

/// One browser with one page.
pub struct Page {
    browser: Client,
    _profile: TempDir,
}

impl Deref for Page {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.browser
    }
}

impl Page {
    /// Waits for an element.
    pub async fn see(&self, css: &str) -> Element {
        let found = self.wait().at_most(PATIENCE).every(POLL).for_element(Locator::Css(css)).await;
        found.unwrap_or_else(|error| panic!("{css} was not seen: {error}"))
    }

    /// Waits until a condition in XPath holds for the page as a whole.
    pub async fn until(&self, condition: &str) {
        let path = format!("/html[{condition}]");
        let search = Locator::XPath(&path);
        let found = self.wait().at_most(PATIENCE).every(POLL).for_element(search).await;
        if let Err(error) = found {
            let text = self.text("body").await;
            panic!("{condition} did not come true: {error}; the page shows\n{text}");
        }
    }

    pub async fn text(&self, css: &str) -> String {
        let element = self.find(Locator::Css(css)).await.expect("an element");
        element.text().await.expect("text")
    }

    pub async fn click(&self, css: &str) {
        self.see(css).await.click().await.expect("can be clicked");
    }

    /// Writes into a field, instead of what was in it, and presses Enter.
    pub async fn enter(&self, css: &str, text: &str) {
        let field = self.see(css).await;
        field.clear().await.expect("can be cleared");
        field.send_keys(text).await.expect("can be written to");
        field.send_keys(&char::from(Key::Enter).to_string()).await.expect("Enter");
    }

    /// What a script returns.
    pub async fn run(&self, script: &str) -> Value {
        self.execute(script, Vec::new()).await.expect("the script runs")
    }

    pub async fn leave(self) {
        self.browser.close().await.expect("the browser ends");
    }
}

const POLL: Duration = Duration::from_millis(50);

impl Page {
    /// Gives the page another window, without a window manager in between.
    pub async fn emulate(&self, size: Value) {
        let command = Emulate(json!({"cmd": "Emulation.setDeviceMetricsOverride", "params": size}));
        self.issue_cmd(command).await.expect("the window changes");
    }

    /// What the browser has complained about since it was last asked: blocked by a policy, not found, thrown.
    pub async fn console(&self) -> Vec<String> {
        let entries = self.issue_cmd(Console).await.expect("the console is read");
        let entries = entries.as_array().cloned().unwrap_or_default();
        entries.iter().map(|entry| format!("{} {}", entry["level"], entry["message"])).collect()
    }

    pub async fn press_escape(&self) {
        let focused = self.active_element().await.expect("something has the focus");
        focused.send_keys(&char::from(Key::Escape).to_string()).await.expect("Escape");
    }
}

/// Chromium's own command for what WebDriver lacks.
#[derive(Debug)]
struct Emulate(Value);

impl WebDriverCompatibleCommand for Emulate {
    fn endpoint(&self, base: &Url, session: Option<&str>) -> Result<Url, ParseError> {
        base.join(&format!("session/{}/goog/cdp/execute", session.unwrap_or_default()))
    }

    fn method_and_body(&self, _: &Url) -> (Method, Option<String>) {
        (Method::POST, Some(self.0.to_string()))
    }
}

/// What has been written to the console of the page.
#[derive(Debug)]
struct Console;

impl WebDriverCompatibleCommand for Console {
    fn endpoint(&self, base: &Url, session: Option<&str>) -> Result<Url, ParseError> {
        base.join(&format!("session/{}/se/log", session.unwrap_or_default()))
    }

    fn method_and_body(&self, _: &Url) -> (Method, Option<String>) {
        (Method::POST, Some(json!({"type": "browser"}).to_string()))
    }
}
