//! The house rules that no compiler knows: who may import whom, which crate
//! belongs into which room, where the time is read, how long a file may be.

#![allow(missing_docs, clippy::unwrap_used, reason = "a test that cannot go on may panic")]

use std::fs;
use std::path::{Path, PathBuf};

#[path = "tidy/source.rs"]
mod source;

use source::Source;

/// The rooms from the top down. A room imports from rows below its own: two in
/// one row never see each other. `src/lib.rs` lists them in this order.
///
/// `hub` stands above `command` because it sends pushes, whose encoding is
/// `command::push`. Logging is a word that everybody may say through
/// `tracing`; only the door sets it up.
const ROWS: [&[&str]; 12] = [
    &["gateway"],
    &["control", "reactor"],
    &["hub"],
    &["command"],
    &["connection"],
    &["link"],
    &["websocket"],
    &["auth"],
    &["host"],
    &["logging"],
    &["config", "session"],
    &["address", "clock", "envelope", "id", "limits", "metrics"],
];

/// Crates that stay in some rooms.
const CONFINED: [(&[&str], &[&str]); 2] = [
    (&["tokio", "axum", "tonic", "redis"], &["src/control/"]),
    (&["mio", "slab"], &["src/reactor/", "src/link/"]),
];

/// The files that may be unsafe, each for system calls that have no safe wrapper.
const UNSAFE: [&str; 2] = ["src/host/fd_table.rs", "bench/src/swarm/no_port.rs"];

const LINES_MAX: usize = 800;

/// Words that say nothing about what a thing is.
const EMPTY_WORDS: [&str; 8] =
    ["manager", "managers", "handler", "handlers", "helper", "helpers", "util", "utils"];

#[test]
fn imports_run_strictly_downward() {
    hold(&["src"], imports);
}

#[test]
fn every_room_of_the_drawing_has_its_row() {
    let lib = fs::read_to_string(root().join("src/lib.rs")).unwrap();
    let listed: Vec<&str> =
        lib.lines().filter_map(|line| line.strip_prefix("pub mod ")?.split(';').next()).collect();
    let ranks: Vec<Option<usize>> = listed.iter().map(|room| row_of(room)).collect();
    assert!(ranks.iter().all(Option::is_some), "a room without a row: {listed:?}");
    assert_eq!(listed.len(), ROWS.concat().len(), "a row without a room: {listed:?}");
    let words = row_of("logging").unwrap();
    let rooms: Vec<_> = ranks.into_iter().flatten().filter(|row| *row < words).collect();
    assert!(rooms.is_sorted(), "src/lib.rs is not drawn from the top down: {listed:?}");
}

#[test]
fn crates_stay_in_their_rooms() {
    hold(&["src"], confined_crates);
}

/// `{:?}` of a type is for its authors; operators read words.
#[test]
fn log_lines_have_no_debug_text() {
    hold(&["src"], debug_fields);
}

/// An error in code that both share would agree with itself.
#[test]
fn the_load_generator_shares_no_protocol_with_the_gateway() {
    // Its tests start a gateway to aim at.
    hold(&["bench/src", "bench/baseline"], gateway_code);
}

#[test]
fn only_named_files_are_unsafe() {
    hold(&["src", "tests", "bench", "benches"], unsafe_code);
}

#[test]
fn only_the_clock_reads_the_time() {
    hold(&["src", "tests"], time_reads);
}

#[test]
fn tests_never_sleep() {
    hold(&["tests"], sleeps);
}

#[test]
fn every_exemption_has_a_reason() {
    hold(&["src", "tests", "bench", "benches"], exemptions);
}

#[test]
fn names_say_what_a_thing_is() {
    hold(&["src", "tests", "bench", "benches"], empty_names);
}

#[test]
fn files_are_short_and_begin_with_what_they_are() {
    hold(&["src", "tests", "bench", "benches"], shape);
}

