//! A link against servers that die, stop, move, and want a password.

use super::super::super::testing::{RedisServer, eventually, free_port};
use super::*;
use crate::clock::Clock;
use crate::config::Secret;

fn open(config: &config::Redis) -> Link {
    Link::open(config, "test", Metrics::new(1)).unwrap()
}

async fn connected(config: &config::Redis) -> Link {
    let link = open(config);
    eventually("the link is up", async || link.is_up()).await;
    link
}

async fn set(link: &Link, key: &str) -> Result<String, Fault> {
    link.ask(redis::cmd("SET").arg(key).arg("1")).await
}

async fn set_at_last(link: &Link, key: &str) {
    eventually("a write gets through", async || set(link, key).await.is_ok()).await;
}

#[tokio::test]
async fn opening_does_not_wait_and_calls_fail_at_once_without_a_server() {
    let port = free_port();
    let config = config::Redis { addr: format!("127.0.0.1:{port}"), ..config::Redis::default() };
    let link = open(&config);
    assert!(matches!(set(&link, "a").await, Err(Fault::Down)));
    let url = format!("redis://127.0.0.1:{port}");
    let server = RedisServer::spawn(port, url, &[]);
    set_at_last(&link, "a").await;
    assert_eq!(server.get("a").as_deref(), Some("1"));
}

#[tokio::test]
async fn a_killed_server_is_noticed_by_an_idle_link_and_found_again() {
    let mut server = RedisServer::start(&[]).await;
    let link = connected(&server.config()).await;
    let first = link.watch().borrow().as_ref().map(Live::number);
    server.kill();
    eventually("the link is down", async || !link.is_up()).await;
    server.restart().await;
    set_at_last(&link, "a").await;
    assert!(link.watch().borrow().as_ref().map(Live::number) > first, "a new connection");
}

#[tokio::test]
async fn a_stopped_server_costs_callers_one_time_out_at_most() {
    let server = RedisServer::start(&[]).await;
    let link = connected(&server.config()).await;
    server.freeze();
    let clock = Clock::start();
    let answers = futures_util::future::join_all((0..50).map(|_| set(&link, "a"))).await;
    assert!(answers.iter().all(Result::is_err));
    assert!(clock.now() < Duration::from_secs(5), "they waited side by side: {:?}", clock.now());
    assert!(matches!(set(&link, "a").await, Err(Fault::Down)), "nobody else waits");
    server.thaw();
    set_at_last(&link, "a").await;
}

#[tokio::test]
async fn many_commands_have_an_answer_each() {
    let server = RedisServer::start(&[]).await;
    let link = connected(&server.config()).await;
    let commands: Vec<Cmd> = ["1", "x", "2"]
        .into_iter()
        .map(|by| {
            let mut command = redis::cmd("INCRBY");
            command.arg("n").arg(by);
            command
        })
        .collect();
    let answers = link.ask_all(&commands).await.unwrap();
    assert_eq!(answers[0], Ok(Value::Int(1)));
    assert!(answers[1].is_err());
    assert_eq!(answers[2], Ok(Value::Int(3)));
    assert!(link.is_up(), "a wrong command says nothing about the server");
}

#[tokio::test]
async fn a_replica_is_not_used_until_it_is_the_master() {
    let master = RedisServer::start(&[]).await;
    let replica = RedisServer::start(&[]).await;
    let link = connected(&replica.config()).await;
    replica.ask::<()>(&["REPLICAOF", "127.0.0.1", &master.port.to_string()]);
    eventually("a write is refused", async || set(&link, "a").await.is_err()).await;
    eventually("the link is down", async || !link.is_up()).await;
    replica.ask::<()>(&["REPLICAOF", "NO", "ONE"]);
    set_at_last(&link, "a").await;
}

#[tokio::test]
async fn a_server_that_still_loads_is_not_used() {
    let slow = ["--key-load-delay", "10000", "--loading-process-events-interval-bytes", "1024"];
    let mut server = RedisServer::start(&slow).await;
    for n in 0..100 {
        server.ask::<()>(&["SET", &format!("key-{n}"), &"x".repeat(100)]);
    }
    server.ask::<()>(&["SAVE"]);
    let link = connected(&server.config()).await;
    server.kill();
    server.begin_restart();
    eventually("it loads", async || {
        let said = server.try_ask::<String>(&redis::cmd("PING"));
        said.is_err_and(|error| error.code() == Some("LOADING"))
    })
    .await;
    assert!(set(&link, "a").await.is_err());
    set_at_last(&link, "a").await;
    assert_eq!(server.ask::<usize>(&["DBSIZE"]), 101);
}

#[tokio::test]
async fn a_password_an_acl_user_and_a_database() {
    let acl = "--user gate on >s3cret ~acc:* +@all --user default off";
    let acl: Vec<&str> = acl.split_whitespace().collect();
    let port = free_port();
    let url = format!("redis://gate:s3cret@127.0.0.1:{port}/2");
    let server = RedisServer::spawn(port, url, &acl);
    server.wait_until_ready().await;
    let right = config::Redis {
        username: "gate".into(),
        password: Secret::from("s3cret"),
        db: 2,
        ..server.config()
    };
    let link = connected(&right).await;
    set_at_last(&link, "acc:a").await;
    assert_eq!(server.get("acc:a").as_deref(), Some("1"));
    let wrong = Link::open(
        &config::Redis { password: Secret::from("guess"), ..right },
        "test",
        Metrics::new(1),
    );
    let wrong = wrong.unwrap();
    let errors = || wrong.line.metrics.cluster.redis_errors.load(Ordering::Relaxed);
    eventually("it was refused", async || errors() > 0).await;
    assert!(!wrong.is_up());
}

#[tokio::test]
async fn tls_with_an_authority_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::write(file("cert.pem"), made.cert.pem()).unwrap();
    std::fs::write(file("key.pem"), made.signing_key.serialize_pem()).unwrap();
    let port = free_port();
    let plain = free_port();
    let (tls_port, cert, key) = (port.to_string(), file("cert.pem"), file("key.pem"));
    let args = ["--tls-port", &tls_port, "--tls-cert-file", &cert, "--tls-key-file", &key];
    let more = ["--tls-ca-cert-file", &cert, "--tls-auth-clients", "no"];
    let url = format!("redis://127.0.0.1:{plain}");
    let server = RedisServer::spawn(plain, url, &[args.as_slice(), &more].concat());
    server.wait_until_ready().await;
    let config = config::Redis {
        addr: format!("localhost:{port}"),
        tls: true,
        tls_ca: cert.into(),
        ..config::Redis::default()
    };
    let link = connected(&config).await;
    set_at_last(&link, "a").await;
    let untrusted = open(&config::Redis { tls_ca: "".into(), ..config.clone() });
    let errors = || untrusted.line.metrics.cluster.redis_errors.load(Ordering::Relaxed);
    eventually("the usual authorities do not vouch for it", async || errors() > 0).await;
    assert!(!untrusted.is_up());
    let missing = config::Redis { tls_ca: file("nothing.pem").into(), ..config };
    let error = Link::open(&missing, "test", Metrics::new(1)).unwrap_err();
    assert!(error.to_string().starts_with("redis.tls_ca: "), "{error}");
}
