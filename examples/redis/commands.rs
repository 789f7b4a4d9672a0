//! The commands: a service of requests for every connection.

use super::{
    glob::matches,
    info,
    resp::{Facts, MAX_BULK, Reply, Request, parse_int},
    store::{Key, Store, Value, now},
    topics::{Kind, Listener, Topics},
    transaction::{Transaction, Watched},
};
use std::{
    collections::BTreeSet,
    convert::Infallible,
    future::{Ready, ready},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll},
};
use tower::Service;

/// State shared by all connections.
#[derive(Debug)]
pub struct Server {
    pub password: Option<String>,
    pub topics: Topics,
    pub clients: AtomicUsize,
    stores: [Mutex<Store>; DATABASES],
    /// Locked for writing by a transaction, so that it is atomic, and for reading by every other
    /// command.
    pub transaction: RwLock<()>,
}

/// The number of databases, which is Redis's default.
pub const DATABASES: usize = 16;

impl Server {
    pub fn new(password: Option<String>) -> Self {
        Server {
            password,
            topics: Topics::default(),
            clients: AtomicUsize::new(0),
            stores: std::array::from_fn(|_| Mutex::default()),
            transaction: RwLock::default(),
        }
    }

    /// Returns the keys of a database. `database` must be less than [`DATABASES`].
    pub fn store(&self, database: usize) -> MutexGuard<'_, Store> {
        let store = &self.stores[database % DATABASES];
        store.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The command service of one client.
#[derive(Debug)]
pub struct Commands {
    pub(super) server: Arc<Server>,
    facts: Arc<Facts>,
    me: Listener,
    name: Arc<[u8]>,
    database: usize,
    pub(super) transaction: Option<Transaction>,
    pub(super) watched: Watched,
    channels: BTreeSet<Box<[u8]>>,
    patterns: BTreeSet<Box<[u8]>>,
}

pub type Result<T = Reply> = std::result::Result<T, Reply>;

const SYNTAX: &str = "ERR syntax error";
const NO_NUMBER: &str = "ERR value is not an integer or out of range";
const WRONG_PASSWORD: &str = "WRONGPASS invalid username-password pair or user is disabled.";

/// The version of Redis whose behaviour this program follows.
pub const VERSION: &str = "7.0.15";

impl Service<Request> for Commands {
    type Response = Reply;
    type Error = Infallible;
    type Future = Ready<std::result::Result<Reply, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<std::result::Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        ready(Ok(self.run(&request).unwrap_or_else(|error| error)))
    }
}

impl Commands {
    pub fn new(server: Arc<Server>, facts: Arc<Facts>, me: Listener) -> Self {
        server.clients.fetch_add(1, Relaxed);
        Commands {
            server,
            facts,
            me,
            name: Arc::from([]),
            database: 0,
            transaction: None,
            watched: Watched::default(),
            channels: BTreeSet::new(),
            patterns: BTreeSet::new(),
        }
    }

    fn run(&mut self, request: &Request) -> Result {
        let mut upper = [0; 16];
        let name = match upper.get_mut(..request.arg(0).len()) {
            Some(upper) => {
                upper.copy_from_slice(request.arg(0));
                upper.make_ascii_uppercase();
                &*upper
            }
            None => &[],
        };
        // A web page can make a browser send HTTP requests to a local port. Nothing in the body of
        // such a request must be executed, so the connection is closed at the first line
        // (CVE-2016-8339 of Redis, cross-protocol scripting).
        if matches!(name, b"POST" | b"HOST:") {
            return Ok(Reply::HangUp);
        }
        let is_free = matches!(name, b"AUTH" | b"HELLO" | b"QUIT" | b"RESET");
        if !is_free && !self.facts.is_known.load(Relaxed) {
            return Err(Reply::error("NOAUTH Authentication required."));
        }
        let args = request.len() - 1;
        match fits(name, args) {
            Some(true) => {}
            Some(false) => {
                let name = String::from_utf8_lossy(name).to_lowercase();
                let text = format!("ERR wrong number of arguments for '{name}' command");
                return Err(self.spoiled(Reply::error(text)));
            }
            None => return Err(self.spoiled(unknown(request))),
        }
        let is_subscribed = !self.channels.is_empty() || !self.patterns.is_empty();
        if is_subscribed && !self.facts.is_resp3.load(Relaxed) {
            return self.run_subscribed(name, request);
        }
        if let Some(reply) = self.queue(name, request) {
            return reply;
        }
        if name == b"EXEC" {
            return self.exec();
        }
        let server = self.server.clone();
        let _shared = server.transaction.read();
        self.run_one(name, request)
    }