/// Each rule refuses what it is there to refuse, and nothing else.
#[test]
fn every_rule_can_fail() {
    type Rule = fn(&Source) -> Vec<String>;
    let long = format!("//! A\n{}", "fn a() {}\n".repeat(LINES_MAX));
    let cases: [(Rule, &str, &str); 32] = [
        (gateway_code, "bench/src/a.rs", "use millgate::websocket::frame;"),
        (gateway_code, "bench/src/a.rs", "use millgate::{host, command};"),
        (gateway_code, "bench/src/a.rs", "use millgate::clock::Clock;"),
        (gateway_code, "bench/baseline/src/a.rs", "use millgate::reactor::probe;"),
        (imports, "src/reactor/a.rs", "use crate::control::Parts;"),
        (imports, "src/control/a.rs", "fn a() { crate::reactor::spawn(); }"),
        (imports, "src/link/a.rs", "use crate::{id::AppId, hub::{Hub}};"),
        (imports, "src/websocket/a.rs", "use super::super::link::Mail;"),
        (imports, "src/id.rs", "use crate::session::User;"),
        (imports, "src/id.rs", "use super::session::User;"),
        (imports, "src/config/a.rs", "use crate::gateway::Gateway;"),
        (imports, "src/link/a.rs", "use millgate::hub::Hub;"),
        (confined_crates, "src/reactor/a.rs", "use tokio::net::TcpStream;"),
        (confined_crates, "src/gateway.rs", "fn a() -> axum::Router {}"),
        (confined_crates, "src/control/a.rs", "use ::mio::Poll;"),
        (confined_crates, "src/hub/a.rs", "use slab::Slab;"),
        (debug_fields, "src/a.rs", "tracing::info!(%a, ?b, \"c\");"),
        (debug_fields, "src/a.rs", "info!(a = ?b.c, \"d\")"),
        (unsafe_code, "src/link/a.rs", "fn a() { unsafe { b() } }"),
        (unsafe_code, "tests/a.rs", "unsafe fn a() {}"),
        (time_reads, "src/reactor/a.rs", "let a = std::time::Instant::now();"),
        (time_reads, "src/hub/a.rs", "let a = SystemTime::now();"),
        (sleeps, "tests/a.rs", "std::thread::sleep(a);"),
        (sleeps, "tests/a.rs", "tokio::time::sleep(a).await;"),
        (exemptions, "src/a.rs", "#[allow(dead_code)] fn a() {}"),
        (exemptions, "src/a.rs", "#![expect(a, reason = \"\")]"),
        (empty_names, "src/a.rs", "struct LoginHandler;"),
        (empty_names, "src/a.rs", "fn string_utils() {}"),
        (empty_names, "src/util/a.rs", "fn a() {}"),
        (shape, "src/a.rs", "use std::fs;"),
        (shape, "src/a.rs", long.as_str()),
        (shape, "tests/a.rs", long.as_str()),
    ];
    for (rule, path, text) in cases {
        let found = rule(&Source::new(path, text));
        assert_eq!(found.len(), 1, "{path}: {text}: {found:?}");
        assert!(found[0].starts_with(path), "{found:?}");
    }
    let fine: [(Rule, &str, &str); 14] = [
        (gateway_code, "bench/src/a.rs", "use millgate::host::kernel; use millgate_bench::units;"),
        (gateway_code, "bench/baseline/src/a.rs", "use millgate::clock::Clock;"),
        (imports, "src/hub/a.rs", "use crate::command::push; use super::Router;"),
        (imports, "src/websocket/a.rs", "//! as [`crate::reactor`]\nuse super::frame;"),
        (imports, "src/id.rs", "#[cfg(test)]\nmod tests { use super::session; }"),
        (imports, "src/main.rs", "use millgate::gateway::Gateway;"),
        (confined_crates, "src/hub/a.rs", "let tokio = 1; // tokio::spawn\nlet a = \"mio::Poll\";"),
        (unsafe_code, "src/a.rs", "#![deny(unsafe_code)] // unsafe\nlet a = r#\"unsafe \" fn\"#;"),
        (debug_fields, "src/a.rs", "fn a<T: ?Sized>(b: &T) -> C { d(e?, f)?; \"?g\" }"),
        (time_reads, "src/clock.rs", "Instant::now()"),
        (sleeps, "tests/a.rs", "let a = 'x'; let b = '\\''; f::<'a>(\"thread::sleep(\");"),
        (exemptions, "src/a.rs", "#[allow(a, b, reason = \"c\")] #[must_use] fn allow(b: u8) {}"),
        (empty_names, "src/a.rs", "use figment::util::nest; fn utility() {}"),
        (shape, "src/a.rs", "//! A room."),
    ];
    for (rule, path, text) in fine {
        assert_eq!(rule(&Source::new(path, text)), Vec::<String>::new(), "{path}: {text}");
    }
}

fn imports(source: &Source) -> Vec<String> {
    let Some(room) = source.room() else { return Vec::new() };
    let Some(own) = row_of(room) else { return Vec::new() };
    let mut found = Vec::new();
    for (line, name) in source.imports() {
        let Some(row) = row_of(&name) else { continue };
        if name != room && row <= own {
            found.push(source.complain(line, &format!("`{room}` may not import from `{name}`")));
        }
    }
    found
}

