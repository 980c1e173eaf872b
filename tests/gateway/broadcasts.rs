//! Messages to whole rooms beyond what the node carries: each is for everybody or for nobody.

use crate::support::{Client, Message, Node};
use serde_json::Value;
use std::sync::Mutex;
use std::time::Duration;

const MEMBERS: usize = 40;
const CALLERS: usize = 6;
const CALLS: usize = 150;

/// The number of a broadcast that came to a client, if it is one.
fn number(message: &Message) -> Option<String> {
    let Message::Text(text) = message else { return None };
    let push: Value = serde_json::from_str(text).expect("JSON");
    let data = &push["response"]["data"];
    (push["cmd"] == "msg").then(|| data["msg"].as_str().expect("a text").to_owned())
}

#[test]
fn what_is_taken_reaches_everybody_and_what_is_refused_nobody() {
    let node = Node::with(|config| {
        config.announce.exact_up_to = 0;
        config.announce.digests_per_second = 0;
        config.broadcast.messages = 1;
        config.broadcast.wait = Duration::from_millis(10);
    });
    let mut clients: Vec<Client> =
        (0..MEMBERS).map(|user| Client::login(&node, 101, &format!("u{user}"))).collect();
    let taken = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for caller in 0..CALLERS {
            let (node, taken) = (&node, &taken);
            scope.spawn(move || {
                for call in 0..CALLS {
                    let text = format!("{caller}-{call}");
                    let fields =
                        [("appID", "101"), ("userID", "x"), ("msgID", ""), ("message", &*text)];
                    let data = node.post_data("/user/sendMessageAll", &fields);
                    if data["sendResults"] == true {
                        taken.lock().expect("whole").push(text);
                    } else {
                        let why = data["sendResultsErr"].as_str().expect("a reason");
                        assert!(why.contains("nobody got"), "{why}");
                    }
                    assert_eq!(node.get("/readyz").0, 200);
                }
            });
        }
    });
    let mut taken = taken.into_inner().expect("whole");
    taken.sort_unstable();
    assert!(!taken.is_empty());
    let all = u32::try_from(CALLERS * CALLS).expect("small");
    let refused = f64::from(all) - taken.len() as f64;
    assert_eq!(node.metric("millgate_broadcasts_total"), taken.len() as f64);
    assert_eq!(node.metric("millgate_broadcasts_refused_total"), refused);
    node.await_metric("millgate_broadcasts_under_way", |under_way| under_way == 0.0);
    for client in &mut clients {
        let mut received: Vec<String> =
            (0..taken.len()).filter_map(|_| number(&client.recv())).collect();
        received.sort_unstable();
        assert_eq!(received, taken);
        client.expect_silence();
    }
}

/// One client with the right to send floods its room.
#[test]
fn a_flood_to_one_room_holds_up_no_other_sender_and_not_the_node() {
    let node = Node::with(|config| {
        config.announce.exact_up_to = 0;
        config.announce.digests_per_second = 0;
        config.auth.send_without_token = true;
        config.limits.outbox_bytes = 16 << 20;
        config.broadcast.messages = 2;
    });
    let _members: Vec<Client> =
        (0..MEMBERS).map(|user| Client::login(&node, 101, &format!("u{user}"))).collect();
    let mut ann = Client::login(&node, 102, "ann");
    let mut flooder = Client::login(&node, 101, "flooder");
    for seq in 0..2_000 {
        flooder
            .send_text(&format!(r#"{{"seq":"{seq}","cmd":"send","data":{{"message":"hello"}}}}"#));
        if seq % 100 == 0 {
            let fields = [("appID", "102"), ("userID", "ann"), ("msgID", ""), ("message", "hi")];
            assert_eq!(node.post_data("/user/sendMessage", &fields)["sendResults"], true);
            assert_eq!(ann.recv_push("msg")["msg"], "hi");
            assert_eq!(node.get("/readyz").0, 200);
        }
    }
    let mut codes = [0, 0];
    for _ in 0..2_000 {
        let reply = flooder.recv_json();
        match reply["response"]["code"].as_u64() {
            Some(200) => codes[0] += 1,
            Some(1004) => codes[1] += 1,
            _ => panic!("{reply}"),
        }
    }
    assert!(codes[0] > 0, "{codes:?}");
}