    /// Runs a command. The caller has checked that it is allowed and has the right number of
    /// arguments.
    pub(super) fn run_one(&mut self, name: &[u8], request: &Request) -> Result {
        let args = request.len() - 1;
        let key = || request.arg(1);
        match name {
            b"GET" => Ok(self.store().get(key()).cloned().map_or(Reply::Null, bulk)),
            b"SET" => self.set(request),
            b"INCR" => self.add(key(), 1),
            b"PING" => Ok(match request.args(1).next() {
                Some(text) => Reply::bulk(text),
                None => Reply::Simple("PONG"),
            }),
            b"DECR" => self.add(key(), -1),
            b"INCRBY" => self.add(key(), int(request.arg(2))?),
            b"DECRBY" => match int(request.arg(2))?.checked_neg() {
                Some(by) => self.add(key(), by),
                None => Err(Reply::error("ERR decrement would overflow")),
            },
            b"MGET" => {
                let mut store = self.store();
                let values = request.args(1).map(|key| store.get(key).cloned());
                Ok(Reply::Array(
                    values
                        .map(|value| value.map_or(Reply::Null, bulk))
                        .collect(),
                ))
            }
            b"MSET" => {
                let mut store = self.store();
                for i in (1..args).step_by(2) {
                    store.set(request.arg(i), Value::new(request.arg(i + 1)), Some(0));
                }
                Ok(Reply::Ok)
            }
            b"APPEND" => self.append(key(), request.arg(2)),
            b"DEL" => {
                let mut store = self.store();
                let gone = request.args(1).filter(|key| store.remove(key)).count();
                Ok(Reply::Int(gone as i64))
            }
            b"EXISTS" => {
                let mut store = self.store();
                let there = request
                    .args(1)
                    .filter(|key| store.get(key).is_some())
                    .count();
                Ok(Reply::Int(there as i64))
            }
            b"EXPIRE" => self.expire(request, 1000),
            b"PEXPIRE" => self.expire(request, 1),
            b"TTL" => Ok(self.ttl(key(), 1000)),
            b"PTTL" => Ok(self.ttl(key(), 1)),
            b"KEYS" => {
                let store = self.store();
                let keys = store.keys().filter(|name| matches(key(), name));
                Ok(Reply::Array(keys.map(Reply::bulk).collect()))
            }
            b"DBSIZE" => Ok(Reply::Int(self.store().len() as i64)),
            b"FLUSHDB" => {
                self.flush(self.database);
                Ok(Reply::Ok)
            }
            b"FLUSHALL" => {
                (0..DATABASES).for_each(|database| self.flush(database));
                Ok(Reply::Ok)
            }
            b"SELECT" => match parse_int(key()).map(usize::try_from) {
                Some(Ok(database)) if database < DATABASES => {
                    self.database = database;
                    Ok(Reply::Ok)
                }
                Some(_) => Err(Reply::error("ERR DB index is out of range")),
                None => Err(Reply::error(NO_NUMBER)),
            },
            b"SETEX" => self.set_for("setex", request, 1000),
            b"PSETEX" => self.set_for("psetex", request, 1),
            b"SETNX" => {
                let mut store = self.store();
                let is_new = store.get(key()).is_none();
                if is_new {
                    store.set(key(), Value::new(request.arg(2)), Some(0));
                }
                Ok(Reply::Int(is_new.into()))
            }
            b"TYPE" => Ok(match self.store().get(key()) {
                Some(_) => Reply::Simple("string"),
                None => Reply::Simple("none"),
            }),
            b"SCAN" => self.scan(request),
            b"INFO" => Ok(Reply::bulk(info::info(&self.server, request))),
            b"MULTI" => {
                self.transaction = Some(Transaction::default());
                Ok(Reply::Ok)
            }
            b"DISCARD" => Err(Reply::error("ERR DISCARD without MULTI")),
            b"RESET" => {
                self.reset();
                Ok(Reply::Simple("RESET"))
            }
            b"PSUBSCRIBE" => Ok(self.subscribe(request, Kind::Pattern)),
            b"PUNSUBSCRIBE" => Ok(self.unsubscribe(request, Kind::Pattern)),
            b"ECHO" => Ok(Reply::bulk(key())),
            b"SUBSCRIBE" => Ok(self.subscribe(request, Kind::Channel)),
            b"WATCH" => {
                let mut store = self.server.store(self.database);
                for key in request.args(1) {
                    self.watched.add(self.database, key, store.version(key));
                }
                Ok(Reply::Ok)
            }
            b"UNWATCH" => {
                self.watched = Watched::default();
                Ok(Reply::Ok)
            }
            b"UNSUBSCRIBE" => Ok(self.unsubscribe(request, Kind::Channel)),
            b"PUBLISH" => {
                let count = self.server.topics.publish(key(), request.arg(2));
                Ok(Reply::Int(count as i64))
            }
            b"AUTH" => match args {
                1 if self.server.password.is_none() => Err(Reply::error(
                    "ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration is correct?",
                )),
                1 => self.auth(b"default", key()),
                2 => self.auth(key(), request.arg(2)),
                _ => Err(Reply::error(SYNTAX)),
            },
            b"HELLO" => self.hello(request),
            b"CLIENT" => self.client(request),
            b"CONFIG" => config(request),
            b"COMMAND" => Ok(match request.args(1).next() {
                Some(sub) if sub.eq_ignore_ascii_case(b"DOCS") => Reply::Map(Vec::new()),
                Some(sub) if sub.eq_ignore_ascii_case(b"COUNT") => Reply::Int(0),
                _ => Reply::Array(Vec::new()),
            }),
            b"QUIT" => Ok(Reply::Bye),
            _ => Err(unknown(request)),
        }
    }

