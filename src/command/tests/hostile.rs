//! What no input may ever do: panic, or be answered with anything but JSON or
//! the bare text.

use super::*;
use proptest::prelude::*;

/// Requests to be spoilt.
const SAMPLES: [&str; 6] = [
    r#"{"seq":"1-2","cmd":"login","data":{"userID":"ua","appID":101,"serviceToken":"t"}}"#,
    r#"{"seq":"s","cmd":"heartbeat","data":{"userID":"ua"}}"#,
    r#"{"seq":"\ud83d\ude00\n","cmd":"ping","data":[1.5e3,null,true,{"a":{}}]}"#,
    r#"{"Seq":null,"CMD":"nothing","x":-0.1,"data":"\\\"é路"}"#,
    "null",
    "{}",
];

/// What they are spoilt with.
const PIECES: [&str; 22] = [
    "{",
    "}",
    "[",
    "]",
    "\"",
    ":",
    ",",
    "\\",
    "\\u",
    "\\ud800",
    "\\udc00",
    "null",
    "-",
    "0",
    "1e2",
    ".",
    " ",
    "\u{0}",
    "é",
    "\"cmd\":",
    "\"userID\":\"",
    "\"appID\":",
];

fn spoilt() -> impl Strategy<Value = String> {
    let edit = (any::<prop::sample::Index>(), 0..12_usize, prop::sample::select(PIECES.to_vec()));
    let edits = prop::collection::vec(edit, 1..6);
    (prop::sample::select(SAMPLES.to_vec()), edits).prop_map(|(sample, edits)| {
        let mut chars: Vec<char> = sample.chars().collect();
        for (index, removed, piece) in edits {
            let at = index.index(chars.len() + 1);
            let end = (at + removed.saturating_sub(6)).min(chars.len());
            chars.splice(at..end, piece.chars());
        }
        chars.into_iter().collect()
    })
}

/// What holds for every message.
fn check_any(message: &str) -> Result<(), TestCaseError> {
    let parsed = serde_json::from_str::<Value>(message);
    for session in [FRESH, KNOWN] {
        let (reply, outcome) = answer(message, session);
        let Some(code) = outcome.code else {
            prop_assert_eq!(&reply, BARE);
            prop_assert_eq!(outcome.effect, Effect::None);
            continue;
        };
        match &parsed {
            Ok(value) => prop_assert!(value.is_object() || value.is_null(), "{}", message),
            // What serde_json refuses and Go takes.
            Err(error) => prop_assert!(
                message.contains("\\u") || error.to_string().contains("out of range"),
                "{error}: {message}"
            ),
        }
        let value: Value = serde_json::from_str(&reply).expect("a reply is JSON");
        prop_assert_eq!(&value["response"]["code"], &json!(code.number()));
        prop_assert_eq!(&value["response"]["codeMsg"], text_of(code.number()));
        prop_assert!(
            (value["seq"].is_string() || value["seq"].is_number()) && value["cmd"].is_string()
        );
        let accepted = outcome.command == "login" && code == Code::Ok;
        prop_assert_eq!(outcome.effect != Effect::None, accepted);
        prop_assert!(!(accepted && session.user.is_some()), "a second login on one connection");
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn whatever_comes_is_answered_with_json_or_the_bare_text(message in any::<String>()) {
        check_any(&message)?;
    }

    #[test]
    fn whatever_is_almost_json_as_well(message in r#"[\[\]{}",:0-9eE.\\u\-a-f ]{0,40}"#) {
        check_any(&message)?;
    }

    #[test]
    fn spoilt_requests_as_well(message in spoilt()) {
        check_any(&message)?;
    }

    #[test]
    fn any_seq_and_cmd_come_back(seq in any::<String>(), cmd in any::<String>()) {
        let message = json!({"seq": seq, "cmd": cmd}).to_string();
        let reply: Value = serde_json::from_str(&answer(&message, FRESH).0).expect("JSON");
        prop_assert_eq!(&reply["seq"], &json!(seq));
        prop_assert_eq!(&reply["cmd"], &json!(cmd));
    }
}
