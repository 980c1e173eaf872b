//! What it costs to look at a token, by how it is signed: `VERIFICATIONS_PER_TURN` rests on it.

#![allow(missing_docs, reason = "criterion's macros make public functions")]
#![allow(clippy::unwrap_used, reason = "a bench that cannot go on may panic")]

#[macro_use]
mod settings;

use criterion::{Criterion, Throughput};
use millgate::auth::{Issuer, Order, Verifier};
use millgate::config::{Jwt, Secret};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ED25519, SignatureAlgorithm};
use std::fs;
use std::hint::black_box;
use std::path::{Path, PathBuf};

const NOW: u64 = 1_800_000_000;
const SECRET: &str = "a secret of thirty-two bytes or so";

/// A configuration that verifies, and the file that signs if it is not the secret.
type Pair = (&'static str, Jwt, Option<PathBuf>);

fn fresh(folder: &Path, name: &'static str, kind: &'static SignatureAlgorithm) -> Pair {
    let [public_key, private] = ["pub.pem", "pem"].map(|end| folder.join(format!("{name}.{end}")));
    let pair = KeyPair::generate_for(kind).unwrap();
    fs::write(&public_key, pair.public_key_pem()).unwrap();
    fs::write(&private, pair.serialize_pem()).unwrap();
    (name, Jwt { public_key, ..Jwt::default() }, Some(private))
}

fn pairs(folder: &Path) -> Vec<Pair> {
    let shared = |name: &'static str| {
        let jwt =
            Jwt { secret: Secret::from(SECRET), algorithms: vec![name.into()], ..Jwt::default() };
        (name, jwt, None)
    };
    let keys = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/keys");
    let rsa = Jwt { public_key: keys.join("rsa.pub.pem"), ..Jwt::default() };
    vec![
        shared("HS256"),
        shared("HS512"),
        ("RS256", rsa, Some(keys.join("rsa.pem"))),
        fresh(folder, "ES256", &PKCS_ECDSA_P256_SHA256),
        fresh(folder, "EdDSA", &PKCS_ED25519),
    ]
}

fn token(c: &mut Criterion) {
    let folder = tempfile::tempdir().unwrap();
    let mut group = c.benchmark_group("token");
    for (name, jwt, private) in pairs(folder.path()) {
        let issuer = Issuer::new(&jwt, private.as_deref()).unwrap();
        let (user, apps) = ("user-000042".to_owned(), vec![101]);
        let order = Order { user, apps, ttl_seconds: 3_600, key_id: None };
        let token = issuer.sign(&order, NOW).unwrap();
        let verifier = Verifier::load(&jwt).unwrap();
        group.throughput(Throughput::Elements(1));
        group.bench_function(name, |b| {
            b.iter(|| assert!(verifier.verify(black_box(&token), NOW).is_ok()));
        });
    }
    group.finish();
}

bench!(token);
