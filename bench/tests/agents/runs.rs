//! Runs on two agents: what is shared, what is merged, and what an early end leaves.

use crate::agent::Agent;
use crate::lab::{Echo, Lead, both};
use millgate_bench::stats::histogram::Histogram;
use rustix::process::{Pid, Signal, kill_process};

const KEY: &str = "a key of more than sixteen bytes";

fn agents() -> [Agent; 2] {
    [Agent::start(None), Agent::start(None)]
}

#[test]
fn two_agents_do_together_what_was_asked_of_one() {
    let (agents, server) = (agents(), Echo::start());
    let both = both(&agents);
    let line = ["echo", "--url", &server.url, "-c", "21", "-R", "200", "--warmup", "0s"];
    let more = ["--duration", "1s", "--stretches", "2", "--agents", &both, "--slo", "p99<1h"];
    let (code, result, said) = Lead::start(&[&line[..], &more].concat()).end();
    // 106: the generators were the limit, which is a matter of this machine's load.
    assert!(matches!(code, Some(0 | 106)), "{code:?}: {said}");
    assert_eq!(result.objectives.len(), 1);
    assert_eq!((result.connections.opened, result.connections.asked), (21, 21));
    assert_eq!((result.messages.lost, result.messages.duplicates), (0, 0));
    assert_eq!(result.messages.sent, result.messages.received);
    assert!(result.arguments.contains(&"--agents".to_owned()));
    let [point] = &result.loads[..] else { panic!("{:?}", result.loads) };
    assert_eq!((point.connections, point.active, point.offered_per_s), (21, 21, Some(200.0)));
    let latency = Histogram::from_quantiles(&point.latency.corrected).unwrap();
    assert_eq!(latency.count(), point.latency.corrected.count);
    assert!(latency.count() > 0 && latency.count() <= result.messages.received);
    // One figure of each name, with a sample for each stretch: nothing had to stay apart.
    for name in ["echo.messages_per_second", "echo.p50", "echo.p99"] {
        assert_eq!(result.figure(name).unwrap().samples.len(), 2, "{name}");
    }
    assert!(result.figures.iter().all(|figure| !figure.name.contains('@')));
    assert!(result.notes[0].contains("2 generators began within"), "{:?}", result.notes);
    for agent in &agents {
        assert!(said.contains(&format!("{} │ ", agent.address)), "{said}");
        let began = format!("{}: began ", agent.address);
        assert!(result.notes.iter().any(|note| note.starts_with(&began)), "{:?}", result.notes);
    }
}

#[test]
fn a_key_that_both_know_opens_and_an_agent_serves_one_run_after_the_other() {
    let (agent, server) = (Agent::start(Some(KEY)), Echo::start());
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key");
    std::fs::write(&file, format!("{KEY}\n")).unwrap();
    let file = file.to_str().unwrap();
    for _ in 0..2 {
        let line = ["hold", "--url", &server.url, "-c", "3", "--duration", "0s"];
        let more = ["--agents", &agent.address, "--agent-key-file", file];
        let (code, result, said) = Lead::start(&[&line[..], &more].concat()).end();
        assert_eq!((code, result.connections.opened), (Some(0), 3), "{said}");
    }
}

#[test]
fn a_storm_strikes_on_all_hosts_and_its_curves_add_up() {
    let (agents, server) = (agents(), Echo::start());
    let both = both(&agents);
    let line = ["storm", "--url", &server.url, "-c", "20", "--share", "50", "--warmup", "0s"];
    let more = ["--duration", "0s", "--probes", "0", "--agents", &both];
    let (code, result, said) = Lead::start(&[&line[..], &more].concat()).end();
    assert_eq!(code, Some(0), "{said}");
    let storm = result.storm.unwrap();
    assert_eq!(
        (storm.before, storm.dropped, storm.returned, storm.survivors_lost),
        (20, 10, 10, 0)
    );
    assert_eq!(storm.curve.last().unwrap().returned, 10);
    assert!(storm.all_s.is_some());
}

fn endless(server: &Echo, agents: &str) -> Lead {
    let line = ["hold", "--url", &server.url, "-c", "8", "--duration", "1h", "--agents", agents];
    let mut lead = Lead::start(&line);
    lead.until("holding");
    lead.until("holding");
    lead
}

#[test]
fn an_interrupted_run_reports_what_was_measured() {
    let (agents, server) = (agents(), Echo::start());
    let lead = endless(&server, &both(&agents));
    kill_process(Pid::from_raw(lead.pid()).unwrap(), Signal::INT).unwrap();
    let (code, result, said) = lead.end();
    assert_eq!((code, result.connections.opened), (Some(105), 8), "{said}");
}

#[test]
fn an_agent_that_dies_is_named_and_ends_the_run() {
    let (mut agents, server) = (agents(), Echo::start());
    let lead = endless(&server, &both(&agents));
    agents[1].kill();
    let (code, result, said) = lead.end();
    assert_eq!((code, result.connections.opened), (Some(1), 4), "{said}");
    let complaint = format!("millgate-bench: agent {}: ", agents[1].address);
    assert!(said.contains(&complaint), "{said}");
    let name = &agents[1].address;
    assert!(result.notes.iter().any(|note| note.contains(&format!("{name} failed"))));
}

#[test]
fn a_job_ends_with_its_coordinator() {
    let (agents, server) = (agents(), Echo::start());
    let lead = endless(&server, &both(&agents));
    kill_process(Pid::from_raw(lead.pid()).unwrap(), Signal::KILL).unwrap();
    // The next one waits for nobody longer than the kernel needs to end a process.
    let line = ["hold", "--url", &server.url, "-c", "4", "--duration", "0s"];
    let again = || {
        let lead = Lead::start(&[&line[..], &["--agents", &both(&agents)]].concat());
        lead.outcome()
    };
    let done = std::iter::repeat_with(again).take(500).find(|(_, said)| !said.contains("is busy"));
    assert_eq!(done.map(|(code, _)| code), Some(Some(0)));
}
