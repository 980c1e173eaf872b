//! From the JSON of a request to the JSON of its reply.

#![allow(missing_docs, reason = "criterion's macros make public functions")]
#![allow(clippy::unwrap_used, reason = "a bench that cannot go on may panic")]

#[macro_use]
mod settings;

use criterion::{Criterion, Throughput};
use millgate::command::{Code, Rules, Session, apply};
use millgate::config::Protocol;
use millgate::id::AppId;
use std::hint::black_box;

const LOGIN: &str = r#"{"seq":"1773000000-42","cmd":"login","data":{"userID":"user-000042","appID":101,"serviceToken":""}}"#;
const HEARTBEAT: &str =
    r#"{"seq":"1773000000-43","cmd":"heartbeat","data":{"userID":"user-000042"}}"#;
const PING: &str = r#"{"seq":"1773000000-44","cmd":"ping","data":{}}"#;

fn command(c: &mut Criterion) {
    let rules = Rules {
        apps: (101..105).map(AppId).collect(),
        user_id_bytes_max: 19,
        tokens: None,
        clients_send: false,
        wording: Protocol::default(),
    };
    let mut group = c.benchmark_group("command");
    for (name, message, logged_in) in
        [("login", LOGIN, false), ("heartbeat", HEARTBEAT, true), ("ping", PING, true)]
    {
        group.throughput(Throughput::Elements(1));
        let user = logged_in.then_some((AppId(101), "user-000042"));
        let session = Session { user, ..Session::default() };
        group.bench_function(name, |b| {
            let mut out = Vec::new();
            b.iter(|| {
                out.clear();
                let outcome = apply(black_box(message), session, &rules, &mut out);
                assert_eq!(outcome.code, Some(Code::Ok));
                black_box(&out);
            });
        });
    }
    group.finish();
}

bench!(command);
