//! Tokens and certificates, right and wrong.

use super::{Caller, push};
use crate::config::Config;
use crate::control::cluster::peers::{Outcome, PeerError};
use crate::control::grpc::Security;
use crate::control::grpc::stage::Node;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use std::fs;
use std::path::Path;
use std::sync::atomic::Ordering;
use tempfile::TempDir;

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

/// An authority, and the files of nodes that it has signed.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    files: TempDir,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let files = TempDir::new().unwrap();
        fs::write(files.path().join("ca.pem"), issuer.pem()).unwrap();
        Self { issuer, files }
    }

    /// The configuration of a node at this host.
    fn node(&self, host: &str) -> Config {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![host.to_owned()]).unwrap();
        let cert = params.signed_by(&key, &self.issuer).unwrap();
        let mut config = Config::default();
        let path = |name: &str| self.files.path().join(format!("{host}-{name}"));
        fs::write(path("cert.pem"), cert.pem()).unwrap();
        fs::write(path("key.pem"), key.serialize_pem()).unwrap();
        config.cluster.tls_cert = path("cert.pem");
        config.cluster.tls_key = path("key.pem");
        config.cluster.tls_ca = self.files.path().join("ca.pem");
        config
    }
}

#[tokio::test]
async fn certificates_of_one_authority_connect_and_no_others() {
    let (ours, others) = (Authority::new(), Authority::new());
    let node = Node::start(&ours.node("127.0.0.1"));
    node.log_in("ua", 1);
    let right = Caller::start(&ours.node("10.1.1.1"), &[&node.addr]);
    assert_eq!(right.send(&node.addr, push("ua", "x")).await, Ok(Outcome::Sent));

    let mut not_trusted_there = others.node("127.0.0.1");
    not_trusted_there.cluster.tls_ca = ours.node("10.1.1.2").cluster.tls_ca;
    for config in [Config::default(), others.node("127.0.0.2"), not_trusted_there] {
        let caller = Caller::start(&config, &[&node.addr]);
        let answer = caller.send(&node.addr, push("ua", "x")).await;
        assert!(answer.is_err(), "{answer:?}");
        caller.until_down(&node.addr).await;
    }

    let elsewhere = Node::start(&ours.node("10.1.1.3"));
    let caller = Caller::start(&ours.node("10.1.1.1"), &[&elsewhere.addr]);
    caller.until_down(&elsewhere.addr).await;
    let error = caller.peers.states().remove(0).error.unwrap();
    assert!(error.contains("certificate"), "the name is another one's: {error}");
}

#[test]
fn what_cannot_be_used_is_told_in_one_line() {
    let authority = Authority::new();
    let mut config = authority.node("127.0.0.1");
    config.cluster.tls_key = authority.node("10.1.1.4").cluster.tls_key;
    let error = Security::load(&config.cluster).unwrap_err().to_string();
    assert!(error.starts_with("cluster.tls_cert, "), "{error}");
    config.cluster.tls_key = Path::new("/nowhere").into();
    let error = Security::load(&config.cluster).unwrap_err().to_string();
    assert!(error.starts_with("cluster.tls_key: /nowhere: "), "{error}");
    let error = Security::load(&with_token("späte Nacht").cluster).unwrap_err().to_string();
    assert!(error.starts_with("cluster.token: ") && !error.contains("Nacht"), "{error}");
    let shown = format!("{:?}", Security::load(&with_token("s3cret").cluster).unwrap());
    assert!(!shown.contains("s3cret"), "{shown}");
}
