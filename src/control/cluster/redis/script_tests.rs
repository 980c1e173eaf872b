//! The script against a real server: every verb, every kind of old record.

use super::super::super::testing::RedisServer;
use super::*;

const KEY: &str = "acc:user:online:101_ua";
const HERE: &str = "10.0.0.1:9001";

/// Runs a verb for the user `ua` and says who held it.
fn run(server: &RedisServer, verb: Verb) -> Option<NodeAddr> {
    let records = Records::new(NodeAddr::parse(HERE).unwrap());
    let command = records.command(AppId(101), "ua", verb, None, false);
    rival(&server.try_ask(&command).unwrap()).map(|rival| rival.node)
}

fn arrive() -> Verb {
    Verb::Arrive(Some("203.0.113.7:24442".parse().unwrap()))
}

fn set(server: &RedisServer, record: &str) {
    server.ask::<()>(&["SET", KEY, record]);
}

/// A record as a Go node writes it.
fn foreign(beat: u64, is_logoff: bool) -> String {
    format!(
        r#"{{"accIp":"10.0.0.2","accPort":"9001","appID":101,"userID":"ua","clientIp":"198.51.100.9:1","clientPort":"","loginTime":17,"heartbeatTime":{beat},"logOutTime":0,"qua":"","deviceInfo":"","isLogoff":{is_logoff}}}"#
    )
}

fn own(client: &str, times: [u64; 3], is_logoff: bool) -> String {
    let [login, beat, logout] = times;
    format!(
        r#"{{"accIp":"10.0.0.1","accPort":"9001","appID":101,"userID":"ua","clientIp":"{client}","clientPort":"","loginTime":{login},"heartbeatTime":{beat},"logOutTime":{logout},"qua":"","deviceInfo":"","isLogoff":{is_logoff}}}"#
    )
}

/// The record is `of(now)`, but for the login's milliseconds; the second may change while
/// a test runs.
fn assert_record(server: &RedisServer, of: impl Fn(u64) -> String) {
    let (mut found, now) = (server.get(KEY).unwrap(), server.time());
    if let Some(at) = found.find(",\"loginMs\"") {
        found.replace_range(at..found.len() - 1, "");
    }
    assert!((now - 2..=now).any(|now| of(now) == found), "{found}\nnot {}", of(now));
    let seconds: i64 = server.ask(&["TTL", KEY]);
    assert!((86_390..=86_400).contains(&seconds), "{seconds}");
}

#[tokio::test]
async fn an_arrival_takes_the_record_and_names_who_had_it() {
    let server = RedisServer::start(&[]).await;
    assert_eq!(run(&server, arrive()), None);
    let fresh = |now| own("203.0.113.7:24442", [now, now, 0], false);
    assert_record(&server, fresh);
    assert_eq!(run(&server, arrive()), None, "our own record is no conflict");
    let there = NodeAddr::parse("10.0.0.2:9001");
    for (skew, holder) in [(0, there.clone()), (-170, there.clone()), (60, there), (-190, None)] {
        set(&server, &foreign(server.time().saturating_add_signed(skew), false));
        assert_eq!(run(&server, arrive()), holder, "skew {skew}");
        assert_record(&server, fresh);
    }
    set(&server, &foreign(server.time(), true));
    assert_eq!(run(&server, arrive()), None, "logged off");
}

