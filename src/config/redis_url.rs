//! `redis.addr` as hosting providers give it: `rediss://user:password@host:port/database`.

/// What a URL says besides the address.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct RedisUrl {
    /// `host:port`, or several of them, separated by commas.
    pub(super) addr: String,
    /// Whether it asks for TLS; a URL that does not leaves `redis.tls` as it is.
    pub(super) tls: bool,
    /// Name and password, if they are given, decoded.
    pub(super) username: Option<String>,
    pub(super) password: Option<String>,
    /// Number of the database.
    pub(super) db: Option<u32>,
}

/// The port of Redis where a URL names none.
const PORT: u16 = 6379;

/// Reads a URL; `None` if the text is no URL but plain `host:port`.
///
/// # Errors
/// What is wrong with it, without a word of the text: there may be a password in it.
pub(super) fn parse(text: &str) -> Option<Result<RedisUrl, String>> {
    match text.trim().split_once("://") {
        Some((scheme, rest)) => Some(read(scheme, rest)),
        None if text.contains('@') => Some(Err(
            "has a user or password in it, which needs redis:// or rediss:// in front; or \
                      set redis.username and redis.password"
                .to_owned(),
        )),
        None => None,
    }
}

fn read(scheme: &str, rest: &str) -> Result<RedisUrl, String> {
    let tls = match scheme.to_ascii_lowercase().as_str() {
        "redis" | "valkey" => false,
        "rediss" | "valkeys" => true,
        _ => {
            return Err(
                "is a URL of a scheme that is not known here, must be host:port, redis:// or \
                        rediss:// (TLS); Sentinels and clusters are named by redis.mode"
                    .to_owned(),
            );
        }
    };
    if rest.contains(['?', '#']) {
        return Err(
            "is a URL with parameters behind \"?\" or \"#\", which are not read: use keys of \
                    [redis] instead; in a password they are written %3F and %23"
                .to_owned(),
        );
    }
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let (login, hosts) = match authority.rsplit_once('@') {
        Some((login, hosts)) => (Some(login), hosts),
        None => (None, authority),
    };
    let (username, password) = match login.map(|login| login.split_once(':').unwrap_or((login, "")))
    {
        Some((username, password)) => (decoded(username)?, decoded(password)?),
        None => (None, None),
    };
    let addr: Result<Vec<String>, String> = hosts.split(',').map(place).collect();
    let number = path.trim_end_matches('/');
    let db = (!number.is_empty()).then(|| number.parse::<u32>()).transpose().map_err(|_| {
        "is a URL that ends in something else than the number of a database; in a password \"/\" \
         is written %2F"
            .to_owned()
    })?;
    Ok(RedisUrl { addr: addr?.join(","), tls, username, password, db })
}

/// A host with its port.
fn place(text: &str) -> Result<String, String> {
    let wrong =
        || "is a URL without a host and a port of their own, must be redis://host:port".to_owned();
    // An IPv6 address has colons of its own, and stands in brackets.
    let bare = text.rsplit_once(']').map_or(text, |(_, behind)| behind);
    let (host, port) = match bare.rsplit_once(':') {
        Some((_, port)) => (text.rsplit_once(':').map_or("", |(host, _)| host), port.parse()),
        None => (text, Ok(PORT)),
    };
    match port {
        Ok(port @ 1..) if !host.is_empty() => Ok(format!("{host}:{port}")),
        _ => Err(wrong()),
    }
}

/// Percent-encoded text; `None` if it is empty.
fn decoded(text: &str) -> Result<Option<String>, String> {
    let wrong = || {
        "is a URL with a user or password in which \"%\" does not begin two hexadecimal digits"
            .to_owned()
    };
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, behind)) = rest.split_first() {
        rest = behind;
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let (digits, behind) = rest.split_at_checked(2).ok_or_else(wrong)?;
        let digit = |digit: u8| char::from(digit).to_digit(16);
        let (Some(high), Some(low)) = (digit(digits[0]), digit(digits[1])) else {
            return Err(wrong());
        };
        bytes.push(u8::try_from(high * 16 + low).unwrap_or_default());
        rest = behind;
    }
    let text = String::from_utf8(bytes)
        .map_err(|_| "is a URL with a user or password that is no UTF-8".to_owned())?;
    Ok((!text.is_empty()).then_some(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> RedisUrl {
        parse(text).unwrap().unwrap()
    }

    fn login(text: &str) -> (Option<String>, Option<String>) {
        let RedisUrl { username, password, .. } = url(text);
        (username, password)
    }

    #[test]
    fn plain_addresses_are_no_urls() {
        for text in ["127.0.0.1:6379", "[::1]:6379", "a:1,b:2", ""] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn all_parts_of_a_url_are_read() {
        assert_eq!(
            url("rediss://ann:a%40b%2Fc@red.example.org:25061/3"),
            RedisUrl {
                addr: "red.example.org:25061".into(),
                tls: true,
                username: Some("ann".into()),
                password: Some("a@b/c".into()),
                db: Some(3),
            }
        );
        for (text, addr) in [
            ("redis://r", "r:6379"),
            ("redis://r/", "r:6379"),
            ("REDIS://[::1]", "[::1]:6379"),
            ("redis://[::1]:7", "[::1]:7"),
            ("redis://a:1,b,c:3/0", "a:1,b:6379,c:3"),
            (" redis://r:1\n", "r:1"),
        ] {
            assert_eq!(url(text).addr, addr, "{text}");
            assert!(!url(text).tls);
        }
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(login("redis://:pw@r"), (None, some("pw")));
        assert_eq!(login("redis://ann@r"), (some("ann"), None));
        assert_eq!(login("redis://ann:p:w+@r"), (some("ann"), some("p:w+")));
        assert_eq!(login("redis://ann:p@w@r"), (some("ann"), some("p@w")));
        assert_eq!(login("redis://@r"), (None, None));
    }

    #[test]
    fn what_cannot_be_read_is_refused_without_being_repeated() {
        for text in [
            "ann:hunter2@r:1",
            "http://ann:hunter2@r:1",
            "redis+sentinel://:hunter2@r:1",
            "redis://:hunter2/x@r:1",
            "redis://:hunter2@r:1/zero",
            "redis://:hunter2@r:port",
            "redis://:hunter2@r:0",
            "redis://:hunter2@",
            "redis://:hunter2@a:1,,b:2",
            "redis://:hunter2%@r",
            "redis://:hunter2%4@r",
            "redis://:hunter2%zz@r",
            "redis://:hunter2%ff@r",
            "redis://:hunter2@r:1?db=2",
        ] {
            let complaint = parse(text).unwrap().unwrap_err();
            assert!(!complaint.contains("hunter"), "{complaint}");
        }
    }
}
