//! A link against servers that ask who comes: passwords, ACL users and TLS, of
//! Sentinels and of a Redis Cluster too; and what an operator reads when it is the wrong one.

use super::super::super::testing::authority::Authority;
use super::super::super::testing::{RedisServer, Shards, eventually, free_port};
use super::*;
use crate::config::Secret;

const PASSWORD: &str = "of-the-master";
const SENTINEL_PASSWORD: &str = "of-the-sentinel";

fn open(config: &config::Redis) -> Link {
    Link::open(config, "test", Metrics::new(1)).unwrap()
}

async fn writes(config: &config::Redis) {
    let link = open(config);
    eventually("a write gets through", async || {
        link.ask::<String>(redis::cmd("SET").arg("acc:a").arg("1")).await.is_ok()
    })
    .await;
    assert_eq!(link.trouble(), None);
}

/// The way stays closed, for a reason that has these words in it, and no secret.
async fn is_refused(config: &config::Redis, words: &str) {
    let link = open(config);
    let says_so = async || link.trouble().is_some_and(|trouble| trouble.contains(words));
    eventually(words, says_so).await;
    assert!(!link.is_up());
    let trouble = link.trouble().unwrap();
    for secret in [PASSWORD, SENTINEL_PASSWORD, "guess"] {
        assert!(!trouble.contains(secret), "{trouble}");
    }
}

const REFUSED: &str = "refuses the login (redis.username, redis.password";

/// A master that wants a password, or a user and a password.
async fn guarded_master(args: &[&str], login: &str) -> RedisServer {
    let port = free_port();
    let server = RedisServer::spawn(port, format!("redis://{login}127.0.0.1:{port}"), args);
    server.wait_until_ready().await;
    server
}

#[tokio::test]
async fn a_wrong_password_is_told_in_words() {
    let server = guarded_master(&["--requirepass", PASSWORD], ":of-the-master@").await;
    writes(&config::Redis { password: PASSWORD.into(), ..server.config() }).await;
    is_refused(&config::Redis { password: "guess".into(), ..server.config() }, REFUSED).await;
    is_refused(&server.config(), "wants a login (redis.username, redis.password").await;
    let stranger = config::Redis { username: "nobody".into(), ..server.config() };
    is_refused(&config::Redis { password: PASSWORD.into(), ..stranger }, REFUSED).await;
}

#[tokio::test]
async fn a_sentinel_and_its_master_want_a_password_each() {
    let master = guarded_master(&["--requirepass", PASSWORD], ":of-the-master@").await;
    let lines =
        format!("requirepass {SENTINEL_PASSWORD}\nsentinel auth-pass mymaster {PASSWORD}\n");
    let sentinel = RedisServer::sentinel_with(master.port, &lines, ":of-the-sentinel@").await;
    let right = config::Redis {
        mode: RedisMode::Sentinel,
        password: PASSWORD.into(),
        sentinel_password: SENTINEL_PASSWORD.into(),
        ..sentinel.config()
    };
    writes(&right).await;
    let guess = || Secret::from("guess");
    is_refused(&config::Redis { password: guess(), ..right.clone() }, REFUSED).await;
    is_refused(&config::Redis { sentinel_password: guess(), ..right.clone() }, REFUSED).await;
    let none = config::Redis { sentinel_password: Secret::default(), ..right.clone() };
    is_refused(&none, "wants a login").await;
    let unknown = config::Redis { sentinel_master: "other".into(), ..right };
    is_refused(&unknown, "redis.sentinel_master").await;
}

#[tokio::test]
async fn a_sentinel_and_its_master_know_users() {
    let acl = "--user gate on >of-the-master ~acc:* &* +@all --user default off";
    let acl: Vec<&str> = acl.split_whitespace().collect();
    let master = guarded_master(&acl, "gate:of-the-master@").await;
    let lines = "user gate on >of-the-sentinel allchannels +@all\nuser default off\n\
                 sentinel auth-user mymaster gate\nsentinel auth-pass mymaster of-the-master\n";
    let sentinel = RedisServer::sentinel_with(master.port, lines, "gate:of-the-sentinel@").await;
    let right = config::Redis {
        mode: RedisMode::Sentinel,
        username: "gate".into(),
        password: PASSWORD.into(),
        sentinel_username: "gate".into(),
        sentinel_password: SENTINEL_PASSWORD.into(),
        ..sentinel.config()
    };
    writes(&right).await;
    is_refused(&config::Redis { sentinel_username: String::new(), ..right }, REFUSED).await;
}

#[tokio::test]
async fn a_user_that_may_not_read_is_told_so() {
    let acl = "--user gate on >of-the-master ~acc:* +ping +hello +set --user default off";
    let acl: Vec<&str> = acl.split_whitespace().collect();
    let server = guarded_master(&acl, "gate:of-the-master@").await;
    let config =
        config::Redis { username: "gate".into(), password: PASSWORD.into(), ..server.config() };
    is_refused(&config, "may not do what a node needs (redis.username)").await;
}

