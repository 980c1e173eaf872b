//! Good tokens of every kind, and each way of not being one.

use super::*;
use crate::auth::{Issuer, Order};
use crate::config::Secret;
use jsonwebtoken::{EncodingKey, encode};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use std::fs;
use std::path::PathBuf;
use tempfile::TempDir;

const NOW: u64 = 1_800_000_000;
const SECRET: &str = "a secret of thirty-two bytes or so";
const OTHER: &str = "another secret of thirty-two bytes";
const RSA: &[u8] = include_bytes!("../../tests/keys/rsa.pem");
const RSA_PUBLIC: &str = include_str!("../../tests/keys/rsa.pub.pem");

fn shared() -> Jwt {
    Jwt { secret: Secret::from(SECRET), ..Jwt::default() }
}

fn claims() -> Value {
    json!({"sub": "ann", "appID": 101, "exp": NOW + 60})
}

fn sign_with(algorithm: Algorithm, key: &EncodingKey, claims: &Value) -> String {
    encode(&jsonwebtoken::Header::new(algorithm), claims, key).unwrap()
}

fn sign(claims: &Value) -> String {
    sign_with(Algorithm::HS256, &EncodingKey::from_secret(SECRET.as_bytes()), claims)
}

fn fault(jwt: &Jwt, token: &str) -> TokenFault {
    Verifier::load(jwt).unwrap().verify(token, NOW).unwrap_err()
}

/// Files of keys, as the configuration names them.
struct Files(TempDir);

impl Files {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.path().join(name);
        fs::write(&path, text).unwrap();
        path
    }
}

/// What each algorithm is signed and verified with.
fn pairs(files: &Files) -> Vec<(Algorithm, EncodingKey, Jwt)> {
    let secret = || EncodingKey::from_secret(SECRET.as_bytes());
    let mut pairs: Vec<_> = [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512]
        .map(|algorithm| (algorithm, secret(), shared()))
        .into();
    let public = |path| Jwt { public_key: path, ..Jwt::default() };
    let rsa = EncodingKey::from_rsa_pem(RSA).unwrap();
    pairs.push((Algorithm::RS256, rsa, public(files.write("rsa", RSA_PUBLIC))));
    let ec = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
    let key = EncodingKey::from_ec_pem(ec.serialize_pem().as_bytes()).unwrap();
    pairs.push((Algorithm::ES256, key, public(files.write("ec", &ec.public_key_pem()))));
    let ed = KeyPair::generate_for(&PKCS_ED25519).unwrap();
    let key = EncodingKey::from_ed_pem(ed.serialize_pem().as_bytes()).unwrap();
    pairs.push((Algorithm::EdDSA, key, public(files.write("ed", &ed.public_key_pem()))));
    pairs
}

#[test]
fn a_token_of_every_kind_is_good_for_its_own_key_alone() {
    let files = Files::new();
    let pairs = pairs(&files);
    for (signed, key, _) in &pairs {
        let token = sign_with(*signed, key, &claims());
        for (expected, _, jwt) in &pairs {
            let verifier = Verifier::load(jwt).unwrap();
            let is_shared = jwt.secrets().next().is_some();
            assert_eq!(verifier.signatures_per_token(), u32::from(!is_shared));
            let fits = signed == expected || (is_shared && format!("{signed:?}").starts_with("HS"));
            match verifier.verify(&token, NOW) {
                Ok(grant) => {
                    assert!(fits, "{signed:?} for {expected:?}");
                    assert_eq!((&*grant.user, grant.expires), ("ann", NOW + 90));
                    assert_eq!(grant.admit("ann", AppId(101), NOW), Ok(()));
                }
                Err(fault) => {
                    assert!(!fits, "{signed:?} for {expected:?}: {fault:?}");
                    assert_eq!(fault, TokenFault::Algorithm);
                }
            }
        }
    }
}