/// What could not be written for some time is not mistaken for news.
#[tokio::test]
async fn of_two_late_arrivals_the_newer_one_has_the_record_whoever_writes_first() {
    let server = RedisServer::start(&[]).await;
    let [here, there] =
        [HERE, "10.0.0.2:9001"].map(|at| Records::new(NodeAddr::parse(at).unwrap()));
    let start = server.time() * 1_000;
    let run = |records: &Records, verb, seconds_ago: u64| {
        let login = start - seconds_ago * 1_000;
        let command = records.command(AppId(101), "ua", verb, Some(login), false);
        let answer = server.try_ask(&command).unwrap();
        rival(&answer).map(|rival| (rival.node.to_string(), rival.is_newer))
    };
    let node = |at: &str, is_newer| Some((at.to_owned(), is_newer));
    assert_eq!(run(&there, arrive(), 10), None);
    assert_eq!(run(&here, arrive(), 30), node("10.0.0.2:9001", true));
    assert!(server.get(KEY).unwrap().contains("10.0.0.2"), "nothing is written");
    assert_eq!(run(&here, arrive(), 5), node("10.0.0.2:9001", false));
    assert_eq!(run(&here, Verb::Keep, 0), None);
    assert_eq!(run(&there, arrive(), 10), node(HERE, true), "a renewal keeps the time");
    // The clock of an earlier master was ahead.
    server.ask::<()>(&[
        "SET",
        KEY,
        &format!(
            r#"{{"accIp":"10.0.0.1","accPort":"9001","heartbeatTime":{now},"loginMs":{now}900}}"#,
            now = server.time() + 60,
        ),
    ]);
    assert_eq!(run(&there, arrive(), 0), node(HERE, false));
    assert_eq!(run(&here, Verb::Claim, 40), node("10.0.0.2:9001", false), "it does not ask");
    assert_eq!(run(&there, arrive(), 50), node(HERE, true));
    // A renewal of a newer login takes the record from an older one, and only then.
    assert_eq!(run(&there, Verb::Keep, 50), node(HERE, true));
    assert_eq!(run(&there, Verb::Keep, 30), node(HERE, false));
    // Of two at the same time the one at the greater address is the newer one.
    assert_eq!(run(&here, Verb::Keep, 30), node("10.0.0.2:9001", true));
    assert_eq!(run(&here, arrive(), 30), node("10.0.0.2:9001", true));
    // A node of the reference may bring a record back. Its second of the login counts, unless
    // it is about that of our login.
    set(&server, &foreign(server.time(), false));
    assert_eq!(run(&here, Verb::Keep, 30), node("10.0.0.2:9001", false));
    let recent = foreign(server.time(), false).replace(":17,", &format!(":{},", server.time() - 5));
    set(&server, &recent);
    assert_eq!(run(&here, Verb::Keep, 0), node("10.0.0.2:9001", true));
    assert_eq!(run(&here, arrive(), 30), node("10.0.0.2:9001", false));
}

/// Nodes know the time of a login to some 10 ms: of two that are closer together the one
/// that comes to Redis last is the newer one, if it comes at once.
#[tokio::test]
async fn of_two_logins_close_together_the_one_that_redis_hears_of_last_is_the_newer_one() {
    let server = RedisServer::start(&[]).await;
    let [here, there] =
        [HERE, "10.0.0.2:9001"].map(|at| Records::new(NodeAddr::parse(at).unwrap()));
    let run = |records: &Records, verb, login| {
        let command = records.command(AppId(101), "ua", verb, Some(login), false);
        rival(&server.try_ask(&command).unwrap())
    };
    let now = || server.try_ask::<u64>(&time_ms(KEY)).unwrap();
    let found = |at: &str, is_newer, moved_to| {
        Some(Rival { node: NodeAddr::parse(at).unwrap(), is_newer, moved_to })
    };
    // Each attempt may be interrupted for longer than "at once" means.
    let is_in_time = (0..20).any(|_| {
        server.ask::<()>(&["DEL", KEY]);
        let start = now();
        assert_eq!(run(&there, arrive(), start), None);
        let last = run(&here, arrive(), start - 9);
        if now() - start >= 40 {
            return false;
        }
        assert_eq!(last, found("10.0.0.2:9001", false, Some(start + 10)));
        let renewed = run(&there, Verb::Keep, start);
        assert_eq!(renewed, found(HERE, true, None), "both sides agree from then on");
        assert_eq!(run(&here, Verb::Keep, start + 10), None);
        true
    });
    assert!(is_in_time);
    // What is late, or further apart, goes by the time of the login.
    server.ask::<()>(&["DEL", KEY]);
    let start = now() - 60;
    assert_eq!(run(&there, arrive(), start), None);
    assert_eq!(run(&here, arrive(), start - 9), found("10.0.0.2:9001", true, None));
    let start = now();
    assert_eq!(run(&there, arrive(), start), None);
    assert_eq!(run(&here, arrive(), start - 31), found("10.0.0.2:9001", true, None));
}

#[tokio::test]
async fn a_renewal_respects_a_live_record_of_another_node() {
    let server = RedisServer::start(&[]).await;
    let text = foreign(server.time() - 100, false);
    set(&server, &text);
    assert_eq!(run(&server, Verb::Keep), NodeAddr::parse("10.0.0.2:9001"));
    assert_eq!(server.get(KEY), Some(text), "nothing is written");
    for dead in [foreign(server.time() - 190, false), foreign(server.time(), true)] {
        set(&server, &dead);
        assert_eq!(run(&server, Verb::Keep), None);
        assert_record(&server, |now| own("", [now, now, 0], false));
    }
}