    /// Runs a command of a RESP2 subscriber. Few are allowed, because a subscriber could not tell
    /// their replies from messages.
    fn run_subscribed(&mut self, name: &[u8], request: &Request) -> Result {
        match name {
            b"SUBSCRIBE" => Ok(self.subscribe(request, Kind::Channel)),
            b"UNSUBSCRIBE" => Ok(self.unsubscribe(request, Kind::Channel)),
            b"PSUBSCRIBE" => Ok(self.subscribe(request, Kind::Pattern)),
            b"PUNSUBSCRIBE" => Ok(self.unsubscribe(request, Kind::Pattern)),
            b"QUIT" => Ok(Reply::Bye),
            b"RESET" => {
                self.reset();
                Ok(Reply::Simple("RESET"))
            }
            b"PING" => {
                let text = request.args(1).next().unwrap_or(b"");
                Ok(Reply::Array(vec![Reply::bulk(b"pong"), Reply::bulk(text)]))
            }
            _ => {
                let name = String::from_utf8_lossy(request.arg(0)).to_lowercase();
                Err(Reply::error(format!(
                    "ERR Can't execute '{name}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context"
                )))
            }
        }
    }

    fn store(&self) -> MutexGuard<'_, Store> {
        self.server.store(self.database)
    }

    /// Large values are freed after the lock is released.
    fn flush(&self, database: usize) {
        let all = self.server.store(database).take();
        drop(all);
    }

    fn set_for(&self, command: &str, request: &Request, unit: i64) -> Result {
        let time = int(request.arg(2))?;
        let at = (time > 0).then(|| deadline(time, unit)).flatten();
        let bad = || Reply::error(format!("ERR invalid expire time in '{command}' command"));
        let value = Value::new(request.arg(3));
        self.store()
            .set(request.arg(1), value, Some(at.ok_or_else(bad)?));
        Ok(Reply::Ok)
    }

    /// Returns all keys at once, so that the next cursor is always 0.
    fn scan(&self, request: &Request) -> Result {
        let cursor = std::str::from_utf8(request.arg(1)).ok();
        let Some(cursor) = cursor.and_then(|cursor| cursor.parse::<u64>().ok()) else {
            return Err(Reply::error("ERR invalid cursor"));
        };
        let (mut pattern, mut has_strings) = (None, true);
        let mut options = request.args(2);
        while let Some(option) = options.next() {
            let value = options.next().ok_or(Reply::error(SYNTAX))?;
            match &*option.to_ascii_uppercase() {
                b"MATCH" => pattern = Some(value),
                b"COUNT" if int(value)? > 0 => {}
                b"TYPE" => has_strings = value.eq_ignore_ascii_case(b"string"),
                _ => return Err(Reply::error(SYNTAX)),
            }
        }
        let store = self.store();
        let is_wanted = |key: &&Key| pattern.is_none_or(|pattern| matches(pattern, key));
        let keys = store.keys().filter(is_wanted).map(Reply::bulk);
        let keys = match cursor == 0 && has_strings {
            true => keys.collect(),
            false => Vec::new(),
        };
        Ok(Reply::Array(vec![Reply::bulk("0"), Reply::Array(keys)]))
    }

    fn forget_subscriptions(&mut self) {
        let id = self.me.handle.id();
        for channel in std::mem::take(&mut self.channels) {
            self.server.topics.leave(Kind::Channel, &channel, id);
        }
        for pattern in std::mem::take(&mut self.patterns) {
            self.server.topics.leave(Kind::Pattern, &pattern, id);
        }
    }

    /// Restores the initial state of the connection.
    fn reset(&mut self) {
        self.forget_subscriptions();
        self.transaction = None;
        self.watched = Watched::default();
        self.database = 0;
        self.name = Arc::from([]);
        self.facts.is_resp3.store(false, Relaxed);
        let is_open = self.server.password.is_none();
        self.facts.is_known.store(is_open, Relaxed);
    }

    fn set(&self, request: &Request) -> Result {
        let (key, value) = (request.arg(1), request.arg(2));
        if request.len() == 3 {
            self.store().set(key, Value::new(value), Some(0));
            return Ok(Reply::Ok);
        }
        let (mut expires, mut only_if, mut gets) = (None, None, false);
        let mut options = request.args(3);
        while let Some(option) = options.next() {
            let option = option.to_ascii_uppercase();
            match &*option {
                b"NX" if only_if != Some(true) => only_if = Some(false),
                b"XX" if only_if != Some(false) => only_if = Some(true),
                b"GET" => gets = true,
                b"KEEPTTL" if expires.is_none() => expires = Some(None),
                b"EX" | b"PX" if expires.is_none() => {
                    let time = int(options.next().ok_or(Reply::error(SYNTAX))?)?;
                    let unit = if &*option == b"EX" { 1000 } else { 1 };
                    let at = (time > 0).then(|| deadline(time, unit)).flatten();
                    let bad = || Reply::error("ERR invalid expire time in 'set' command");
                    expires = Some(Some(at.ok_or_else(bad)?));
                }
                _ => return Err(Reply::error(SYNTAX)),
            }
        }
        let mut store = self.store();
        let old = store.get(key).cloned();
        let is_set = only_if.is_none_or(|there| there == old.is_some());
        if is_set {
            store.set(key, Value::new(value), expires.unwrap_or(Some(0)));
        }
        Ok(match (gets, old, is_set) {
            (true, Some(old), _) => bulk(old),
            (true, None, _) | (false, _, false) => Reply::Null,
            (false, _, true) => Reply::Ok,
        })
    }

    fn add(&self, key: &[u8], by: i64) -> Result {
        self.store()
            .add(key, by)
            .map(Reply::Int)
            .map_err(Reply::error)
    }

    fn append(&self, key: &[u8], more: &[u8]) -> Result {
        let mut store = self.store();
        let old = store.get(key).cloned();
        let mut bytes = old.map_or_else(Vec::new, |old| old.into_bytes().to_vec());
        if bytes.len() + more.len() > MAX_BULK {
            return Err(Reply::error(
                "ERR string exceeds maximum allowed size (proto-max-bulk-len)",
            ));
        }
        bytes.extend_from_slice(more);
        let len = bytes.len();
        store.set(key, Value::new(&bytes), None);
        Ok(Reply::Int(len as i64))
    }

    fn expire(&self, request: &Request, unit: i64) -> Result {
        let (key, time) = (request.arg(1), int(request.arg(2))?);
        let command = if unit == 1 { "pexpire" } else { "expire" };
        let bad = || Reply::error(format!("ERR invalid expire time in '{command}' command"));
        let at = deadline(time, unit).ok_or_else(bad)?;
        let mut conditions = Vec::new();
        for option in request.args(3) {
            match &*option.to_ascii_uppercase() {
                option @ (b"NX" | b"XX" | b"GT" | b"LT") => conditions.push(option.to_vec()),
                option => {
                    let option = String::from_utf8_lossy(option);
                    return Err(Reply::error(format!("ERR Unsupported option {option}")));
                }
            }
        }
        let mut store = self.store();
        let Some(old) = store.expires(key) else {
            return Ok(Reply::Int(0));
        };
        let holds = |condition: &Vec<u8>| match &**condition {
            b"NX" => old == 0,
            b"XX" => old != 0,
            b"GT" => old != 0 && at > old,
            _ => old == 0 || at < old,
        };
        if !conditions.iter().all(holds) {
            return Ok(Reply::Int(0));
        }
        match at <= now() {
            true => drop(store.remove(key)),
            false => store.set_expires(key, at),
        }
        Ok(Reply::Int(1))
    }

    fn ttl(&self, key: &[u8], unit: u64) -> Reply {
        Reply::Int(match self.store().expires(key) {
            None => -2,
            Some(0) => -1,
            Some(at) => ((at.saturating_sub(now()) + unit / 2) / unit) as i64,
        })
    }

    /// Confirmations are pushed, because pushes stay in order and the first message may arrive
    /// before this function returns.
    fn subscribe(&mut self, request: &Request, kind: Kind) -> Reply {
        for topic in request.args(1) {
            let is_new = self.topics(kind).insert(topic.into());
            let confirmed = Reply::Push(vec![
                Reply::bulk(kind.verb("subscribe")),
                Reply::bulk(topic),
                Reply::Int(self.subscriptions()),
            ]);
            if self.me.pusher.try_push(confirmed).is_err() {
                self.me.handle.abort();
            }
            if is_new {
                self.server.topics.join(kind, topic, &self.me);
            }
        }
        Reply::Nothing
    }

    fn topics(&mut self, kind: Kind) -> &mut BTreeSet<Box<[u8]>> {
        match kind {
            Kind::Channel => &mut self.channels,
            Kind::Pattern => &mut self.patterns,
        }
    }

    fn subscriptions(&self) -> i64 {
        (self.channels.len() + self.patterns.len()) as i64
    }

    /// Messages that were published earlier precede the reply, and none follow it.
    fn unsubscribe(&mut self, request: &Request, kind: Kind) -> Reply {
        let mut left: Vec<Box<[u8]>> = request.args(1).map(Box::from).collect();
        if left.is_empty() {
            left = self.topics(kind).iter().cloned().collect();
        }
        let confirmed = |topic: Reply, count: i64| {
            let verb = Reply::bulk(kind.verb("unsubscribe"));
            Reply::Push(vec![verb, topic, Reply::Int(count)])
        };
        if left.is_empty() {
            return confirmed(Reply::Null, self.subscriptions());
        }
        let mut replies = Vec::new();
        for topic in left {
            if self.topics(kind).remove(&topic) {
                self.server.topics.leave(kind, &topic, self.me.handle.id());
            }
            replies.push(confirmed(Reply::bulk(topic), self.subscriptions()));
        }
        Reply::All(replies)
    }

    fn auth(&mut self, user: &[u8], password: &[u8]) -> Result {
        if let Some(right) = &self.server.password {
            if user != b"default" || !is_same(right.as_bytes(), password) {
                return Err(Reply::error(WRONG_PASSWORD));
            }
        } else if user != b"default" {
            return Err(Reply::error(WRONG_PASSWORD));
        }
        self.facts.is_known.store(true, Relaxed);
        Ok(Reply::Ok)
    }

    fn hello(&mut self, request: &Request) -> Result {
        let version = match request.args(1).next() {
            None => None,
            Some(version) => match parse_int(version) {
                Some(version @ 2..=3) => Some(version),
                Some(_) => return Err(Reply::error("NOPROTO unsupported protocol version")),
                None => {
                    return Err(Reply::error(
                        "ERR Protocol version is not an integer or out of range",
                    ));
                }
            },
        };
        let mut options = request.args(2.min(request.len()));
        while let Some(option) = options.next() {
            match (&*option.to_ascii_uppercase(), options.len()) {
                (b"AUTH", 2..) => {
                    let user = options.next().unwrap_or_default();
                    self.auth(user, options.next().unwrap_or_default())?;
                }
                (b"SETNAME", 1..) => self.set_name(options.next().unwrap_or_default())?,
                _ => {
                    let option = String::from_utf8_lossy(option);
                    let text = format!("ERR Syntax error in HELLO option '{option}'");
                    return Err(Reply::error(text));
                }
            }
        }
        if !self.facts.is_known.load(Relaxed) {
            return Err(Reply::error(
                "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH <user> <pass> option can be used to authenticate the client and select the RESP protocol version at the same time",
            ));
        }
        if let Some(version) = version {
            self.facts.is_resp3.store(version == 3, Relaxed);
        }
        let proto = if self.facts.is_resp3.load(Relaxed) {
            3
        } else {
            2
        };
        Ok(Reply::Map(vec![
            Reply::bulk("server"),
            Reply::bulk("redis"),
            Reply::bulk("version"),
            Reply::bulk(VERSION),
            Reply::bulk("proto"),
            Reply::Int(proto),
            Reply::bulk("id"),
            Reply::Int(self.me.handle.id() as i64),
            Reply::bulk("mode"),
            Reply::bulk("standalone"),
            Reply::bulk("role"),
            Reply::bulk("master"),
            Reply::bulk("modules"),
            Reply::Array(Vec::new()),
        ]))
    }

    fn set_name(&mut self, name: &[u8]) -> Result<()> {
        if !name.iter().all(|byte| (b'!'..=b'~').contains(byte)) {
            return Err(Reply::error(
                "ERR Client names cannot contain spaces, newlines or special characters.",
            ));
        }
        self.name = name.into();
        Ok(())
    }

    fn client(&mut self, request: &Request) -> Result {
        match (&*request.arg(1).to_ascii_uppercase(), request.len()) {
            (b"ID", 2) => Ok(Reply::Int(self.me.handle.id() as i64)),
            (b"GETNAME", 2) if self.name.is_empty() => Ok(Reply::Null),
            (b"GETNAME", 2) => Ok(Reply::Bulk(self.name.clone())),
            (b"SETNAME", 3) => self.set_name(request.arg(2)).map(|()| Reply::Ok),
            (b"SETINFO", 4) => match &*request.arg(2).to_ascii_uppercase() {
                b"LIB-NAME" | b"LIB-VER" => Ok(Reply::Ok),
                _ => Err(Reply::error("ERR Unrecognized option")),
            },
            _ => Err(unknown_subcommand("CLIENT", request)),
        }
    }
}

