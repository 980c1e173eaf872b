//! `scripts/compare` with servers and a generator that only pretend.

#![allow(missing_docs, clippy::unwrap_used, reason = "a test that cannot go on may panic")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};
use tempfile::TempDir;

/// Says where it listens as the baselines do, and stays.
const BASELINE: &str = "#!/bin/sh
echo $$ >>PROGRAMS/pids
echo \"listening 127.0.0.1:PORT pid $$\"
exec tail -f /dev/null
";
/// The same as the gateway says it, on stderr and not at once.
const GATEWAY: &str = "#!/bin/sh
echo $$ >>PROGRAMS/pids
echo '{\"message\":\"starting\"}' >&2
echo '{\"message\":\"listening\",\"websocket\":\"127.0.0.1:2\",\"http\":\"127.0.0.1:3\"}' >&2
exec tail -f /dev/null
";
/// Takes the arguments that the real one takes, in the order of the script,
/// and measures what the port stands for. The second time it is the limit of
/// port 2, and it cannot measure port 4 at all.
const GENERATOR: &str = "#!/bin/bash
[[ $1 == echo && $2 == --url && $4 == -c && $6 == -d && $8 == --warmup ]] || exit 104
[[ ${10} == --server-pid && ${12} == --json ]] || exit 104
kill -0 ${11} || exit 1
echo \"$3 $5 $7 $9 ${*:14}\" >>PROGRAMS/calls
valid=true
case $3 in
    ws://127.0.0.1:1/) samples=1000,500,3000 ;;
    ws://127.0.0.1:2/echo) samples=900,900
        [[ ${13} == *.2.json ]] && valid=false ;;
    ws://127.0.0.1:4/) exit 1 ;;
    *) exit 104 ;;
esac
figure=echo.messages_per_server_cpu_second
printf '{\"figures\":[{\"name\":\"other\",\"samples\":[1],\"valid\":true},
    {\"name\":\"%s\",\"samples\":[%s],\"valid\":%s}],\"loads\":[{\"latency\":{\"corrected\":
    {\"p50_us\":1500,\"p99_us\":2000000}}}]}' $figure $samples $valid >${13}
[[ $valid == true ]] || exit 106
";

struct Stage(TempDir);

impl Stage {
    fn new() -> Self {
        let stage = Self(tempfile::tempdir().unwrap());
        let baselines = [("bare", "1"), ("fastwebsockets-echo", "4")];
        for (name, port) in baselines {
            stage.put(name, &BASELINE.replace("PORT", port));
        }
        stage.put("millgate", GATEWAY);
        stage.put("millgate-bench", GENERATOR);
        stage
    }

    fn put(&self, name: &str, script: &str) {
        let path = self.0.path().join(name);
        let script = script.replace("PROGRAMS", self.0.path().to_str().unwrap());
        fs::write(&path, script).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn compare(&self, arguments: &[&str]) -> Output {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/compare");
        let mut command = Command::new(script);
        // From another folder: relative paths are those of the caller.
        command.current_dir(self.0.path()).args(["-b", ".", "-o", "results"]);
        command.args(arguments).output().unwrap()
    }

    fn lines(&self, name: &str) -> Vec<String> {
        let text = fs::read_to_string(self.0.path().join(name)).unwrap();
        text.lines().map(str::to_owned).collect()
    }

    fn nobody_is_left(&self) {
        for pid in self.lines("pids") {
            assert!(!Path::new("/proc").join(&pid).exists(), "{pid} still runs");
        }
    }
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn rounds_are_interleaved_and_summed_up() {
    let stage = Stage::new();
    let output =
        stage.compare(&["-r", "3", "-c", "10", "-d", "1s", "-w", "0s", "bare", "millgate"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let bare = "ws://127.0.0.1:1/ 10 1s 0s --raw -t 1";
    let gateway = "ws://127.0.0.1:2/echo 10 1s 0s -t 1";
    assert_eq!(stage.lines("calls"), [gateway, bare, bare, gateway, gateway, bare]);
    assert_eq!(stage.lines("pids").len(), 6, "each is started anew");
    stage.nobody_is_left();

    let summary = text(&output.stdout);
    let rows: Vec<Vec<&str>> =
        summary.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[1][..6], ["bare", "1,000", "1.000", "(1.000", "to", "1.000)"]);
    assert_eq!(rows[2][..6], ["millgate", "900", "0.900", "(0.900", "to", "0.900)"]);
    assert!(summary.contains("   p50 1.5 ms, p99 2,000.0 ms\n"), "{summary}");
    assert!(summary.contains("p99 2,000.0 ms   INVALID in 1 of 3"), "{summary}");
    assert_eq!(stage.lines("results/summary.txt").join("\n"), summary.trim_end());
}

#[test]
fn a_rate_is_handed_to_the_generator() {
    let stage = Stage::new();
    let output = stage.compare(&["-r", "1", "-R", "60k", "bare"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(stage.lines("calls"), ["ws://127.0.0.1:1/ 10k 5s 2s --raw -R 60k -t 1"]);
}

#[test]
fn the_bare_loop_is_always_measured() {
    let stage = Stage::new();
    let output = stage.compare(&["-r", "1", "millgate"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(stage.lines("calls").len(), 2);
}

#[test]
fn a_failed_measurement_ends_it_and_leaves_nobody() {
    let stage = Stage::new();
    let output = stage.compare(&["-r", "1", "bare", "fastwebsockets"]);
    assert_eq!(output.status.code(), Some(1));
    let complaint = "compare: round 1 of fastwebsockets: millgate-bench ended with 1";
    assert!(text(&output.stderr).contains(complaint), "{}", text(&output.stderr));
    stage.nobody_is_left();
}

#[test]
fn a_server_that_does_not_start_ends_it() {
    let stage = Stage::new();
    stage.put("bare", "#!/bin/sh\necho 'bare: no luck' >&2\nexit 1\n");
    let output = stage.compare(&["-r", "1", "bare"]);
    assert_eq!(output.status.code(), Some(1));
    let complaint = "did not say where it listens; the last it said: bare: no luck";
    assert!(text(&output.stderr).contains(complaint), "{}", text(&output.stderr));
}

#[test]
fn nonsense_is_refused() {
    let stage = Stage::new();
    for (arguments, complaint) in [
        (&["nginx"][..], "no server is called 'nginx'"),
        (&["-r", "0"], "-r takes 1 to 999 rounds, not '0'"),
        (&["-x"], "-r ROUNDS"),
    ] {
        let output = stage.compare(arguments);
        assert!(!output.status.success());
        assert!(text(&output.stderr).contains(complaint), "{}", text(&output.stderr));
    }
}
