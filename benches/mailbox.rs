//! Orders to a reactor: put in and taken out, by one thread and between two.

#![allow(missing_docs, reason = "criterion's macros make public functions")]
#![allow(clippy::unwrap_used, reason = "a bench that cannot go on may panic")]

#[macro_use]
mod settings;

use criterion::{Criterion, Throughput};
use millgate::limits::MAIL_DEPTH_MAX;
use millgate::link::{Mail, mailbox};
use std::thread;

/// Orders of one iteration where another thread takes them.
const BURST: u32 = 1_000;

fn one_thread(c: &mut Criterion) {
    let mut group = c.benchmark_group("mailbox");
    group.throughput(Throughput::Elements(1));
    let (post, mailbox) = mailbox(MAIL_DEPTH_MAX).unwrap();
    group.bench_function("send to a busy reactor, take", |b| {
        mailbox.wake_up();
        b.iter(|| {
            post.send(Mail::Shed).unwrap();
            mailbox.take().unwrap()
        });
    });
    group.bench_function("send to a sleeping reactor, take", |b| {
        b.iter(|| {
            mailbox.doze();
            post.send(Mail::Shed).unwrap();
            mailbox.wake_up();
            mailbox.take().unwrap()
        });
    });
    group.finish();
}

fn two_threads(c: &mut Criterion) {
    let mut group = c.benchmark_group("mailbox");
    group.throughput(Throughput::Elements(BURST.into()));
    let (post, mailbox) = mailbox(MAIL_DEPTH_MAX).unwrap();
    // Takes until it is told to drain, as a reactor does.
    let reactor = thread::spawn(move || {
        loop {
            match mailbox.take() {
                Some(Mail::Drain) => break,
                Some(_) => {}
                None => thread::yield_now(),
            }
        }
    });
    let send = |mail: Mail| {
        while post.send(mail.clone()).is_err() {
            thread::yield_now();
        }
    };
    group.bench_function("send 1,000 to another thread", |b| {
        b.iter(|| {
            for _ in 0..BURST {
                send(Mail::Shed);
            }
            while post.depth() > 0 {
                thread::yield_now();
            }
        });
    });
    send(Mail::Drain);
    reactor.join().unwrap();
    group.finish();
}

bench!(one_thread, two_threads);