impl Drop for Commands {
    fn drop(&mut self) {
        self.forget_subscriptions();
        self.server.clients.fetch_sub(1, Relaxed);
    }
}

fn bulk(value: Value) -> Reply {
    Reply::Bulk(value.into_bytes())
}

fn int(bytes: &[u8]) -> Result<i64> {
    parse_int(bytes).ok_or(Reply::error(NO_NUMBER))
}

/// Returns milliseconds since 1970. Negative times are clamped, since they have passed in any case.
fn deadline(time: i64, unit: i64) -> Option<u64> {
    let at = (now() as i64).checked_add(time.checked_mul(unit)?)?;
    Some(at.max(1) as u64)
}

/// Compares in constant time.
fn is_same(right: &[u8], given: &[u8]) -> bool {
    let mut differ = right.len() ^ given.len();
    for (i, byte) in given.iter().enumerate() {
        differ |= usize::from(byte ^ right.get(i % right.len().max(1)).unwrap_or(&0));
    }
    differ == 0
}

fn config(request: &Request) -> Result {
    let settings = [
        ("save", String::new()),
        ("appendonly", "no".into()),
        ("maxmemory", "0".into()),
        ("proto-max-bulk-len", MAX_BULK.to_string()),
    ];
    if !request.arg(1).eq_ignore_ascii_case(b"GET") || request.len() < 3 {
        return Err(unknown_subcommand("CONFIG", request));
    }
    let wanted = |name: &str| {
        let mut patterns = request.args(2);
        patterns.any(|pattern| matches(&pattern.to_ascii_lowercase(), name.as_bytes()))
    };
    let found = settings.iter().filter(|(name, _)| wanted(name));
    let both = found.flat_map(|(name, value)| [Reply::bulk(name), Reply::bulk(value)]);
    Ok(Reply::Map(both.collect()))
}

