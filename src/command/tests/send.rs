//! `send`, where it exists.

use super::*;

/// The code of a `send` with this data, or what is to be passed on.
fn send(data: &str, session: Session<'_>) -> Result<SendOrder, u16> {
    let rules = Rules { clients_send: true, ..rules() };
    let message = format!(r#"{{"seq":"7","cmd":"send","data":{data}}}"#);
    let mut out = Vec::new();
    let outcome = apply(&message, session, &rules, &mut out);
    assert_eq!(outcome.command, "send");
    match outcome.effect {
        Effect::Send(order) => {
            assert!(out.is_empty(), "the reply is owed");
            Ok(*order)
        }
        effect => {
            assert_eq!(effect, Effect::None);
            let reply: Value = serde_json::from_slice(&out).unwrap();
            assert_eq!((&reply["seq"], &reply["cmd"]), (&json!("7"), &json!("send")));
            Err(u16::try_from(reply["response"]["code"].as_u64().unwrap()).unwrap())
        }
    }
}

#[test]
fn a_message_goes_to_one_or_to_all() {
    let to_all = SendOrder { seq: "\"7\"".into(), to: None, text: "hi".into() };
    let to_bob = SendOrder { to: Some("bob".into()), ..to_all.clone() };
    for (data, expected) in [
        (r#"{"message":"hi"}"#, &to_all),
        (r#"{"MESSAGE":"hi","appID":101,"userID":"","more":[1]}"#, &to_all),
        (r#"{"message":"hi","userID":"bob"}"#, &to_bob),
        (r#"{"message":"h\u0069","userid":"bob","appID":0}"#, &to_bob),
    ] {
        assert_eq!(send(data, KNOWN).as_ref(), Ok(expected), "{data}");
    }
}

#[test]
fn what_cannot_be_sent_is_said_at_once() {
    for (data, session, code) in [
        ("[]", KNOWN, 1001),
        (r#"{"message":7}"#, KNOWN, 1001),
        (r#"{"message":""}"#, KNOWN, 1001),
        (r#"{"userID":"bob"}"#, KNOWN, 1001),
        ("null", KNOWN, 1001),
        (r#"{"message":"hi","appID":"101"}"#, KNOWN, 1001),
        (r#"{"message":"hi"}"#, FRESH, 1000),
        (r#"{"message":"hi","userID":"12345678901234567890"}"#, KNOWN, 1002),
        (r#"{"message":"hi","appID":102}"#, KNOWN, 1003),
    ] {
        assert_eq!(send(data, session), Err(code), "{data}");
    }
}

#[test]
fn it_does_not_exist_unless_it_is_switched_on() {
    let message = r#"{"seq":"7","cmd":"send","data":{"message":"hi"}}"#;
    for session in [FRESH, KNOWN] {
        expect_reply(message, session, "7", "send", 1010, &Value::Null);
    }
}

#[test]
fn the_reply_that_is_owed_looks_like_any_other() {
    let mut out = Vec::new();
    reply_to_send(&mut out, "\"7\\\"\"", Code::Ok, Language::Reference, r#"{"sendResults":true}"#);
    let reply: Value = serde_json::from_slice(&out).unwrap();
    let response = json!({"code": 200, "codeMsg": "Success", "data": {"sendResults": true}});
    assert_eq!(reply, json!({"seq": "7\"", "cmd": "send", "response": response}));
}
