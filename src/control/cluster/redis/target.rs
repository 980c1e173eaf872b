//! From the configuration to a connection: one server, Sentinels, or a Redis Cluster.

use super::keys;
use crate::config::{self, RedisMode};
use crate::host::pem::{PemError, PemFile};
use futures_util::future::join_all;
use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::cluster::{ClusterClient, ClusterClientBuilder};
use redis::cluster_async::ClusterConnection;
use redis::sentinel::{SentinelClient, SentinelClientBuilder, SentinelServerType};
use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionAddr, ConnectionInfo, ErrorKind,
    IntoConnectionInfo, Pipeline, RedisConnectionInfo, RedisError, RedisResult, TlsCertificates,
    TlsMode, Value,
};
use std::fmt;
use std::time::Duration;

/// Why `[redis]` cannot be used, whatever answers there.
#[derive(Debug, thiserror::Error)]
pub(in crate::control) enum TargetError {
    /// The authorities' file is of no use.
    #[error(transparent)]
    Authorities(#[from] PemError),
    /// The client library refuses the settings.
    #[error("cannot use [redis]: {0}")]
    Settings(#[from] RedisError),
}

/// What a link connects to.
pub(super) enum Target {
    Standalone(Box<Client>),
    /// With the address of the master that the last connection leads to.
    Sentinel(Box<SentinelClient>, String),
    Cluster(Box<ClusterClient>),
}

/// Time to connect, which no caller waits for. With TLS and a name server far
/// away `redis.timeout` would be too short.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// A cluster asks its nodes one after the other, and Sentinels are asked first.
const DISCOVERY_TIMEOUT: Duration = Duration::from_secs(10);

/// Requests of one link under way at once; further ones wait within their time-out.
const REQUESTS_MAX: usize = 8_192;

impl Target {
    pub(super) fn new(config: &config::Redis) -> Result<Self, TargetError> {
        let authorities = authorities(config)?;
        let addresses = addresses(config)?;
        let login = login(config);
        match config.mode {
            RedisMode::Standalone => {
                let address = addresses.into_iter().next().ok_or_else(no_address)?;
                let target = address.into_connection_info()?.set_redis_settings(login);
                let client = match authorities {
                    Some(certificates) if config.tls => {
                        Client::build_with_tls(target, certificates)?
                    }
                    _ => Client::open(target)?,
                };
                Ok(Self::Standalone(Box::new(client)))
            }
            RedisMode::Sentinel => {
                let client = sentinel(config, addresses, authorities)?;
                Ok(Self::Sentinel(Box::new(client), String::new()))
            }
            RedisMode::Cluster => {
                let nodes = addresses.into_iter().map(|address| {
                    Ok(address.into_connection_info()?.set_redis_settings(login.clone()))
                });
                let nodes = nodes.collect::<RedisResult<Vec<ConnectionInfo>>>()?;
                let mut builder = ClusterClientBuilder::new(nodes)
                    .connection_timeout(CONNECT_TIMEOUT)
                    // Each command fails before the whole of its batch does.
                    .response_timeout(config.timeout.mul_f64(0.8))
                    .min_retry_wait(20)
                    .max_retry_wait(200)
                    .retries(5);
                if let Some(certificates) = authorities {
                    builder = builder.certs(certificates);
                }
                Ok(Self::Cluster(Box::new(builder.build()?)))
            }
        }
    }

    /// Opens a connection and makes sure that it can be used.
    pub(super) async fn connect(&mut self, timeout: Duration) -> RedisResult<Connection> {
        let settings = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_TIMEOUT.max(timeout)))
            .set_response_timeout(Some(CONNECT_TIMEOUT.max(timeout)))
            .set_concurrency_limit(REQUESTS_MAX);
        let opened = async {
            let mut connection = match self {
                Self::Standalone(client) => Connection::One(
                    client.get_multiplexed_async_connection_with_config(&settings).await?,
                ),
                Self::Sentinel(sentinels, master) => {
                    let client = sentinels.async_get_client().await?;
                    *master = client.get_connection_info().addr().to_string();
                    Connection::One(
                        client.get_multiplexed_async_connection_with_config(&settings).await?,
                    )
                }
                Self::Cluster(client) => Connection::Cluster(client.get_async_connection().await?),
            };
            connection.check().await?;
            connection.refuse_part_of_cluster().await?;
            Ok(connection)
        };
        tokio::time::timeout(DISCOVERY_TIMEOUT, opened)
            .await
            .unwrap_or_else(|_| Err(RedisError::from((ErrorKind::Io, "nobody answered in time"))))
    }

