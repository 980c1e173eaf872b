//! The API does what its description says, whatever it is asked: a
//! property-based tester (Schemathesis) reads `/openapi.json` and makes up requests.

#![allow(missing_docs, clippy::unwrap_used, reason = "a test that cannot go on may panic")]

use millgate::config::Config;
use millgate::gateway::Gateway;
use millgate::logging::DroppedLines;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// Requests made up for each route.
const EXAMPLES: &str = "60";

#[test]
fn every_route_answers_as_described() {
    let mut config = Config::default();
    config.listen.websocket = SocketAddr::from(([127, 0, 0, 1], 0)).into();
    config.listen.http = SocketAddr::from(([127, 0, 0, 1], 0));
    config.reactor.threads = 1;
    config.reactor.pin = false;
    config.stop.timeout = Duration::from_millis(300);
    let gateway = Gateway::start(config, DroppedLines::default()).unwrap();
    let tester = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools/bin/schemathesis");
    assert!(tester.exists(), "{} is missing; scripts/test installs it", tester.display());
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new(tester)
        .args(["run", &format!("http://{}/openapi.json", gateway.http_addr())])
        .args(["--checks", "all", "--max-examples", EXAMPLES, "--seed", "1"])
        // What is missing is zero or empty, as in the reference: no request is refused for it.
        .args(["--exclude-checks", "negative_data_rejection"])
        .current_dir(folder.path())
        .env("NO_COLOR", "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let end = said.chars().rev().take(6_000).collect::<Vec<_>>().into_iter().rev();
    assert!(output.status.success(), "{}", end.collect::<String>());
    gateway.stop();
}
