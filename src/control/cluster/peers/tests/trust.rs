//! Tokens and certificates, right and wrong.

use super::{Caller, push};
use crate::config::Config;
use crate::control::cluster::peers::{Outcome, PeerError};
use crate::control::cluster::testing::authority::Authority;
use crate::control::grpc::Security;
use crate::control::grpc::stage::Node;
use std::path::Path;
use std::sync::atomic::Ordering;

fn with_token(token: &str) -> Config {
    let mut config = Config::default();
    config.cluster.token = token.into();
    config
}

#[tokio::test]
async fn only_the_right_token_connects() {
    let node = Node::start(&with_token("s3cret"));
    node.log_in("ua", 1);
    let right = Caller::start(&with_token("s3cret"), &[&node.addr]);
    assert_eq!(right.send(&node.addr, push("ua", "x")).await, Ok(Outcome::Sent));
    for token in ["", "wrong"] {
        let caller = Caller::start(&with_token(token), &[&node.addr]);
        assert_eq!(caller.send(&node.addr, push("ua", "x")).await, Err(PeerError::Down));
        caller.until_down(&node.addr).await;
        let error = caller.peers.states().remove(0).error.unwrap();
        assert!(error.contains("token") && !error.contains("s3cret"), "{error}");
    }
    assert!(node.metrics.peers.unauthenticated.load(Ordering::Relaxed) >= 2);
}

/// The configuration of a node at this host.
fn node_of(authority: &Authority, host: &str) -> Config {
    let mut config = Config::default();
    (config.cluster.tls_cert, config.cluster.tls_key) = authority.sign(host);
    config.cluster.tls_ca = authority.ca();
    config
}

#[tokio::test]
async fn certificates_of_one_authority_connect_and_no_others() {
    let (ours, others) = (Authority::new(), Authority::new());
    let node = Node::start(&node_of(&ours, "127.0.0.1"));
    node.log_in("ua", 1);
    let right = Caller::start(&node_of(&ours, "10.1.1.1"), &[&node.addr]);
    assert_eq!(right.send(&node.addr, push("ua", "x")).await, Ok(Outcome::Sent));

    let mut not_trusted_there = node_of(&others, "127.0.0.1");
    not_trusted_there.cluster.tls_ca = node_of(&ours, "10.1.1.2").cluster.tls_ca;
    for config in [Config::default(), node_of(&others, "127.0.0.2"), not_trusted_there] {
        let caller = Caller::start(&config, &[&node.addr]);
        let answer = caller.send(&node.addr, push("ua", "x")).await;
        assert!(answer.is_err(), "{answer:?}");
        caller.until_down(&node.addr).await;
    }
    assert!(node.metrics.peers.untrusted.load(Ordering::Relaxed) >= 3);

    let elsewhere = Node::start(&node_of(&ours, "10.1.1.3"));
    let caller = Caller::start(&node_of(&ours, "10.1.1.1"), &[&elsewhere.addr]);
    caller.until_down(&elsewhere.addr).await;
    let error = caller.peers.states().remove(0).error.unwrap();
    assert!(error.contains("certificate"), "the name is another one's: {error}");
}

#[test]
fn what_cannot_be_used_is_told_in_one_line() {
    let authority = Authority::new();
    let mut config = node_of(&authority, "127.0.0.1");
    config.cluster.tls_key = node_of(&authority, "10.1.1.4").cluster.tls_key;
    let error = Security::load(&config.cluster).unwrap_err().to_string();
    assert!(error.contains("not the private key of the certificate"), "{error}");
    config.cluster.tls_key = config.cluster.tls_cert.clone();
    let error = Security::load(&config.cluster).unwrap_err().to_string();
    assert!(error.starts_with("cluster.tls_key: /") && error.contains("no private key"), "{error}");
    config.cluster.tls_key = Path::new("/nowhere").into();
    let error = Security::load(&config.cluster).unwrap_err().to_string();
    assert!(error.starts_with("cluster.tls_key: /nowhere: "), "{error}");
    let error = Security::load(&with_token("späte Nacht").cluster).unwrap_err().to_string();
    assert!(error.starts_with("cluster.token: ") && !error.contains("Nacht"), "{error}");
    let shown = format!("{:?}", Security::load(&with_token("s3cret").cluster).unwrap());
    assert!(!shown.contains("s3cret"), "{shown}");
}
