//! Logins where tokens are wanted.

use super::*;
use crate::auth::{Grant, Issuer, Order, Verifier};
use crate::config::{Jwt, Secret};

const NOW: u64 = 1_800_000_000;

fn jwt() -> Jwt {
    Jwt { secret: Secret::from("a secret of thirty-two bytes or so"), ..Jwt::default() }
}

fn token(user: &str, apps: &[u32]) -> String {
    let order = Order { user: user.into(), apps: apps.to_vec(), ttl_seconds: 60, key_id: None };
    Issuer::new(&jwt(), None).unwrap().sign(&order, NOW).unwrap()
}

fn wanting() -> Rules {
    Rules { tokens: Some(Arc::new(Verifier::load(&jwt()).unwrap())), ..rules() }
}

const STRANGER: Session<'_> = Session { user: None, grant: None, may_renew: true, now: NOW };
const ANN: Session<'_> = Session { user: Some((AppId(101), "ann")), ..STRANGER };

/// Code and effect of a login of ann on 101.
fn login(session: Session<'_>, user: &str, app: u32, token: &str) -> (u16, Effect) {
    let data = json!({"userID": user, "appID": app, "serviceToken": token});
    let message = json!({"seq": "s", "cmd": "login", "data": data}).to_string();
    let mut out = Vec::new();
    let outcome = apply(&message, session, &wanting(), &mut out);
    let reply: Value = serde_json::from_slice(&out).unwrap();
    let code = outcome.code.unwrap().number();
    assert_eq!(reply["response"]["code"], code);
    assert!(token.is_empty() || !reply.to_string().contains(token), "{reply}");
    (code, outcome.effect)
}

fn let_in(user: &str) -> (u16, Effect) {
    let (app, user, expires) = (AppId(101), user.into(), Some(NOW + 90));
    (200, Effect::Login { app, user, expires, understands_displaced: false })
}

fn refused(fault: TokenFault) -> (u16, Effect) {
    (1003, Effect::Refused(fault))
}

#[test]
fn a_login_needs_a_token_of_the_same_user_for_the_same_app() {
    let good = token("ann", &[101, 102]);
    assert_eq!(login(STRANGER, "ann", 101, &good), let_in("ann"));
    assert_eq!(login(STRANGER, "bob", 101, &good), refused(TokenFault::Subject));
    assert_eq!(login(STRANGER, "ann", 103, &good), refused(TokenFault::App));
    assert_eq!(login(STRANGER, "ann", 101, ""), refused(TokenFault::Missing));
    assert_eq!(login(STRANGER, "ann", 101, "x"), refused(TokenFault::Malformed));
    let late = Session { now: NOW + 90, ..STRANGER };
    assert_eq!(login(late, "ann", 101, &good), refused(TokenFault::Expired));
    // What is wrong without looking at the token is said without looking at it.
    assert_eq!(login(STRANGER, "", 101, &good), (1002, Effect::None));
    assert_eq!(login(STRANGER, "ann", 999, &good), (1003, Effect::None));
}

#[test]
fn a_token_of_the_handshake_does_for_its_user() {
    let apps = vec![AppId(101)].into_boxed_slice();
    let grant = Grant { user: "ann".into(), apps, expires: NOW + 90 };
    let shown = Session { grant: Some(&grant), ..STRANGER };
    assert_eq!(login(shown, "ann", 101, ""), let_in("ann"));
    assert_eq!(login(shown, "bob", 101, ""), refused(TokenFault::Subject));
    assert_eq!(login(shown, "ann", 102, ""), refused(TokenFault::App));
    assert_eq!(
        login(shown, "bob", 101, &token("bob", &[101])),
        let_in("bob"),
        "the login's own counts"
    );
    let late = Session { now: NOW + 90, ..shown };
    assert_eq!(login(late, "ann", 101, ""), refused(TokenFault::Expired));
}

#[test]
fn a_login_of_the_same_user_with_a_token_renews() {
    let good = token("ann", &[101]);
    assert_eq!(login(ANN, "ann", 101, &good), (200, Effect::Renew { expires: NOW + 90 }));
    assert_eq!(login(ANN, "ann", 101, ""), (1009, Effect::None), "as without tokens");
    assert_eq!(login(ANN, "bob", 101, &token("bob", &[101])), (1009, Effect::None));
    assert_eq!(login(ANN, "ann", 102, &token("ann", &[102])), (1009, Effect::None));
    assert_eq!(login(ANN, "ann", 101, "x"), refused(TokenFault::Malformed));
    let again = Session { may_renew: false, ..ANN };
    assert_eq!(login(again, "ann", 101, &good), (1004, Effect::None));
}

#[test]
fn where_none_are_wanted_a_token_is_ignored() {
    let data = json!({"userID": "ann", "appID": 101, "serviceToken": "x"}).to_string();
    assert_eq!(expect_login(&data, 200), login_as(101, "ann"));
}
