//! Any message, before and after login: no panic, and a reply that is JSON or
//! the bare text.

#![no_main]

use libfuzzer_sys::fuzz_target;
use millgate::command::{Effect, NOT_A_REQUEST, Rules, Session, apply};
use millgate::id::AppId;

fuzz_target!(|input: &[u8]| {
    let message = String::from_utf8_lossy(input);
    let rules = Rules {
        apps: vec![AppId(101), AppId(102)],
        user_id_bytes_max: 19,
        tokens: None,
        clients_send: true,
        wording: Default::default(),
    };
    for user in [None, Some((AppId(101), "ua"))] {
        let session = Session { user, ..Session::default() };
        let mut reply = Vec::new();
        let outcome = apply(&message, session, &rules, &mut reply);
        if let Effect::Send(order) = outcome.effect {
            assert!(reply.is_empty() && !order.text.is_empty(), "the reply is owed");
        } else if outcome.code.is_none() {
            assert_eq!(reply, NOT_A_REQUEST.as_bytes());
        } else {
            serde_json::from_slice::<serde::de::IgnoredAny>(&reply).expect("JSON");
        }
    }
});
