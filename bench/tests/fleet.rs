//! The lab against three nodes of one cluster, with a real Redis.

#![allow(missing_docs, dead_code, unreachable_pub, reason = "tests")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on may panic")]

use millgate::config::{self, Config};
use millgate::gateway::Gateway;
use millgate::logging::DroppedLines;
use serde_json::Value;
use std::process::Command;

#[path = "../../tests/cluster/redis.rs"]
mod redis;

/// What the Redis of the gateway's own tests waits with.
mod nodes {
    use millgate::clock::Clock;
    use std::time::Duration;

    pub fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
        let clock = Clock::start();
        while !is_so() {
            assert!(clock.now() < Duration::from_secs(30), "never: {what}");
            std::thread::yield_now();
        }
    }
}

fn node(redis: &redis::Redis) -> Gateway {
    let mut config = Config::default();
    config.listen.websocket = "127.0.0.1:0".parse().unwrap();
    config.listen.http = "127.0.0.1:0".parse().unwrap();
    config.listen.grpc = "127.0.0.1:0".parse().unwrap();
    config.announce.exact_up_to = 0;
    config.redis = Some(config::Redis { addr: redis.addr(), ..config::Redis::default() });
    Gateway::start(config, DroppedLines::default()).unwrap()
}

fn knows_both_others(gateway: &Gateway) -> bool {
    let url = format!("http://{}/metrics", gateway.http_addr());
    let mut answer = ureq::get(url).call().unwrap();
    answer.body_mut().read_to_string().unwrap().contains("millgate_peers{state=\"up\"} 2")
}

/// Runs a command against all of them.
fn run(nodes: &[Gateway], arguments: &[&str]) -> Value {
    let folder = tempfile::tempdir().unwrap();
    let json = folder.path().join("result.json");
    let mut command = Command::new(env!("CARGO_BIN_EXE_millgate-bench"));
    command.args(arguments).args(["-c", "300", "-d", "1s", "--warmup", "200ms", "--no-tui"]);
    for node in nodes {
        command.args(["--url", &format!("ws://{}/acc", node.websocket_addr())]);
    }
    command.arg("--json").arg(&json);
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    // 106: the generator was the limit, which is a matter of this machine's load.
    assert!(matches!(output.status.code(), Some(0 | 106)), "{arguments:?}: {text}");
    serde_json::from_str(&std::fs::read_to_string(json).unwrap()).unwrap()
}

#[test]
fn users_of_all_nodes_get_messages_that_enter_at_others() {
    let redis = redis::Redis::start();
    let gateways = [node(&redis), node(&redis), node(&redis)];
    for gateway in &gateways {
        nodes::eventually("all nodes know each other", || knows_both_others(gateway));
    }
    let doors = gateways.each_ref().map(|gateway| format!("http://{}", gateway.http_addr()));
    let mut chat = vec!["chat", "--across", "--mix", "unicast=1", "-R", "900", "--senders", "3"];
    chat.extend(["--batch", "20", "--http", &doors[0], "--http", &doors[1], "--http", &doors[2]]);
    let result = run(&gateways, &chat);
    let messages = &result["messages"];
    assert!(messages["sent"].as_u64() > Some(500), "{messages}");
    assert_eq!((&messages["sent"], &messages["lost"]), (&messages["received"], &0.into()));
    for flaw in ["duplicates", "misdelivered", "out_of_order"] {
        assert_eq!(messages[flaw], 0, "{flaw}");
    }

    let fanout = ["fanout", "--http", &doors[1], "--rounds", "2", "--probes", "0"];
    let result = run(&gateways, &fanout);
    for round in result["fanout"]["rounds"].as_array().unwrap() {
        assert_eq!((&round["received"], &round["lost"]), (&300.into(), &0.into()));
        let firsts = round["first_by_url_us"].as_array().unwrap();
        assert_eq!(firsts.len(), 3);
        // The first of all is rounded down, as every time in a histogram.
        assert!(firsts.iter().all(|first| first.as_u64() >= round["first_us"].as_u64()), "{round}");
    }
    for gateway in gateways {
        gateway.stop();
    }
}
