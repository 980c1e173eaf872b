//! The directory with a million users in one room.

#![allow(missing_docs, reason = "criterion's macros make public functions")]
#![allow(clippy::unwrap_used, reason = "a bench that cannot go on may panic")]

#[macro_use]
mod settings;

use criterion::{Criterion, Throughput};
use millgate::hub::Directory;
use millgate::id::{AppId, ConnId};
use millgate::session::User;
use std::hint::black_box;
use std::sync::Arc;

const APP: AppId = AppId(101);
const USERS: u32 = 1_000_000;
const PAGE_USERS: usize = 1_000;

fn user(number: u32) -> Arc<User> {
    let conn = ConnId { reactor: 0, slot: number, serial: number };
    Arc::new(User::new(APP, format!("user-{number}").into(), conn))
}

fn directory(c: &mut Criterion) {
    let directory = Directory::new(&[APP.0]);
    for number in 0..USERS {
        directory.login(user(number));
    }
    let mut group = c.benchmark_group("directory");
    group.throughput(Throughput::Elements(1));
    group.bench_function("log in and out", |b| {
        let newcomer = user(USERS);
        b.iter(|| {
            directory.login(Arc::clone(&newcomer)).unwrap();
            directory.logout(&newcomer).unwrap()
        });
    });
    group.bench_function("find, users at random", |b| {
        let names: Vec<String> = (0..USERS).map(|number| format!("user-{number}")).collect();
        let mut at = 0;
        b.iter(|| {
            // A step that shares no factor with the count visits everybody.
            at = (at + 618_033) % USERS as usize;
            directory.find(APP, &names[at]).unwrap()
        });
    });
    group.throughput(Throughput::Elements(PAGE_USERS as u64));
    group.bench_function("a page of 1,000", |b| {
        b.iter(|| {
            let page = directory.page(APP, black_box(0), PAGE_USERS);
            assert_eq!(page.users.len(), PAGE_USERS);
            page
        });
    });
    group.finish();
}

bench!(directory);