/// Returns whether a command accepts this number of arguments, or `None` if it is unknown.
fn fits(name: &[u8], args: usize) -> Option<bool> {
    Some(match name {
        b"DBSIZE" | b"EXEC" | b"DISCARD" | b"MULTI" | b"RESET" | b"UNWATCH" => args == 0,
        b"GET" | b"TTL" | b"PTTL" | b"INCR" | b"DECR" | b"ECHO" | b"KEYS" | b"SELECT" | b"TYPE" => {
            args == 1
        }
        b"INCRBY" | b"DECRBY" | b"APPEND" | b"PUBLISH" | b"SETNX" => args == 2,
        b"SETEX" | b"PSETEX" => args == 3,
        b"EXPIRE" | b"PEXPIRE" | b"SET" => args >= 2,
        b"DEL" | b"EXISTS" | b"MGET" | b"SUBSCRIBE" | b"PSUBSCRIBE" | b"AUTH" | b"CLIENT"
        | b"CONFIG" | b"SCAN" | b"WATCH" => args >= 1,
        b"MSET" => args >= 2 && args % 2 == 0,
        b"PING" => args <= 1,
        b"COMMAND" | b"FLUSHALL" | b"FLUSHDB" | b"HELLO" | b"INFO" | b"PUNSUBSCRIBE" | b"QUIT"
        | b"UNSUBSCRIBE" => true,
        _ => return None,
    })
}

/// Quotes the start of what a client sent, for an error message.
fn quote(bytes: &[u8]) -> String {
    String::from_utf8_lossy(&bytes[..bytes.len().min(128)]).into_owned()
}

fn unknown(request: &Request) -> Reply {
    let mut text = format!(
        "ERR unknown command '{}', with args beginning with: ",
        quote(request.arg(0))
    );
    for arg in request.args(1).take(8) {
        text.push_str(&format!("'{}' ", quote(arg)));
    }
    Reply::error(text)
}

fn unknown_subcommand(command: &str, request: &Request) -> Reply {
    let sub = quote(request.arg(1));
    Reply::error(format!(
        "ERR unknown subcommand or wrong number of arguments for '{sub}'. Try {command} HELP."
    ))
}