fn confined_crates(source: &Source) -> Vec<String> {
    let mut found = Vec::new();
    for (crates, rooms) in CONFINED {
        if rooms.iter().any(|room| source.path().starts_with(room)) {
            continue;
        }
        for (line, name) in source.path_heads() {
            if crates.contains(&name) {
                let message = format!("`{name}` belongs into {}", rooms.join(", "));
                found.push(source.complain(line, &message));
            }
        }
    }
    found
}

fn debug_fields(source: &Source) -> Vec<String> {
    source.complain_of_debug_fields("say it in words: `?field` logs Debug text")
}

fn unsafe_code(source: &Source) -> Vec<String> {
    let words = source.words().filter(|(_, word)| *word == "unsafe");
    let outside = words.filter(|_| !UNSAFE.contains(&source.path()));
    let message = format!("unsafe outside {}", UNSAFE.join(" and "));
    outside.map(|(line, _)| source.complain(line, &message)).collect()
}

fn gateway_code(source: &Source) -> Vec<String> {
    let foreign = source.path_heads().filter(|(_, name)| *name == "millgate").count();
    // The baselines' own measurement, of `bare send`, asks for the time.
    let is_baseline = source.path().starts_with("bench/baseline/");
    let allowed =
        if is_baseline { &["millgate::host", "millgate::clock"][..] } else { &["millgate::host"] };
    if foreign > source.complain_of(allowed, "").len() {
        return vec![source.complain(1, &format!("may use {} alone", allowed.join(" and ")))];
    }
    Vec::new()
}

fn time_reads(source: &Source) -> Vec<String> {
    if source.path() == "src/clock.rs" {
        return Vec::new();
    }
    let reads = ["Instant::now", "SystemTime::now"];
    source.complain_of(&reads, "the time is read in src/clock.rs alone")
}

fn sleeps(source: &Source) -> Vec<String> {
    let sleeps = ["thread::sleep", "time::sleep"];
    source.complain_of(&sleeps, "block on what you wait for, with a deadline")
}

fn exemptions(source: &Source) -> Vec<String> {
    let mut found = Vec::new();
    for (line, attribute) in source.attributes() {
        let exempts = attribute.starts_with("allow(") || attribute.starts_with("expect(");
        let why = attribute.split_once("reason = \"").is_some_and(|(_, why)| !why.starts_with('"'));
        if exempts && !why {
            found.push(source.complain(line, "an exemption without a reason"));
        }
    }
    found
}

fn empty_names(source: &Source) -> Vec<String> {
    let mut found = Vec::new();
    let of_path = source.path().split(['/', '.']).map(|name| (1, name));
    for (line, name) in of_path.chain(source.declared()) {
        if let Some(word) = words_of(name).find(|word| EMPTY_WORDS.contains(&word.as_str())) {
            found.push(source.complain(line, &format!("`{name}`: \"{word}\" says nothing")));
        }
    }
    found
}

fn shape(source: &Source) -> Vec<String> {
    let mut found = Vec::new();
    if !source.text().starts_with("//! ") {
        found.push(source.complain(1, "a file begins with a `//!` line that says what it is"));
    }
    let lines = source.text().lines().count();
    if lines > LINES_MAX {
        found.push(source.complain(LINES_MAX + 1, &format!("{lines} lines, {LINES_MAX} allowed")));
    }
    found
}

/// The words of `snake_case` and `CamelCase`, in lower case.
fn words_of(name: &str) -> impl Iterator<Item = String> {
    let mut spaced = String::new();
    for letter in name.chars() {
        if letter.is_uppercase() {
            spaced.push('_');
        }
        spaced.extend(letter.to_lowercase());
    }
    spaced.split('_').map(str::to_owned).collect::<Vec<_>>().into_iter()
}

fn row_of(room: &str) -> Option<usize> {
    ROWS.iter().position(|row| row.contains(&room))
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Holds every source file under these folders to a rule.
fn hold(folders: &[&str], rule: impl Fn(&Source) -> Vec<String>) {
    let mut files = Vec::new();
    for folder in folders {
        collect(&root().join(folder), &mut files);
    }
    assert!(!files.is_empty(), "nothing to look at in {folders:?}");
    files.sort();
    let complaints = files.iter().flat_map(|file| {
        let path = file.strip_prefix(root()).unwrap().to_str().unwrap();
        rule(&Source::new(path, &fs::read_to_string(file).unwrap()))
    });
    let complaints: Vec<String> = complaints.collect();
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        // A crate of its own, as the baselines, may be built in its own folder.
        if path.is_dir() && !path.ends_with("target") {
            collect(&path, files);
        } else if path.is_file() && path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}