    /// Whether Sentinels that answer name another master now. The old one may not
    /// know, if it is cut off from them but not from this node.
    pub(super) async fn has_moved(&mut self) -> bool {
        let Self::Sentinel(sentinels, master) = self else { return false };
        let asked = tokio::time::timeout(CONNECT_TIMEOUT, sentinels.async_get_client());
        let Ok(Ok(client)) = asked.await else { return false };
        client.get_connection_info().addr().to_string() != *master
    }
}

/// An open connection; its clones share it.
#[derive(Clone)]
pub(super) enum Connection {
    One(MultiplexedConnection),
    Cluster(ClusterConnection),
}

impl Connection {
    pub(super) async fn one(&mut self, command: &Cmd) -> RedisResult<Value> {
        let answer = match self {
            Self::One(connection) => connection.req_packed_command(command).await,
            Self::Cluster(connection) => connection.req_packed_command(command).await,
        };
        answer.and_then(Value::extract_error)
    }

    /// Answers in the order of the commands. A Redis Cluster takes no pipeline
    /// over several slots, so there the commands go side by side.
    pub(super) async fn many(&mut self, commands: &[Cmd]) -> RedisResult<Vec<RedisResult<Value>>> {
        match self {
            Self::One(connection) => {
                let mut pipeline = Pipeline::with_capacity(commands.len());
                for command in commands {
                    pipeline.add_command(command.clone());
                }
                let answers = connection.req_packed_commands(&pipeline, 0, commands.len()).await?;
                Ok(answers.into_iter().map(Value::extract_error).collect())
            }
            Self::Cluster(connection) => {
                let answers = commands.iter().map(|command| {
                    let mut connection = connection.clone();
                    async move {
                        connection.req_packed_command(command).await.and_then(Value::extract_error)
                    }
                });
                Ok(join_all(answers).await)
            }
        }
    }

    /// Fails if the server is loading, is a replica, or does not answer; of a
    /// Redis Cluster it is enough that some part of it answers.
    pub(super) async fn check(&mut self) -> RedisResult<()> {
        if self.is_cluster() {
            let probes: Vec<Cmd> = (0..CLUSTER_PROBES).map(|n| probe(Some(n))).collect();
            return any_ok(self.many(&probes).await?);
        }
        self.one(&probe(None)).await?;
        // An ACL may forbid the question; READONLY tells then, at the first write.
        let role = self.one(&redis::cmd("ROLE")).await.ok();
        let role = role.and_then(|role| role.into_sequence().ok()?.into_iter().next());
        if matches!(role, Some(Value::BulkString(name)) if name == b"slave") {
            return Err(RedisError::from((ErrorKind::Client, REPLICA)));
        }
        Ok(())
    }

    /// Fails if it leads to one server of a Redis Cluster that has others as well: that one
    /// refuses the keys of the others, so records of some users would be lost for ever.
    async fn refuse_part_of_cluster(&mut self) -> RedisResult<()> {
        if self.is_cluster() {
            return Ok(());
        }
        // A server without clusters refuses the question; an ACL may forbid it, and MOVED tells then.
        let Ok(slots) = self.one(redis::cmd("CLUSTER").arg("SLOTS")).await else { return Ok(()) };
        if masters(&slots).len() > 1 {
            let why =
                "redis.addr names one server of a Redis Cluster: set redis.mode = \"cluster\"";
            return Err(RedisError::from((ErrorKind::Client, why)));
        }
        Ok(())
    }

    pub(super) fn is_cluster(&self) -> bool {
        matches!(self, Self::Cluster(_))
    }
}