#[test]
fn a_public_key_is_no_shared_secret() {
    let files = Files::new();
    let jwt = Jwt { public_key: files.write("rsa", RSA_PUBLIC), ..Jwt::default() };
    // Everybody has the public key: whoever takes it for a secret would believe this.
    let key = EncodingKey::from_secret(RSA_PUBLIC.as_bytes());
    let forged = sign_with(Algorithm::HS256, &key, &claims());
    assert_eq!(fault(&jwt, &forged), TokenFault::Algorithm);
    // Beside a secret the same forgery is tried with that, and with nothing else.
    let both = Jwt { secret: Secret::from(SECRET), ..jwt };
    assert_eq!(fault(&both, &forged), TokenFault::Signature);
    assert!(Verifier::load(&both).unwrap().verify(&sign(&claims()), NOW).is_ok());
}

#[test]
fn an_unsigned_token_is_nothing() {
    let part = |json: &Value| base64url(json.to_string().as_bytes());
    for algorithm in ["none", "None", "NONE", ""] {
        let header = part(&json!({"alg": algorithm, "typ": "JWT"}));
        for signature in ["", "AAAA"] {
            let token = format!("{header}.{}.{signature}", part(&claims()));
            assert_eq!(fault(&shared(), &token), TokenFault::Malformed, "{token}");
        }
    }
    // The header says HS256, the signature is missing.
    let good = sign(&claims());
    let (unsigned, _) = good.rsplit_once('.').unwrap();
    assert_eq!(fault(&shared(), &format!("{unsigned}.")), TokenFault::Signature);
}

fn base64url(bytes: &[u8]) -> String {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let word = three.iter().fold(0_u32, |word, byte| word << 8 | u32::from(*byte))
            << (8 * (3 - three.len()));
        for at in 0..=three.len() {
            text.push(char::from(DIGITS[(word >> (18 - 6 * at)) as usize & 63]));
        }
    }
    text
}

#[test]
fn what_is_no_token_is_malformed() {
    let long = "x".repeat(TOKEN_BYTES_MAX + 1);
    for text in ["x", "a.b", "a.b.c", "a.b.c.d", "....", "ä.ö.ü", &long] {
        assert_eq!(fault(&shared(), text), TokenFault::Malformed, "{text}");
    }
    assert_eq!(fault(&shared(), ""), TokenFault::Missing);
    for odd in [
        json!({"sub": 7, "appID": 101, "exp": NOW + 60}),
        json!({"sub": "ann", "appID": "101", "exp": NOW + 60}),
        json!({"sub": "ann", "appID": -1, "exp": NOW + 60}),
        json!({"sub": "ann", "appID": 101, "exp": "tomorrow"}),
        json!({"sub": "ann", "appID": 101, "exp": NOW + 60, "aud": {}}),
        json!([1]),
    ] {
        assert_eq!(fault(&shared(), &sign(&odd)), TokenFault::Malformed, "{odd}");
    }
}