#[tokio::test]
async fn what_is_no_redis_is_told_so() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let answer = b"HTTP/1.1 400 Bad Request\r\n\r\n";
            tokio::io::AsyncWriteExt::write_all(&mut socket, answer).await.unwrap();
        }
    });
    let config = config::Redis { addr, ..config::Redis::default() };
    is_refused(&config, "what answers at redis.addr is no Redis").await;
}

#[tokio::test]
async fn an_address_of_ipv6() {
    let port = free_port();
    let url = format!("redis://[::1]:{port}");
    let server = RedisServer::spawn(port, url, &["--bind", "::1"]);
    server.wait_until_ready().await;
    writes(&config::Redis { addr: format!("[::1]:{port}"), ..server.config() }).await;
}

/// What makes a server speak TLS on a further port.
fn tls_options(authority: &Authority, port: u16) -> Vec<[String; 2]> {
    let (cert, key) = authority.sign("127.0.0.1");
    let file = |path: std::path::PathBuf| path.to_str().unwrap().to_owned();
    vec![
        ["tls-port".into(), port.to_string()],
        ["tls-cert-file".into(), file(cert)],
        ["tls-key-file".into(), file(key)],
        ["tls-ca-cert-file".into(), file(authority.ca())],
        ["tls-auth-clients".into(), "no".into()],
        ["tls-replication".into(), "yes".into()],
    ]
}

fn as_args(options: Vec<[String; 2]>) -> Vec<String> {
    options.into_iter().flat_map(|[name, value]| [format!("--{name}"), value]).collect()
}

#[tokio::test]
async fn tls_to_sentinels_and_to_the_master_that_they_name() {
    let authority = Authority::new();
    let (master_port, sentinel_port) = (free_port(), free_port());
    let args = as_args(tls_options(&authority, master_port));
    let _master = RedisServer::start(&args.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let lines = tls_options(&authority, sentinel_port).into_iter().map(|option| option.join(" "));
    let lines = lines.collect::<Vec<_>>().join("\n") + "\n";
    let sentinel = RedisServer::sentinel_with(master_port, &lines, "").await;
    let right = config::Redis {
        addr: format!("127.0.0.1:{sentinel_port}"),
        mode: RedisMode::Sentinel,
        tls: true,
        tls_ca: authority.ca(),
        ..config::Redis::default()
    };
    writes(&right).await;
    eventually("the Sentinel itself reaches the master", async || {
        let masters: Vec<std::collections::HashMap<String, String>> =
            sentinel.ask(&["SENTINEL", "MASTERS"]);
        masters[0]["flags"] == "master"
            && masters[0]["role-reported"] == "master"
            && !masters[0]["runid"].is_empty()
    })
    .await;
    is_refused(&config::Redis { tls_ca: Authority::new().ca(), ..right }, "certificate").await;
}

/// Authorities are replaced as files: the next connection goes by the new ones.
#[tokio::test]
async fn authorities_are_read_again_for_each_connection() {
    let (ours, other) = (Authority::new(), Authority::new());
    let port = free_port();
    let args = as_args(tls_options(&ours, port));
    let _server = RedisServer::start(&args.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let file = other.ca();
    let config = config::Redis {
        addr: format!("127.0.0.1:{port}"),
        tls: true,
        tls_ca: file.clone(),
        ..config::Redis::default()
    };
    let link = open(&config);
    eventually("the other authority has not signed it", async || link.trouble().is_some()).await;
    assert!(!link.is_up());
    // A file that is of no use for a moment changes nothing.
    std::fs::write(&file, "half a file").unwrap();
    std::fs::copy(ours.ca(), &file).unwrap();
    eventually("it is trusted", async || link.is_up()).await;
}

#[tokio::test]
async fn tls_to_a_redis_cluster() {
    let authority = Authority::new();
    let mut ports = Vec::new();
    let shards = Shards::start_with(2, || {
        ports.push(free_port());
        let mut options = tls_options(&authority, ports[ports.len() - 1]);
        options.push(["tls-cluster".into(), "yes".into()]);
        as_args(options)
    })
    .await;
    let right = config::Redis {
        addr: format!("127.0.0.1:{},127.0.0.1:{}", ports[0], ports[1]),
        tls: true,
        tls_ca: authority.ca(),
        ..shards.config()
    };
    writes(&right).await;
    let link = open(&right);
    eventually("all parts are written to", async || {
        let increments = (0..50).map(|n| {
            let mut command = redis::cmd("INCR");
            command.arg(format!("key-{n}"));
            command
        });
        let answers = link.ask_all(&increments.collect::<Vec<_>>()).await;
        answers.is_ok_and(|answers| answers.iter().all(Result::is_ok))
    })
    .await;
    for server in &shards.servers {
        assert!(server.ask::<usize>(&["DBSIZE"]) > 5, "both have their share");
    }
    is_refused(&config::Redis { tls_ca: Authority::new().ca(), ..right }, "certificate").await;
}
