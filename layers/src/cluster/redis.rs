//! A store in Redis, Valkey, or another server that speaks their protocol and runs their scripts.

use super::store::{Answer, Batch, Claim, Store, StoreFuture};
use reagent::BoxError;
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ErrorKind, RedisError, Script, ServerErrorKind,
    aio::MultiplexedConnection,
};
use std::{
    error::Error,
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio_rustls::rustls::crypto;

/// The time limit for connecting, which includes TLS and `AUTH`.
const CONNECT: Duration = Duration::from_secs(1);

/// A [`Store`] in Redis 5 or later, or in Valkey.
///
/// It connects when a batch needs a connection, and drops a connection that has failed or been too
/// slow. So the pauses of the [`Driver`](super::Driver) are those between connects. All commands
/// are one Lua script by `EVALSHA`, which uses the clock of the server. If the server does not have
/// the script, as after a restart, it is loaded again.
///
/// The keys of a cluster are `{PREFIX:NAME}` and, for each client with connections,
/// `{PREFIX:NAME}:LIMIT:ADDRESS`. All of them expire.
///
/// In a Redis Cluster, the braces keep the keys of one name on one node. The URL may name any node:
/// the store follows `MOVED` to the one that has the keys, with the user, the password and the TLS
/// settings of the URL, and stays with it until it cannot be reached. It does not follow `ASK`, so
/// while that slot is moved from one node to another, the store may be lost for that time.
pub struct RedisStore {
    client: Client,
    prefix: String,
    script: Script,
    node: Mutex<Node>,
}

/// The node that has the keys.
#[derive(Default)]
struct Node {
    /// Its address, if it is not the one of the URL.
    moved_to: Option<ConnectionAddr>,
    connection: Option<MultiplexedConnection>,
}

impl RedisStore {
    /// Creates a store at a URL, without connecting to it:
    /// `redis://[[USER]:PASSWORD@]HOST[:PORT][/DATABASE]`, `rediss://…` for TLS, or
    /// `redis+unix:///PATH`.
    ///
    /// The certificates of a server with TLS are verified by the roots of the operating system. If
    /// the process has no default crypto provider of rustls, this installs that of *ring*.
    ///
    /// # Errors
    ///
    /// Returns [`InvalidUrl`] if the URL does not have this form.
    pub fn new(url: &str) -> Result<Self, InvalidUrl> {
        let client = Client::open(url).map_err(InvalidUrl)?;
        if let ConnectionAddr::TcpTls { .. } = client.get_connection_info().addr() {
            // Fails if there is one. The client would panic if it had to choose between two.
            let _ = crypto::ring::default_provider().install_default();
        }
        Ok(RedisStore {
            client,
            prefix: "reagent".into(),
            script: Script::new(include_str!("redis.lua")),
            node: Mutex::default(),
        })
    }

    /// Sets the prefix of all keys. The default is `reagent`.
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// Returns the connection, or makes one.
    async fn connection(&self) -> Result<MultiplexedConnection, RedisError> {
        let moved_to = {
            let node = self.lock();
            if let Some(open) = &node.connection {
                return Ok(open.clone());
            }
            node.moved_to.clone()
        };
        let mut info = self.client.get_connection_info().clone();
        if let Some(addr) = moved_to {
            // Unless it can be reached, the next attempt begins at the URL.
            self.lock().moved_to = None;
            info = info.set_addr(addr);
        }
        let addr = info.addr().clone();
        // The driver has its own time limit for answers.
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT))
            .set_response_timeout(None);
        let client = Client::open(info)?;
        let new = client
            .get_multiplexed_async_connection_with_config(&config)
            .await?;
        let mut node = self.lock();
        node.moved_to = Some(addr);
        node.connection = Some(new.clone());
        Ok(new)
    }

    /// Goes to the node that a `MOVED` names.
    fn follow(&self, moved: &RedisError) {
        let mut node = self.lock();
        let url = self.client.get_connection_info().addr();
        let asked = node.moved_to.as_ref().unwrap_or(url);
        let redirect = moved.redirect_node();
        node.moved_to = redirect.and_then(|(addr, _slot)| at(asked, addr));
        node.connection = None;
    }

    fn lock(&self) -> MutexGuard<'_, Node> {
        self.node.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn apply(&self, batch: &Batch) -> Result<Answer, BoxError> {
        let tag = format!("{{{}:{}}}", self.prefix, batch.cluster);
        let mut call = self.script.prepare_invoke();
        call.key(&tag);
        call.arg(&batch.instance)
            .arg(micros(batch.lease))
            .arg(batch.instances)
            .arg(u8::from(batch.is_leaving));
        for claim in &batch.claims {
            match claim {
                Claim::Places {
                    key,
                    want,
                    hold,
                    max,
                    number,
                } => call
                    .key(format!("{tag}:{key}"))
                    .arg(*want)
                    .arg(*hold)
                    .arg(*max)
                    .arg(*number),
                Claim::Tokens {
                    key,
                    want,
                    interval,
                    burst,
                } => call
                    .key(format!("{tag}:{key}"))
                    .arg(*want)
                    .arg("rate")
                    .arg(*burst)
                    .arg(interval.as_secs_f64() * 1e6),
            };
        }
        let broken = Broken(self);
        let mut connection = self.connection().await?;
        let mut answer: Result<Vec<i64>, RedisError> = call.invoke_async(&mut connection).await;
        if let Err(error) = &answer {
            if error.kind() == ErrorKind::Server(ServerErrorKind::Moved) {
                self.follow(error);
                connection = self.connection().await?;
                answer = call.invoke_async(&mut connection).await;
            }
        }
        let answer = answer?;
        std::mem::forget(broken);
        let [instances, is_learning, granted @ ..] = &answer[..] else {
            return Err("the script answered with less than its head".into());
        };
        Ok(Answer {
            instances: usize::try_from(*instances)?,
            is_learning: *is_learning != 0,
            granted: granted
                .iter()
                .map(|granted| u32::try_from(*granted).ok())
                .collect(),
        })
    }
}

impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The URL may have a password.
        f.debug_struct("RedisStore")
            .field("addr", self.client.get_connection_info().addr())
            .field("prefix", &self.prefix)
            .finish_non_exhaustive()
    }
}

/// Drops the connection of a batch that failed or was given up, so that the next one makes a new connection.
struct Broken<'a>(&'a RedisStore);

impl Drop for Broken<'_> {
    fn drop(&mut self) {
        self.0.lock().connection = None;
    }
}

/// Returns the address of a node, `HOST:PORT` as in a `MOVED`, to be reached as the one that was
/// `asked`. A node that does not know its host leaves it out, and means that of the asked one.
fn at(asked: &ConnectionAddr, addr: &str) -> Option<ConnectionAddr> {
    let (new_host, new_port) = addr.rsplit_once(':')?;
    let mut moved = asked.clone();
    match &mut moved {
        ConnectionAddr::Tcp(host, port) | ConnectionAddr::TcpTls { host, port, .. } => {
            *port = new_port.parse().ok()?;
            if !new_host.is_empty() {
                *host = new_host.into();
            }
        }
        _ => return None,
    }
    Some(moved)
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

impl Store for RedisStore {
    fn claim<'a>(&'a self, batch: &'a Batch) -> StoreFuture<'a> {
        Box::pin(self.apply(batch))
    }
}

/// The error of a URL that names no server.
#[derive(Debug)]
pub struct InvalidUrl(RedisError);

impl fmt::Display for InvalidUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The error does not repeat the URL, which may have a password.
        write!(
            f,
            "invalid store URL: {}; expected redis://[[USER]:PASSWORD@]HOST[:PORT][/DATABASE], \
             rediss://… for TLS, or redis+unix:///PATH",
            self.0
        )
    }
}

impl Error for InvalidUrl {}
