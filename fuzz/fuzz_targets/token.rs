//! Any token: no panic. What nobody has signed is never good; what somebody has, grants what its
//! claims say.

#![no_main]

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, crypto};
use libfuzzer_sys::fuzz_target;
use millgate::auth::Verifier;
use millgate::config::{Jwt, Secret};
use std::sync::LazyLock;

const SECRET: &str = "a secret of thirty-two bytes or so";
const NOW: u64 = 1_800_000_000;

static VERIFIER: LazyLock<Verifier> = LazyLock::new(|| {
    let jwt = Jwt { secret: Secret::from(SECRET), ..Jwt::default() };
    Verifier::load(&jwt).expect("a secret")
});

/// With this header and these claims, signed as it should be.
fn signed(header: &[u8], claims: &[u8]) -> String {
    let parts = [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part));
    let message = parts.join(".");
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    let signature = crypto::sign(message.as_bytes(), &key, Algorithm::HS256).expect("signed");
    format!("{message}.{signature}")
}

fuzz_target!(|input: &[u8]| {
    let text = String::from_utf8_lossy(input);
    assert!(VERIFIER.verify(&text, NOW).is_err(), "nobody has signed it");
    let _shown_or_none = VERIFIER.show(&text);
    let own = VERIFIER.verify(&signed(br#"{"alg":"HS256"}"#, input), NOW);
    if let Ok(grant) = own {
        let claims: serde_json::Value = serde_json::from_slice(input).expect("claims are JSON");
        assert_eq!(claims["sub"], grant.user.as_str());
        assert!(grant.expires > NOW && !claims["appID"].is_null());
    }
    // The header is the stranger's as well.
    if let Some(at) = input.iter().position(|byte| *byte == b'\n') {
        let (header, claims) = input.split_at(at);
        let _judged = VERIFIER.verify(&signed(header, &claims[1..]), NOW);
    }
});