/// Signed by the right key, and still nothing to be taken in.
#[test]
fn claims_that_mean_two_things_are_malformed() {
    let sign_text = |text: String| {
        let claims = RawValue::from_string(text).unwrap();
        let key = EncodingKey::from_secret(SECRET.as_bytes());
        encode(&jsonwebtoken::Header::new(Algorithm::HS256), &claims, &key).unwrap()
    };
    let exp = NOW + 60;
    let verify = |text: String| Verifier::load(&shared()).unwrap().verify(&sign_text(text), NOW);
    // What nobody asks for is skipped, however deep it is: it costs neither stack nor memory.
    let deep = format!("{}{}", "[".repeat(1_000), "]".repeat(1_000));
    let good = format!(r#"{{"sub":"ann","appID":101,"exp":{exp},"more":{deep}}}"#);
    assert_eq!(verify(good).map(|grant| grant.user), Ok("ann".into()));
    for more in [
        r#""sub":"bob""#.to_owned(),
        format!(r#""exp":{}"#, NOW + 1_000_000),
        r#""appID":[102]"#.to_owned(),
        r#""nbf":1e999"#.to_owned(),
    ] {
        let text = format!(r#"{{"sub":"ann","appID":101,"exp":{exp},{more}}}"#);
        assert_eq!(verify(text).err(), Some(TokenFault::Malformed), "{more}");
    }
}

#[test]
fn what_a_token_marks_as_critical_is_not_passed_over() {
    let mut header = jsonwebtoken::Header::new(Algorithm::HS256);
    header.crit = Some(vec!["exp".into()]);
    let token = encode(&header, &claims(), &EncodingKey::from_secret(SECRET.as_bytes())).unwrap();
    assert_eq!(fault(&shared(), &token), TokenFault::Malformed);
}

#[test]
fn a_token_has_its_time() {
    let verifier = Verifier::load(&shared()).unwrap();
    let judge = |claims: Value, now: u64| verifier.verify(&sign(&claims), now).err();
    let token = claims();
    assert_eq!(judge(token.clone(), NOW + 89), None, "60 s and the leeway");
    assert_eq!(judge(token.clone(), NOW + 90), Some(TokenFault::Expired));
    assert_eq!(judge(token, u64::MAX), Some(TokenFault::Expired));
    let without = json!({"sub": "ann", "appID": 101});
    assert_eq!(judge(without, NOW), Some(TokenFault::Expired));
    for never in [json!(0), json!(-1), json!(-1e300), json!(null)] {
        let claims = json!({"sub": "ann", "appID": 101, "exp": never});
        assert_eq!(judge(claims, NOW), Some(TokenFault::Expired), "{never}");
    }
    let fraction = json!({"sub": "ann", "appID": 101, "exp": 1_800_000_000.9});
    assert_eq!(judge(fraction.clone(), NOW + 29), None);
    assert_eq!(judge(fraction, NOW + 30), Some(TokenFault::Expired));
    let later = json!({"sub": "ann", "appID": 101, "exp": NOW + 600, "nbf": NOW + 40});
    assert_eq!(judge(later.clone(), NOW + 9), Some(TokenFault::NotYet));
    assert_eq!(judge(later, NOW + 10), None);
    let endless = json!({"sub": "ann", "appID": 101, "exp": 1e300});
    let grant = verifier.verify(&sign(&endless), NOW).unwrap();
    assert_eq!(grant.expires, u64::MAX);
}

#[test]
fn issuer_and_audience_are_those_that_are_wanted() {
    let wanted = Jwt { issuer: "https://id".into(), audience: "chat".into(), ..shared() };
    let with = |iss: Value, aud: Value| {
        let mut claims = claims();
        claims["iss"] = iss;
        claims["aud"] = aud;
        sign(&claims)
    };
    let verifier = Verifier::load(&wanted).unwrap();
    for aud in [json!("chat"), json!(["mail", "chat"])] {
        assert!(verifier.verify(&with(json!("https://id"), aud), NOW).is_ok());
    }
    for iss in [json!("https://id/"), json!(null)] {
        assert_eq!(fault(&wanted, &with(iss, json!("chat"))), TokenFault::Issuer);
    }
    for aud in [json!("mail"), json!([]), json!(null), json!("Chat")] {
        assert_eq!(fault(&wanted, &with(json!("https://id"), aud)), TokenFault::Audience);
    }
    // A token for somebody is for nobody else, also where nobody is named here.
    assert_eq!(fault(&shared(), &with(json!(null), json!("chat"))), TokenFault::Audience);
}

#[test]
fn a_grant_is_for_its_user_on_its_apps() {
    let verifier = Verifier::load(&shared()).unwrap();
    let of = |sub: Value, apps: Value| {
        let token = sign(&json!({"sub": sub, "appID": apps, "exp": NOW + 60}));
        verifier.verify(&token, NOW)
    };
    let grant = of(json!("ann"), json!([101, 103])).unwrap();
    assert_eq!(grant.admit("ann", AppId(103), NOW), Ok(()));
    assert_eq!(grant.admit("ann", AppId(102), NOW), Err(TokenFault::App));
    assert_eq!(grant.admit("Ann", AppId(101), NOW), Err(TokenFault::Subject));
    assert_eq!(grant.admit("ann", AppId(101), NOW + 90), Err(TokenFault::Expired));
    assert_eq!(of(json!("ann"), json!([])).unwrap().admit_app(AppId(101)), Err(TokenFault::App));
    assert_eq!(of(json!("ann"), json!(null)), Err(TokenFault::App));
    assert_eq!(of(json!(""), json!(101)), Err(TokenFault::Subject));
    assert_eq!(of(json!(null), json!(101)), Err(TokenFault::Subject));
}

#[test]
fn an_earlier_key_is_good_as_long_as_it_is_listed() {
    let files = Files::new();
    let old = sign_with(Algorithm::HS512, &EncodingKey::from_secret(OTHER.as_bytes()), &claims());
    assert_eq!(fault(&shared(), &old), TokenFault::Signature);
    let both = Jwt { previous_secret: Secret::from(OTHER), ..shared() };
    assert!(Verifier::load(&both).unwrap().verify(&old, NOW).is_ok());
    assert!(Verifier::load(&both).unwrap().verify(&sign(&claims()), NOW).is_ok());
    // Keys of two kinds, while an issuer moves from one to the other.
    let [ec, ed] =
        [&PKCS_ECDSA_P256_SHA256, &PKCS_ED25519].map(|kind| KeyPair::generate_for(kind).unwrap());
    let jwt = Jwt {
        public_key: files.write("new", &ed.public_key_pem()),
        previous_public_key: files.write("old", &ec.public_key_pem()),
        ..Jwt::default()
    };
    let key = EncodingKey::from_ec_pem(ec.serialize_pem().as_bytes()).unwrap();
    let token = sign_with(Algorithm::ES256, &key, &claims());
    assert!(Verifier::load(&jwt).unwrap().verify(&token, NOW).is_ok());
}

#[test]
fn a_key_set_is_asked_by_name() {
    let files = Files::new();
    let secret = |secret: &str, kid: &str| json!({"kty": "oct", "kid": kid, "k": base64url(secret.as_bytes())});
    let encryption =
        json!({"kty": "oct", "kid": "e", "use": "enc", "k": base64url(SECRET.as_bytes())});
    let set = json!({"keys": [secret(OTHER, "a"), secret(SECRET, "b"), encryption]}).to_string();
    let jwt = Jwt { jwks: files.write("set", &set), ..Jwt::default() };
    let verifier = Verifier::load(&jwt).unwrap();
    let named = |kid: Option<&str>| {
        let mut header = jsonwebtoken::Header::new(Algorithm::HS256);
        header.kid = kid.map(str::to_owned);
        let token =
            encode(&header, &claims(), &EncodingKey::from_secret(SECRET.as_bytes())).unwrap();
        verifier.verify(&token, NOW).map(|_| ())
    };
    assert_eq!(named(Some("b")), Ok(()));
    assert_eq!(named(Some("a")), Err(TokenFault::Signature));
    for unknown in [Some("c"), Some("e"), Some(""), None] {
        assert_eq!(named(unknown), Err(TokenFault::Key), "{unknown:?}");
    }
}

/// RFC 7517 §4.5: kid is optional. A token that names no key may be signed with any of those.
#[test]
fn keys_of_a_set_without_names_are_tried() {
    let files = Files::new();
    let secret = |secret: &str| json!({"kty": "oct", "k": base64url(secret.as_bytes())});
    let mut named = secret(SECRET);
    named["kid"] = json!("b");
    let point = |x: &str| json!({"kty": "OKP", "crv": "Ed25519", "x": x});
    let points = ["11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"; 3].map(point);
    let set = |name: &str, keys: &[Value]| Jwt {
        jwks: files.write(name, &json!({"keys": keys}).to_string()),
        ..Jwt::default()
    };
    let by = |secret: &str, header: Value| {
        let key = EncodingKey::from_secret(secret.as_bytes());
        let mut made = jsonwebtoken::Header::new(Algorithm::HS256);
        made.kid = header["kid"].as_str().map(str::to_owned);
        encode(&made, &claims(), &key).unwrap()
    };
    let keys = [&[secret(OTHER), secret(SECRET)][..], &points].concat();
    let verifier = Verifier::load(&set("nameless", &keys)).unwrap();
    for secret in [SECRET, OTHER] {
        for header in [json!({}), json!({"kid": "unknown"})] {
            assert!(verifier.verify(&by(secret, header), NOW).is_ok());
        }
    }
    let third = "yet another secret of 32 bytes or more";
    assert_eq!(verifier.verify(&by(third, json!({})), NOW), Err(TokenFault::Signature));
    assert_eq!(verifier.signatures_per_token(), 3, "keys of other kinds are not tried");
    // One that has a name is asked by that alone; keys of the same name are all tried.
    let verifier = Verifier::load(&set("both", &[secret(OTHER), named.clone()])).unwrap();
    assert_eq!(verifier.verify(&by(SECRET, json!({})), NOW), Err(TokenFault::Signature));
    assert!(verifier.verify(&by(SECRET, json!({"kid": "b"})), NOW).is_ok());
    let mut twin = secret(OTHER);
    twin["kid"] = json!("b");
    let verifier = Verifier::load(&set("twins", &[twin, named])).unwrap();
    assert!(verifier.verify(&by(SECRET, json!({"kid": "b"})), NOW).is_ok());
    assert_eq!(verifier.signatures_per_token(), 0, "secrets cost next to nothing");
}

/// A header as it was written, signed.
fn sign_raw(header: &Value, claims: &Value) -> String {
    let part = |json: &Value| base64url(json.to_string().as_bytes());
    let signed = format!("{}.{}", part(header), part(claims));
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    let signature = crypto::sign(signed.as_bytes(), &key, Algorithm::HS256).unwrap();
    format!("{signed}.{signature}")
}

#[test]
fn header_fields_that_are_not_understood_are_ignored() {
    let verifier = Verifier::load(&shared()).unwrap();
    for odd in
        [json!(180_444), json!(1.5), json!(["a"]), json!({"a": [1]}), json!(true), json!(null)]
    {
        for name in ["uid", "gty", "exp", "typ", "cty", "jku", "jwk", "x5c", "x5t", "enc", "zip"] {
            let token = sign_raw(&json!({"alg": "HS256", name: odd}), &claims());
            assert!(verifier.verify(&token, NOW).is_ok(), "{name}: {odd}");
            assert!(verifier.show(&token).unwrap().0.contains(name));
        }
    }
    for crit in [json!([]), json!("exp"), json!(true)] {
        let token = sign_raw(&json!({"alg": "HS256", "crit": crit}), &claims());
        assert_eq!(verifier.verify(&token, NOW), Err(TokenFault::Malformed), "{crit}");
    }
}

#[test]
fn keys_of_a_set_that_are_not_understood_are_passed_over() {
    let files = Files::new();
    let with = |name: &str, value: Value| {
        let mut key = json!({"kty": "oct", "k": base64url(SECRET.as_bytes())});
        key[name] = value;
        key
    };
    let mut good = with("kid", json!("good"));
    for (name, value) in [
        ("use", json!("sig")),
        ("key_ops", json!(["sign", "verify", "of-a-later-day"])),
        ("alg", json!("HS256")),
        ("x5c", json!(7)),
        ("x5u", json!({})),
        ("nbf", json!("soon")),
    ] {
        good[name] = value;
    }
    let others = [
        json!({"kty": "AKP", "kid": "pq", "alg": "ML-DSA-65", "pub": "AAAA"}),
        json!({"kty": "EC", "kid": "k", "crv": "secp256k1", "x": "AAAA", "y": "AAAA"}),
        json!({"kty": "EC", "crv": "P-256", "x": "AAAA"}),
        json!({"kty": "OKP", "kid": "x", "crv": "X25519", "use": "enc", "x": "AAAA"}),
        json!({"kty": "OKP", "crv": "Ed448", "x": "AAAA"}),
        json!({"kty": "RSA", "kid": "good", "n": "AAAA"}),
        json!({"kty": "RSA", "n": "AAAA", "e": "AQAB", "alg": "RSA-OAEP-256"}),
        json!({"kty": 7}),
        json!({}),
        json!("key"),
        json!(null),
        with("use", json!("enc")),
        with("use", json!("of-a-later-day")),
        with("use", json!(1)),
        with("key_ops", json!(["encrypt"])),
        with("key_ops", json!("verify")),
        with("alg", json!("A128KW")),
        with("alg", json!("RS256")),
        with("alg", json!(256)),
        with("kid", json!(1)),
        with("k", json!("not base64!")),
        with("k", json!(null)),
    ];
    let token = sign_raw(&json!({"alg": "HS256", "kid": "good"}), &claims());
    let set = |name: &str, keys: Value| Jwt {
        jwks: files.write(name, &json!({"keys": keys, "more": 1}).to_string()),
        ..Jwt::default()
    };
    for (at, other) in others.iter().enumerate() {
        let jwt = set(&at.to_string(), json!([other, good, other]));
        let verifier = Verifier::load(&jwt).unwrap_or_else(|error| panic!("{other}: {error}"));
        assert!(verifier.verify(&token, NOW).is_ok(), "{other}");
        let alone = Verifier::load(&set("alone", json!([other]))).map(|_| ()).unwrap_err();
        assert!(alone.to_string().contains("no key for signatures"), "{other}: {alone}");
    }
    let marked = format!("\u{feff}{}\r\n", json!({"keys": [good]}));
    let jwt = Jwt { jwks: files.write("marked", &marked), ..Jwt::default() };
    assert!(Verifier::load(&jwt).unwrap().verify(&token, NOW).is_ok());
    // A key that names its algorithm is for that one alone.
    let verifier = Verifier::load(&set("one", json!([good]))).unwrap();
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    let mut header = jsonwebtoken::Header::new(Algorithm::HS512);
    header.kid = Some("good".into());
    let other = encode(&header, &claims(), &key).unwrap();
    assert_eq!(verifier.verify(&other, NOW), Err(TokenFault::Algorithm));
}

#[test]
fn what_cannot_be_used_is_named_and_not_shown() {
    let files = Files::new();
    let odd = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap();
    let public = |path| Jwt { public_key: path, ..Jwt::default() };
    let set = |name: &str, text: &str| Jwt { jwks: files.write(name, text), ..Jwt::default() };
    let nameless = json!({"kty": "oct", "k": base64url(SECRET.as_bytes())});
    let cases = [
        (public("/nowhere/key.pem".into()), "auth.jwt.public_key: /nowhere/key.pem: No such file"),
        (public(files.write("a", "hunter2")), "there is no public key in it"),
        (public(files.write("b", "")), "there is no public key"),
        (public(files.write("c", &odd.public_key_pem())), "there is a key of P-384 in it"),
        (set("d", "{\"keys\": hunter2}"), "is no JSON Web Key Set"),
        (set("empty", "\u{feff}\r\n"), "empty: is empty"),
        (set("e", "{\"keys\": []}"), "there is no key for signatures"),
        (
            set("f", &json!({"keys": vec![nameless; 5]}).to_string()),
            "any of 5 keys for HS256, at most 4 are tried: give each a kid",
        ),
        (
            Jwt { algorithms: vec!["RS256".into()], ..shared() },
            "RS256 is in the list, but there is no key",
        ),
    ];
    for (jwt, said) in cases {
        let error = Verifier::load(&jwt).map(|_| ()).unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
        assert!(!error.contains("hunter2") && !error.contains('\n'), "{error}");
    }
    let shown = format!("{:?} {:?}", Verifier::load(&shared()).unwrap(), shared());
    assert!(!shown.contains(SECRET), "{shown}");
}

#[test]
fn only_the_listed_algorithms_are_taken() {
    let jwt = Jwt { algorithms: vec!["HS512".into()], ..shared() };
    assert_eq!(fault(&jwt, &sign(&claims())), TokenFault::Algorithm);
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    let token = sign_with(Algorithm::HS512, &key, &claims());
    assert!(Verifier::load(&jwt).unwrap().verify(&token, NOW).is_ok());
}

#[test]
fn what_is_issued_here_is_taken_here() {
    let files = Files::new();
    let order = Order {
        user: "ann".into(),
        apps: vec![101, 102],
        ttl_seconds: 60,
        key_id: Some("k".into()),
    };
    let named = Jwt { issuer: "me".into(), audience: "us".into(), ..shared() };
    let rsa = files.write("rsa.pem", std::str::from_utf8(RSA).unwrap());
    let public = Jwt { public_key: files.write("rsa.pub", RSA_PUBLIC), ..Jwt::default() };
    for (jwt, private) in [(shared(), None), (named, None), (public, Some(rsa.as_path()))] {
        let token = Issuer::new(&jwt, private).unwrap().sign(&order, NOW).unwrap();
        let verifier = Verifier::load(&jwt).unwrap();
        let grant = verifier.verify(&token, NOW).unwrap();
        assert_eq!(grant.admit("ann", AppId(102), NOW), Ok(()));
        let (header, claims) = verifier.show(&token).unwrap();
        assert!(
            header.contains("\"kid\":\"k\"") && claims.contains("\"sub\":\"ann\""),
            "{header} {claims}"
        );
    }
    let error = Issuer::new(&Jwt::default(), None).map(|_| ()).unwrap_err().to_string();
    assert!(error.contains("--private-key"), "{error}");
}

#[test]
fn a_public_key_is_found_among_text_and_in_a_certificate() {
    let files = Files::new();
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
    let certificate = rcgen::CertificateParams::new(vec!["issuer".to_owned()]).unwrap();
    let certificate = certificate.self_signed(&key).unwrap().pem();
    let signing = EncodingKey::from_ec_pem(key.serialize_pem().as_bytes()).unwrap();
    let token = sign_with(Algorithm::ES256, &signing, &claims());
    let texts = format!("Bag Attributes\n    friendlyName: issuer\n{}", key.public_key_pem());
    for (name, text) in [("text", texts), ("certificate", certificate)] {
        let jwt = Jwt { public_key: files.write(name, &text), ..Jwt::default() };
        assert!(Verifier::load(&jwt).unwrap().verify(&token, NOW).is_ok(), "{name}");
    }
    let other = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap();
    let jwt = Jwt { public_key: files.write("p384", &other.public_key_pem()), ..Jwt::default() };
    let complaint = Verifier::load(&jwt).unwrap_err().to_string();
    assert!(complaint.contains("p384: there is a key of P-384 in it"), "{complaint}");
    let jwt = Jwt { public_key: files.write("private", &key.serialize_pem()), ..Jwt::default() };
    let complaint = Verifier::load(&jwt).unwrap_err().to_string();
    assert!(complaint.contains("no public key in it but PRIVATE KEY"), "{complaint}");
}

#[test]
fn keys_of_a_set_that_are_too_weak_are_refused() {
    let files = Files::new();
    let complaint = |key: Value| {
        let set = json!({"keys": [key]}).to_string();
        let jwt = Jwt { jwks: files.write("set", &set), ..Jwt::default() };
        Verifier::load(&jwt).map(|_| ()).map_err(|error| error.to_string())
    };
    let secret =
        |length: usize| json!({"kty": "oct", "kid": "o", "k": base64url(&vec![7; length])});
    let rsa = |length: usize| json!({"kty": "RSA", "kid": "r", "n": base64url(&vec![0xf7; length]), "e": "AQAB"});
    for good in [secret(32), secret(64), rsa(256), rsa(257), rsa(512)] {
        assert_eq!(complaint(good), Ok(()));
    }
    for short in [secret(0), secret(31)] {
        let complaint = complaint(short).unwrap_err();
        let said = "the key \"o\" is too short, must have at least 32 bytes";
        assert!(
            complaint.starts_with("auth.jwt.jwks: ") && complaint.contains(said),
            "{complaint}"
        );
    }
    let complaint = complaint(rsa(128)).unwrap_err();
    assert!(complaint.contains("there is no key for signatures in it"), "{complaint}");
}
