//! How deep a message may be and how large its numbers, as in Go.

use super::*;

/// The envelope is the first level; 10,000 are read, as in Go, whatever they are in.
#[test]
fn depth_has_the_bound_of_go_and_never_overflows_the_stack() {
    let nested = |levels: usize| {
        let objects = r#"{"a":"#.repeat(levels) + "1" + &"}".repeat(levels);
        ["[".repeat(levels) + &"]".repeat(levels), objects]
    };
    for data in nested(9_999) {
        for key in ["data", "other"] {
            let message = format!(r#"{{"cmd":"ping","{key}":{data}}}"#);
            expect_reply(&message, FRESH, "", "ping", 200, &json!("pong"));
            expect_bare(&format!(r#"{{"cmd":"ping","{key}":[{data}]}}"#));
        }
    }
    for data in nested(9_998) {
        let login = format!(r#"{{"userID":"ua","appID":101,"other":{data}}}"#);
        assert_eq!(expect_login(&login, 200), login_as(101, "ua"));
        expect_bare(&format!(r#"{{"cmd":"login","data":{{"other":[{data}]}}}}"#));
    }
    for data in nested(100_000) {
        expect_bare(&format!(r#"{{"cmd":"ping","data":{data}}}"#));
        expect_bare(&format!(r#"{{"cmd":"ping","other":{data}}}"#));
        expect_bare(&data);
    }
    for unclosed in ["[", "{\"a\":", "[{\"a\":"] {
        expect_bare(&unclosed.repeat(100_000));
        expect_bare(&format!(r#"{{"cmd":"ping","data":{}"#, unclosed.repeat(100_000)));
    }
    // Side by side is not inside, and a bracket in a string is a letter.
    let wide = "[[],{}],".repeat(20_000);
    let letters = r#"\"[\\"#.repeat(20_000);
    let message = format!(r#"{{"cmd":"ping","data":[{wide}"{letters}",["["]]}}"#);
    expect_reply(&message, FRESH, "", "ping", 200, &json!("pong"));
}

/// Go reads numbers of `data` into 64-bit floats, those of unknown keys not at all.
#[test]
fn a_number_in_data_that_no_float_holds_is_no_request() {
    let digits = "9".repeat(100_000);
    let whole = "9".repeat(309);
    let pair = r#"{"userID":"ua","appID":101,"other":[0,{"x":[1e400]}]}"#;
    for data in ["1e400", "-1E+400", "1.8e308", "[0,1e309]", &whole, &digits, pair] {
        for cmd in ["ping", "login", "heartbeat", "nothing"] {
            expect_bare(&format!(r#"{{"cmd":"{cmd}","data":{data}}}"#));
            expect_bare(&format!(r#"{{"cmd":"{cmd}","data":{data},"DATA":{{}}}}"#));
        }
        let message = format!(r#"{{"cmd":"ping","other":{data}}}"#);
        expect_reply(&message, FRESH, "", "ping", 200, &json!("pong"));
    }
    let largest = "1".to_owned() + &"0".repeat(308);
    let long = format!("0.{digits}");
    let text = format!(r#"["1e400","\"1e400",{{"1e400":"{digits}"}}]"#);
    for data in ["1.7e308", "1e-400", "-0e999", "[0.1e309]", &largest, &long, &text] {
        let message = format!(r#"{{"cmd":"ping","data":{data}}}"#);
        expect_reply(&message, FRESH, "", "ping", 200, &json!("pong"));
    }
}