#[tokio::test]
async fn a_renewal_keeps_when_and_from_where_the_user_came() {
    let server = RedisServer::start(&[]).await;
    set(&server, &own("203.0.113.7:24442", [5, 6, 0], false));
    assert_eq!(run(&server, Verb::Keep), None);
    assert_record(&server, |now| own("203.0.113.7:24442", [5, now, 0], false));
    server.ask::<()>(&["DEL", KEY]);
    assert_eq!(run(&server, Verb::Keep), None);
    assert_record(&server, |now| own("", [now, now, 0], false));
}

#[tokio::test]
async fn a_departure_writes_off_our_own_record_alone() {
    let server = RedisServer::start(&[]).await;
    assert_eq!(run(&server, Verb::Depart), None);
    assert_eq!(server.get(KEY), None);
    let text = foreign(server.time(), false);
    set(&server, &text);
    assert_eq!(run(&server, Verb::Depart), None);
    assert_eq!(server.get(KEY), Some(text));
    set(&server, &own("203.0.113.7:24442", [5, 6, 0], false));
    assert_eq!(run(&server, Verb::Depart), None);
    let off = |now| own("203.0.113.7:24442", [5, 6, now], true);
    assert_record(&server, off);
    let once = own("203.0.113.7:24442", [5, 6, 7], true);
    set(&server, &once);
    assert_eq!(run(&server, Verb::Depart), None);
    assert_eq!(server.get(KEY), Some(once), "the first time counts");
}

#[tokio::test]
async fn whatever_is_odd_is_nobodys() {
    let server = RedisServer::start(&[]).await;
    let odd = [
        "",
        "[]",
        "null",
        "7",
        "{",
        "\"a\"",
        "[[[[1]]]]",
        r#"{"accIp":{},"accPort":[]}"#,
        r#"{"accIp":"10.0.0.2","accPort":"9001","heartbeatTime":"x","isLogoff":null}"#,
        r#"{"accIp":"10.0.0.2","accPort":9001,"heartbeatTime":99999999999}"#,
        r#"{"accIp":"10.0.0.1","accPort":"9001","loginTime":1e300,"isLogoff":1,"clientIp":{}}"#,
    ];
    for text in odd {
        for verb in [Verb::Keep, arrive(), Verb::Depart] {
            set(&server, text);
            assert_eq!(run(&server, verb), None, "{text}");
            let record = server.get(KEY).unwrap();
            let is_ours = record.contains(r#""accIp":"10.0.0.1""#);
            assert!(is_ours || verb == Verb::Depart, "{text} {verb:?}: {record}");
        }
    }
    server.ask::<()>(&["DEL", KEY]);
    server.ask::<()>(&["LPUSH", KEY, "a"]);
    assert_eq!(run(&server, arrive()), None);
    assert_record(&server, |now| own("203.0.113.7:24442", [now, now, 0], false));
}

#[tokio::test]
async fn names_with_quotes_and_line_breaks_stay_what_they_are() {
    let server = RedisServer::start(&[]).await;
    let name = "\"\\\n,💬";
    let records = Records::new(NodeAddr::parse(HERE).unwrap());
    let command = records.command(AppId(7), name, Verb::Keep, None, false);
    server.try_ask::<Value>(&command).unwrap();
    let text = server.get(&keys::user(AppId(7), name)).unwrap();
    let record: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(record["userID"], name);
    assert_eq!(record["appID"], 7);
}

#[tokio::test]
async fn a_field_is_removed_only_while_it_has_its_value() {
    let server = RedisServer::start(&[]).await;
    server.ask::<()>(&["HSET", keys::NODES, HERE, "new"]);
    assert_eq!(server.try_ask::<u64>(&remove(keys::NODES, HERE, "old")).unwrap(), 0);
    assert_eq!(server.try_ask::<u64>(&remove(keys::NODES, HERE, "new")).unwrap(), 1);
    assert_eq!(server.try_ask::<u64>(&remove(keys::NODES, HERE, "new")).unwrap(), 0);
}