/// The masters in an answer of `CLUSTER SLOTS`: the first server of each range, by address and port.
fn masters(slots: &Value) -> Vec<&Value> {
    let mut masters = Vec::new();
    let Value::Array(ranges) = slots else { return masters };
    for range in ranges {
        let Value::Array(parts) = range else { continue };
        // The first and the last slot come before the servers. The third part of a server is its id.
        let Some(Value::Array(master)) = parts.get(2) else { continue };
        let Some(id) = master.get(2) else { continue };
        if !masters.contains(&id) {
            masters.push(id);
        }
    }
    masters
}

/// What is wrong with a server that answers, but takes no writes.
pub(super) const REPLICA: &str = "it is a replica, not the master";

/// Keys that a Redis Cluster is asked for, each in a slot of its own.
const CLUSTER_PROBES: u32 = 8;

fn probe(number: Option<u32>) -> Cmd {
    let number = number.map_or_else(String::new, |number| format!(":{number}"));
    let mut command = redis::cmd("GET");
    command.arg(format!("{}{number}", keys::PROBE));
    command
}

fn any_ok(answers: Vec<RedisResult<Value>>) -> RedisResult<()> {
    let mut last = Ok(());
    for answer in answers {
        match answer {
            Ok(_) => return Ok(()),
            Err(error) => last = Err(error),
        }
    }
    last
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_cluster() { "Cluster" } else { "One" })
    }
}

fn sentinel(
    config: &config::Redis,
    addresses: Vec<ConnectionAddr>,
    authorities: Option<TlsCertificates>,
) -> RedisResult<SentinelClient> {
    let master = config.sentinel_master.as_str();
    let mut builder = SentinelClientBuilder::new(addresses, master, SentinelServerType::Master)?
        .set_client_to_redis_db(i64::from(config.db));
    if !config.username.is_empty() {
        builder = builder.set_client_to_redis_username(&config.username);
    }
    if !config.password.is_empty() {
        builder = builder.set_client_to_redis_password(config.password.reveal());
    }
    if !config.sentinel_username.is_empty() {
        builder = builder.set_client_to_sentinel_username(&config.sentinel_username);
    }
    if !config.sentinel_password.is_empty() {
        builder = builder.set_client_to_sentinel_password(config.sentinel_password.reveal());
    }
    if config.tls {
        builder = builder.set_client_to_redis_tls_mode(TlsMode::Secure);
        if let Some(certificates) = authorities {
            builder = builder
                .set_client_to_redis_certificates(certificates.clone())
                .set_client_to_sentinel_certificates(certificates);
        }
    }
    builder.build()
}

fn login(config: &config::Redis) -> RedisConnectionInfo {
    let mut login = RedisConnectionInfo::default().set_db(i64::from(config.db));
    if !config.username.is_empty() {
        login = login.set_username(&config.username);
    }
    if !config.password.is_empty() {
        login = login.set_password(config.password.reveal());
    }
    login
}

/// The addresses of `redis.addr`.
fn addresses(config: &config::Redis) -> RedisResult<Vec<ConnectionAddr>> {
    let parse = |text: &str| {
        let (host, port) = text.trim().rsplit_once(':')?;
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let port = port.parse().ok()?;
        Some(if config.tls {
            ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None }
        } else {
            ConnectionAddr::Tcp(host, port)
        })
    };
    config.addr.split(',').map(|text| parse(text).ok_or_else(no_address)).collect()
}

fn no_address() -> RedisError {
    RedisError::from((ErrorKind::InvalidClientConfig, "redis.addr is not host:port"))
}

/// The authorities of `redis.tls_ca`; without them the usual ones are trusted.
fn authorities(config: &config::Redis) -> Result<Option<TlsCertificates>, TargetError> {
    let path = &config.tls_ca;
    if path.as_os_str().is_empty() {
        return Ok(None);
    }
    let file = PemFile::read("redis.tls_ca", path)?;
    // The library takes a file without any for one that trusts nobody.
    file.certificates()?;
    let certificates = TlsCertificates { client_tls: None, root_cert: Some(file.into_bytes()) };
    Ok(config.tls.then_some(certificates))
}
