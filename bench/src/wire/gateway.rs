//! The gateway's commands and pushes as a client sees them.

use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::io::Write;

/// Something a client asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// `ping`, answered before login too.
    Ping,
    /// `heartbeat`, for those who are logged in.
    Heartbeat,
}

/// Appends a command with this `seq`.
pub fn append_command(out: &mut Vec<u8>, command: Command, seq: &[u8]) {
    let name: &[u8] = match command {
        Command::Ping => b"ping",
        Command::Heartbeat => b"heartbeat",
    };
    out.extend_from_slice(b"{\"seq\":\"");
    out.extend_from_slice(seq);
    out.extend_from_slice(b"\",\"cmd\":\"");
    out.extend_from_slice(name);
    out.extend_from_slice(b"\",\"data\":{}}");
}

/// Appends the login of a user, with a token (which needs no escapes) if one is wanted.
pub fn append_login(out: &mut Vec<u8>, user: &str, app: u32, token: Option<&str>) {
    let user = serde_json::Value::from(user);
    // Writing to memory does not fail.
    let _written =
        write!(out, r#"{{"seq":"login","cmd":"login","data":{{"userID":{user},"appID":{app}"#);
    if let Some(token) = token {
        let _written = write!(out, r#","serviceToken":"{token}""#);
    }
    out.extend_from_slice(b"}}");
}

/// A push as the gateway encodes it, for a bare server that sends what it is told.
#[must_use]
pub fn push_of(text: &str) -> String {
    let text = serde_json::Value::from(text);
    format!(
        r#"{{"seq":"1","cmd":"msg","response":{{"code":200,"codeMsg":"Ok","data":{{"target":"","type":"text","msg":{text},"from":"load-lab"}}}}}}"#
    )
}

/// What the gateway has sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News<'a> {
    /// The answer to a login: its code.
    Login(u32),
    /// The answer to a command: its `seq` and code.
    Reply(Command, Cow<'a, str>, u32),
    /// A message from a user: its text.
    Message(Cow<'a, str>),
    /// Somebody came or went, or a digest of that.
    Announcement,
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    seq: Cow<'a, str>,
    #[serde(borrow)]
    cmd: Cow<'a, str>,
    #[serde(borrow)]
    response: Response<'a>,
}

#[derive(Deserialize)]
struct Response<'a> {
    code: u32,
    #[serde(borrow, default)]
    data: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Push<'a> {
    #[serde(borrow)]
    msg: Cow<'a, str>,
}

/// Reads one message; `None` if it is none of the gateway's.
#[must_use]
pub fn read(message: &[u8]) -> Option<News<'_>> {
    let envelope: Envelope<'_> = serde_json::from_slice(message).ok()?;
    let Response { code, data } = envelope.response;
    Some(match envelope.cmd.as_ref() {
        "login" => News::Login(code),
        "ping" => News::Reply(Command::Ping, envelope.seq, code),
        "heartbeat" => News::Reply(Command::Heartbeat, envelope.seq, code),
        "msg" => News::Message(serde_json::from_str::<Push<'_>>(data?.get()).ok()?.msg),
        "enter" | "exit" | "presence" => News::Announcement,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_json() {
        let mut out = Vec::new();
        append_command(&mut out, Command::Heartbeat, b"s1");
        let value: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(value["cmd"], "heartbeat");
        assert_eq!(value["seq"], "s1");
        out.clear();
        append_login(&mut out, "a\"b", 101, Some("x.y.z"));
        let value: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(value["data"]["userID"], "a\"b");
        assert_eq!(value["data"]["appID"], 101);
        assert_eq!(value["data"]["serviceToken"], "x.y.z");
        out.clear();
        append_login(&mut out, "a", 101, None);
        let value: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(value["data"], serde_json::json!({"userID": "a", "appID": 101}));
    }

    #[test]
    fn news_are_told_apart() {
        let reply = |seq: &str, cmd: &str, data: &str| {
            format!(
                r#"{{"seq":"{seq}","cmd":"{cmd}","response":{{"code":200,"codeMsg":"Ok","data":{data}}}}}"#
            )
        };
        let built = push_of("a\"b");
        assert_eq!(read(built.as_bytes()), Some(News::Message("a\"b".into())));
        let push = r#"{"target":"","type":"text","msg":"h\u0069","from":"a"}"#;
        let cases = [
            (reply("1", "login", "null"), Some(News::Login(200))),
            (reply("7", "ping", "\"pong\""), Some(News::Reply(Command::Ping, "7".into(), 200))),
            (
                reply("8", "heartbeat", "null"),
                Some(News::Reply(Command::Heartbeat, "8".into(), 200)),
            ),
            (reply("9", "msg", push), Some(News::Message("hi".into()))),
            (reply("9", "enter", push), Some(News::Announcement)),
            (reply("9", "presence", "{}"), Some(News::Announcement)),
            (reply("9", "msg", "null"), None),
            (reply("9", "other", "null"), None),
            ("数据不合法".to_owned(), None),
        ];
        for (text, news) in cases {
            assert_eq!(read(text.as_bytes()), news, "{text}");
        }
    }
}
