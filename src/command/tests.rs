//! Every row of the protocol's table of commands, against numbers and texts
//! written down here once more.

mod bounds;
mod hostile;
mod send;
mod tokens;

use super::*;
use serde_json::{Value, json};

const BARE: &str = "数据不合法";

fn rules() -> Rules {
    Rules {
        apps: [101, 102, 103, 104].map(AppId).to_vec(),
        user_id_bytes_max: 19,
        tokens: None,
        clients_send: false,
        wording: Protocol::default(),
    }
}

const FRESH: Session<'_> = Session { user: None, grant: None, may_renew: false, now: 0 };
const KNOWN: Session<'_> = Session { user: Some((AppId(101), "ua")), ..FRESH };

/// What is answered, and what has been decided.
fn answer(message: &str, session: Session<'_>) -> (String, Outcome) {
    // Replies are appended: what was there before must stay.
    let mut out = b"before".to_vec();
    let outcome = apply(message, session, &rules(), &mut out);
    let reply = String::from_utf8(out).expect("UTF-8");
    (reply.strip_prefix("before").expect("appended").to_owned(), outcome)
}

fn text_of(code: u16) -> &'static str {
    match code {
        200 => "Success",
        1000 => "未登录",
        1001 => "参数不合法",
        1002 => "非法的用户ID",
        1003 => "未授权",
        1009 => "操作失败",
        1010 => "路由不存在",
        other => panic!("{other} is never answered"),
    }
}

/// Asserts that `message` is answered with `code`, this seq and cmd and data.
fn expect_reply(
    message: &str,
    session: Session<'_>,
    seq: &str,
    cmd: &str,
    code: u16,
    data: &Value,
) {
    let (reply, outcome) = answer(message, session);
    let reply: Value =
        serde_json::from_str(&reply).unwrap_or_else(|_| panic!("{message}: {reply}"));
    let response = json!({"code": code, "codeMsg": text_of(code), "data": data});
    assert_eq!(reply, json!({"seq": seq, "cmd": cmd, "response": response}), "{message}");
    assert_eq!(outcome.code.map(Code::number), Some(code), "{message}");
}

