//! What a connection costs in user space: a slope over plateaus, measured
//! from outside on a process that does nothing else.

use crate::crowd::{alone, logged_in, raise_limit, upgraded};
use crate::process::Process;
use crate::support::{Certificate, Client};
use std::net::SocketAddr;
use std::sync::Arc;

/// What the project promises, in bytes a connection.
const IDLE_MAX: f64 = 72.0;
const LOGGED_IN_MAX: f64 = 184.0;

/// With TLS 1.3, keys and session included.
const IDLE_TLS_MAX: f64 = 4_096.0;

const PLATEAUS: usize = 10;
const STEP: usize = 1_500;
const TLS_STEP: usize = 200;

/// Nobody is told of others, so that only what a connection keeps is measured.
const QUIET: [&str; 4] = [
    "announce.exact_up_to=0",
    "announce.digests_per_second=0",
    "control.threads=1",
    "listen.websocket=0.0.0.0:0",
];

#[test]
fn an_idle_connection_is_a_cache_line() {
    let _alone = alone();
    let slope = slope(|address, _| upgraded(address, STEP));
    println!("idle: {slope:.1} bytes a connection");
    assert!(slope <= IDLE_MAX, "{slope:.1} bytes a connection, {IDLE_MAX} promised");
    assert!(slope > 32.0, "{slope:.1} bytes cannot be all");
}

#[test]
fn a_user_costs_three_cache_lines() {
    let _alone = alone();
    let slope = slope(|address, have| logged_in(address, 101, have..have + STEP));
    println!("logged in: {slope:.1} bytes a connection");
    assert!(slope <= LOGGED_IN_MAX, "{slope:.1} bytes a connection, {LOGGED_IN_MAX} promised");
    assert!(slope > 96.0, "{slope:.1} bytes cannot be all");
}

#[test]
fn an_idle_tls_connection_is_its_keys() {
    let _alone = alone();
    let certificate = Certificate::new();
    let config = certificate.trusting(&[&rustls::version::TLS13], &[]);
    let files = ["cert", "key"].map(|file| {
        format!("listen.tls_{file}={}", certificate.file(&format!("{file}.pem")).display())
    });
    let settings =
        [&QUIET[..3], &["listen.websocket=0.0.0.0:0 tls", &files[0], &files[1]]].concat();
    let slope = slope_with(&settings, |address, _| {
        let connect = |_| {
            let mut client = Client::tcp(address).with_tls(Arc::clone(&config));
            client.upgrade("/acc");
            client
        };
        (0..TLS_STEP).map(connect).collect()
    });
    println!("idle over TLS: {slope:.1} bytes a connection");
    assert!(slope <= IDLE_TLS_MAX, "{slope:.1} bytes a connection, {IDLE_TLS_MAX} promised");
    assert!(slope > 512.0, "{slope:.1} bytes cannot be all");
}

/// Bytes a connection over 15,000 of them.
fn slope(connect: impl Fn(SocketAddr, usize) -> Vec<Client>) -> f64 {
    slope_with(&QUIET, connect)
}

/// Bytes a connection over as many as are made.
fn slope_with(settings: &[&str], connect: impl Fn(SocketAddr, usize) -> Vec<Client>) -> f64 {
    raise_limit();
    let process = Process::start(settings);
    let port = process.websocket().port();
    let mut clients = Vec::new();
    let mut points = Vec::new();
    for plateau in 0..PLATEAUS {
        // With few to each address the kernel soon finds a port for the next.
        let address = SocketAddr::from(([127, 0, 0, 1 + plateau as u8 % 4], port));
        clients.extend(connect(address, clients.len()));
        assert_eq!(process.metric("millgate_connections"), clients.len() as f64);
        points.push((clients.len() as f64, process.resident_bytes() as f64));
    }
    for (connections, bytes) in &points {
        println!("{connections:>6} connections: {bytes} bytes");
    }
    least_squares(&points)
}

fn least_squares(points: &[(f64, f64)]) -> f64 {
    let n = points.len() as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / n;
    let (x, y) = (mean(|point| point.0), mean(|point| point.1));
    let covariance: f64 = points.iter().map(|point| (point.0 - x) * (point.1 - y)).sum();
    covariance / points.iter().map(|point| (point.0 - x).powi(2)).sum::<f64>()
}

#[test]
fn the_slope_of_a_line_is_found() {
    let line: Vec<(f64, f64)> = (0..7).map(|x| (f64::from(x), 5.0 + 3.0 * f64::from(x))).collect();
    assert!((least_squares(&line) - 3.0).abs() < 1e-9);
}