/// Asserts the code of a login with this `data`; returns what it causes.
fn expect_login(data: &str, code: u16) -> Effect {
    let message = format!(r#"{{"seq":"s","cmd":"login","data":{data}}}"#);
    expect_reply(&message, FRESH, "s", "login", code, &Value::Null);
    let effect = answer(&message, FRESH).1.effect;
    assert_eq!(effect != Effect::None, code == 200, "{data}: only a login that succeeds acts");
    effect
}

fn login_as(app: u32, user: &str) -> Effect {
    Effect::Login {
        app: AppId(app),
        user: user.into(),
        expires: None,
        understands_displaced: false,
    }
}

/// What a login says of its client is a list that later clients may make longer, with elements of any kind.
#[test]
fn an_odd_element_does_not_hide_what_a_client_understands() {
    for (list, expected) in [
        (r#"["displaced"]"#, true),
        (r#"[null, 7, {"v": 2}, ["displaced"], "later", "displaced", true]"#, true),
        (r#"["displ\u0061ced"]"#, true),
        (r#"["Displaced", ["displaced"]]"#, false),
        ("[]", false),
        (r#""displaced""#, false),
        (r#"{"displaced": true}"#, false),
        ("null", false),
        ("7", false),
    ] {
        let data = format!(r#"{{"userID":"ann","appID":101,"understands":{list},"more":[{{}}]}}"#);
        let Effect::Login { understands_displaced, .. } = expect_login(&data, 200) else {
            panic!("{list}")
        };
        assert_eq!(understands_displaced, expected, "{list}");
    }
}

fn expect_bare(message: &str) {
    for session in [FRESH, KNOWN] {
        let (reply, outcome) = answer(message, session);
        assert_eq!(reply, BARE, "{message}");
        let nothing = Outcome { command: "none", code: None, effect: Effect::None };
        assert_eq!(outcome, nothing, "{message}");
    }
}

#[test]
fn what_is_no_request_gets_the_bare_text() {
    for message in [
        "",
        " ",
        "hello",
        "{",
        "}",
        "[]",
        r#"[{"seq":"s","cmd":"ping"}]"#,
        r#""ping""#,
        "1",
        "-0.5",
        "true",
        "false",
        "nul",
        "nullx",
        "{} {}",
        "{}x",
        "null null",
        "{'cmd':'ping'}",
        r#"{"cmd":"ping",}"#,
        r#"{"cmd":"ping""#,
        r#"{"cmd" "ping"}"#,
        r#"{cmd:"ping"}"#,
        r#"{"cmd":"ping"} trailing"#,
        r#"{"cmd":"ping","data":}"#,
        r#"{"cmd":"ping","data":[1,]}"#,
        r#"{"cmd":"ping","data":01}"#,
        r#"{"cmd":"ping","data":.5}"#,
        r#"{"cmd":"ping","data":NaN}"#,
        r#"{"cmd":"ping","data":"\x"}"#,
        r#"{"cmd":"ping","data":"\u12"}"#,
        "{\"cmd\":\"ping\",\"data\":\"a\nb\"}",
        "{\"cmd\":\"pi\tng\"}",
        "\u{feff}{\"cmd\":\"ping\"}",
        r#"{"seq":true,"cmd":"ping"}"#,
        r#"{"seq":[1],"cmd":"ping"}"#,
        r#"{"seq":true,"cmd":"ping"}"#,
        r#"{"seq":["s"],"cmd":"ping"}"#,
        r#"{"seq":{},"cmd":"ping"}"#,
        r#"{"seq":"s","cmd":7}"#,
        r#"{"seq":"s","cmd":{}}"#,
        r#"{"seq":"s","cmd":["ping"]}"#,
        r#"{"seq":"s","CMD":false}"#,
        r#"{"cmd":7,"cmd":"ping"}"#,
    ] {
        expect_bare(message);
    }
}

#[test]
fn keys_are_read_as_go_reads_them() {
    let pong = json!("pong");
    for (message, seq) in [
        (r#"{"seq":"s","cmd":"ping"}"#, "s"),
        (r#"{"SEQ":"s","Cmd":"ping","DATA":1}"#, "s"),
        (r#"{"ſeq":"s","cmd":"ping"}"#, "s"),
        (r#"{"\u017feq":"s","c\u006dd":"ping"}"#, "s"),
        (r#"{"cmd":"ping","extra":{"seq":"no"},"more":[1,2]}"#, ""),
        (r#"{"":1,"cm":2,"cmdd":3,"cmd":"ping"}"#, ""),
        (r#"{"seq":null,"cmd":"ping","data":null}"#, ""),
        (r#"{"cmd":"login","seq":"a","seq":"s","cmd":"ping"}"#, "s"),
        (r#"{"seq":"a","cmd":"login","SEQ":"s","CMD":"ping"}"#, "s"),
        // Null leaves a string as it is, so it does not undo an earlier one.
        (r#"{"seq":"s","cmd":"ping","seq":null,"cmd":null}"#, "s"),
        (" \t\r\n{ \"seq\" : \"s\" , \"cmd\" : \"ping\" } \n", "s"),
    ] {
        for session in [FRESH, KNOWN] {
            expect_reply(message, session, seq, "ping", 200, &pong);
        }
    }
}

#[test]
fn commands_that_do_not_exist() {
    for (message, cmd) in [
        ("{}", ""),
        ("null", ""),
        (" null ", ""),
        (r#"{"cmd":null}"#, ""),
        (r#"{"cmd":""}"#, ""),
        (r#"{"data":{"cmd":"ping"}}"#, ""),
        (r#"{"cmd":"Ping"}"#, "Ping"),
        (r#"{"cmd":"LOGIN"}"#, "LOGIN"),
        (r#"{"cmd":"ping "}"#, "ping "),
        (r#"{"cmd":"enter","data":17}"#, "enter"),
        (r#"{"cmd":"路由"}"#, "路由"),
    ] {
        for session in [FRESH, KNOWN] {
            expect_reply(message, session, "", cmd, 1010, &Value::Null);
            assert_eq!(answer(message, session).1.command, "unknown");
        }
    }
}

#[test]
fn seq_and_cmd_come_back_whatever_is_in_them() {
    for (raw, text) in [
        (r"\u0000\u001f\u007f", "\u{0}\u{1f}\u{7f}"),
        (r#"\"\\\/\b\f\n\r\t"#, "\"\\/\u{8}\u{c}\n\r\t"),
        (r"<script>&amp;\u003c", "<script>&amp;<"),
        (r"\u2028\u2029", "\u{2028}\u{2029}"),
        (r"\ud83d\ude00😀", "😀😀"),
        // Half a pair, on either side, alone or before a whole one.
        (r"\ud800", "\u{fffd}"),
        (r"\udc00x", "\u{fffd}x"),
        (r"\ud800\ud83d\ude00", "\u{fffd}😀"),
        (r"\ud83d\u0041", "\u{fffd}A"),
        (r"\uDFFF\uD83D\n", "\u{fffd}\u{fffd}\n"),
        (r"\\ud800", r"\ud800"),
        (r"\\\ud800", "\\\u{fffd}"),
        (r"é\ud800é", "é\u{fffd}é"),
    ] {
        let message = format!(r#"{{"seq":"{raw}","cmd":"x{raw}"}}"#);
        expect_reply(&message, FRESH, text, &format!("x{text}"), 1010, &Value::Null);
    }
    let long = "s".repeat(60_000);
    let message = format!(r#"{{"seq":"{long}","cmd":"ping"}}"#);
    expect_reply(&message, FRESH, &long, "ping", 200, &json!("pong"));
}

#[test]
fn ping_takes_any_data() {
    for data in [
        "null",
        "{}",
        "[]",
        "0",
        "-0",
        "1e5",
        "\"x\"",
        "true",
        "[[[]]]",
        r#""\ud800""#,
        r#"{"userID":7,"appID":"x"}"#,
        "123456789012345678901234567890",
        "0.1e-400",
    ] {
        let message = format!(r#"{{"seq":"s","cmd":"ping","data":{data}}}"#);
        for session in [FRESH, KNOWN] {
            expect_reply(&message, session, "s", "ping", 200, &json!("pong"));
            assert_eq!(answer(&message, session).1.effect, Effect::None);
        }
    }
}

#[test]
fn heartbeat_checks_the_shape_before_the_login() {
    for (data, fresh, known) in [
        ("{}", 1000, 200),
        ("null", 1000, 200),
        (r#"{"userID":"somebody else"}"#, 1000, 200),
        (r#"{"userID":null,"x":[1]}"#, 1000, 200),
        ("[]", 1001, 1001),
        ("\"\"", 1001, 1001),
        ("0", 1001, 1001),
        ("true", 1001, 1001),
        (r#"{"userID":7}"#, 1001, 1001),
        (r#"{"USERID":[]}"#, 1001, 1001),
    ] {
        let message = format!(r#"{{"seq":"s","cmd":"heartbeat","data":{data}}}"#);
        expect_reply(&message, FRESH, "s", "heartbeat", fresh, &Value::Null);
        expect_reply(&message, KNOWN, "s", "heartbeat", known, &Value::Null);
    }
    expect_reply(r#"{"cmd":"heartbeat"}"#, FRESH, "", "heartbeat", 1000, &Value::Null);
    expect_reply(r#"{"cmd":"heartbeat"}"#, KNOWN, "", "heartbeat", 200, &Value::Null);
}

#[test]
fn login_of_every_shape() {
    for data in [
        "[]",
        "\"ua\"",
        "7",
        "true",
        "false",
        r#"[{"userID":"ua","appID":101}]"#,
        r#"{"userID":7,"appID":101}"#,
        r#"{"userID":true,"appID":101}"#,
        r#"{"userID":["ua"],"appID":101}"#,
        r#"{"userID":{},"appID":101}"#,
        r#"{"userID":"ua","appID":101,"serviceToken":7}"#,
        r#"{"userID":"ua","appID":101,"serviceToken":{}}"#,
        r#"{"userID":"ua","appID":101,"SERVICETOKEN":[]}"#,
    ] {
        expect_login(data, 1001);
    }
    for app in [
        "\"101\"",
        "\"\"",
        "true",
        "[]",
        "{}",
        "-1",
        "-0",
        "-0.0",
        "-101",
        "101.5",
        "1.015e2",
        "1e-1",
        "4294967296",
        "4294967295.5",
        "1e10",
        "1e308",
        "18446744073709551616",
        "99999999999999999999999999",
    ] {
        expect_login(&format!(r#"{{"userID":"ua","appID":{app}}}"#), 1001);
        // The shape comes before the user.
        expect_login(&format!(r#"{{"userID":"","appID":{app}}}"#), 1001);
    }
    for app in ["101", "101.0", "1.01e2", "1.01E+2", "10100e-2", "101.00000000000000000001"] {
        let effect = expect_login(&format!(r#"{{"userID":"ua","appID":{app}}}"#), 200);
        assert_eq!(effect, login_as(101, "ua"), "{app}");
    }
    for app in ["0", "0.0", "1", "100", "105", "4294967295", "4294967295.0", "null", "1e-400"] {
        expect_login(&format!(r#"{{"userID":"ua","appID":{app}}}"#), 1003);
    }
    expect_login(r#"{"userID":"ua"}"#, 1003);
}

#[test]
fn login_reads_its_keys_as_go_does() {
    for data in [
        r#"{"userID":"ua","appID":102}"#,
        r#"{"userId":"ua","appId":102}"#,
        r#"{"USERID":"ua","APPID":102,"ServiceToken":"t"}"#,
        r#"{"uſerid":"ua","appid":102,"ſerviceToKen":null}"#,
        r#"{"appID":101,"userID":"ub","appID":102,"userID":"ua"}"#,
        r#"{"\u0075serID":"\u0075a","appID":102,"x":{"userID":7}}"#,
    ] {
        assert_eq!(expect_login(data, 200), login_as(102, "ua"), "{data}");
    }
    // The Kelvin sign is a k, whatever its case.
    expect_login("{\"userID\":\"ua\",\"appID\":101,\"serviceTo\u{212a}en\":7}", 1001);
    let message = r#"{"cmd":"login","data":{"userID":7},"DATA":{"userID":"ua","appID":101}}"#;
    expect_reply(message, FRESH, "", "login", 200, &Value::Null);
}

#[test]
fn user_ids_are_bounded_in_bytes() {
    for (user, code) in [
        (String::new(), 1002),
        ("u".into(), 200),
        ("u".repeat(19), 200),
        ("u".repeat(20), 1002),
        ("u".repeat(50_000), 1002),
        ("é".repeat(9) + "u", 200),
        ("é".repeat(10), 1002),
        ("用户".repeat(3), 200),
        ("用户".repeat(3) + "é", 1002),
        (" ".into(), 200),
        ("a\"b\\c".into(), 200),
    ] {
        let effect = expect_login(&json!({"userID": user, "appID": 103}).to_string(), code);
        if code == 200 {
            assert_eq!(effect, login_as(103, &user));
        }
    }
    // Each half of a pair becomes U+FFFD, of three bytes.
    let halves = |n: usize| format!(r#"{{"userID":"{}","appID":101}}"#, r"\ud800".repeat(n));
    assert_eq!(expect_login(&halves(6), 200), login_as(101, &"\u{fffd}".repeat(6)));
    expect_login(&halves(7), 1002);
    for data in ["null", "{}", r#"{"appID":101}"#, r#"{"userID":null,"appID":101}"#] {
        expect_login(data, 1002);
    }
    expect_reply(r#"{"cmd":"login"}"#, FRESH, "", "login", 1002, &Value::Null);
}

#[test]
fn login_checks_shape_user_app_and_session_in_this_order() {
    for (data, code) in [
        ("[]", 1001),
        (r#"{"userID":"","appID":"x"}"#, 1001),
        (r#"{"userID":"","appID":9}"#, 1002),
        (r#"{"userID":"ua","appID":9}"#, 1003),
        (r#"{"userID":"ua","appID":101}"#, 1009),
    ] {
        let message = format!(r#"{{"seq":"s","cmd":"login","data":{data}}}"#);
        expect_reply(&message, KNOWN, "s", "login", code, &Value::Null);
        assert_eq!(answer(&message, KNOWN).1.effect, Effect::None, "{data}");
    }
}

/// The payload of the answer to `message` by a node that words its replies like this.
fn worded(message: &str, language: Language, errors: ErrorFormat) -> String {
    let rules = Rules { wording: Protocol { language, errors, ..Protocol::default() }, ..rules() };
    let mut out = Vec::new();
    apply(message, FRESH, &rules, &mut out);
    String::from_utf8(out).expect("UTF-8")
}

#[test]
fn a_number_as_seq_comes_back_as_it_was_written() {
    for seq in ["1", "-7", "1.50", "1e3", "12345678901234567890123", "0"] {
        let message = format!(r#"{{"seq":{seq},"cmd":"ping"}}"#);
        let (reply, outcome) = answer(&message, FRESH);
        assert!(reply.starts_with(&format!(r#"{{"seq":{seq},"cmd":"ping","#)), "{reply}");
        assert_eq!(outcome.command, "ping");
        serde_json::from_str::<Value>(&reply).expect("JSON");
    }
}

#[test]
fn replies_can_be_english() {
    for (message, text) in [
        (r#"{"cmd":"heartbeat"}"#, "Not logged in"),
        (r#"{"cmd":"fly"}"#, "Unknown command"),
        (r#"{"cmd":"login","data":[]}"#, "Invalid parameter"),
    ] {
        let reply = worded(message, Language::English, ErrorFormat::Text);
        let reply: Value = serde_json::from_str(&reply).expect("JSON");
        assert_eq!(reply["response"]["codeMsg"], text);
    }
    assert_eq!(worded("no", Language::English, ErrorFormat::Text), "not a request");
}

#[test]
fn a_message_that_is_no_request_can_be_answered_with_json() {
    for (language, text) in
        [(Language::Reference, "参数不合法"), (Language::English, "Invalid parameter")]
    {
        let reply = worded("no request", language, ErrorFormat::Json);
        let response = json!({"code": 1001, "codeMsg": text, "data": null});
        let expected = json!({"seq": "", "cmd": "", "response": response});
        assert_eq!(serde_json::from_str::<Value>(&reply).expect("JSON"), expected);
    }
}
