//! The key store: a map, and the order in which keys expire.

use super::resp::parse_int;
use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

pub type Key = Box<[u8]>;

#[derive(Clone, Debug)]
pub enum Value {
    Int(i64),
    Bytes(Arc<[u8]>),
}

impl Value {
    /// As in Redis, a number in its shortest form is stored as an integer.
    pub fn new(bytes: &[u8]) -> Self {
        match bytes.first() {
            Some(b'-' | b'0'..=b'9') if bytes.len() <= 20 => match parse_int(bytes) {
                Some(n) => Value::Int(n),
                None => Value::Bytes(bytes.into()),
            },
            _ => Value::Bytes(bytes.into()),
        }
    }

    pub fn into_bytes(self) -> Arc<[u8]> {
        match self {
            Value::Int(n) => itoa::Buffer::new().format(n).as_bytes().into(),
            Value::Bytes(bytes) => bytes,
        }
    }
}

#[derive(Debug)]
struct Entry {
    value: Value,
    /// Milliseconds since 1970, or 0 if the key never expires.
    expires: u64,
    /// The version of the store when this entry last changed, for `WATCH`.
    version: u64,
}

impl Entry {
    fn is_expired(&self) -> bool {
        self.expires != 0 && self.expires <= now()
    }
}

#[derive(Debug, Default)]
pub struct Store {
    map: HashMap<Key, Entry>,
    /// Expiry times in ascending order, so that keys that nobody reads are removed too.
    due: BTreeSet<(u64, Key)>,
    /// The number of changes so far.
    version: u64,
}

pub fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |time| time.as_millis() as u64)
}

impl Store {
    pub fn get(&mut self, key: &[u8]) -> Option<&Value> {
        if self.map.get(key)?.is_expired() {
            self.remove(key);
            return None;
        }
        self.map.get(key).map(|entry| &entry.value)
    }

    /// Returns the version of a key, which is never reused, or `None` if the key does not exist.
    pub fn version(&mut self, key: &[u8]) -> Option<u64> {
        self.get(key)?;
        self.map.get(key).map(|entry| entry.version)
    }

    /// Takes all keys out. The version continues.
    pub fn take(&mut self) -> Self {
        let empty = Store {
            version: self.version,
            ..Store::default()
        };
        std::mem::replace(self, empty)
    }

    /// Inserts a value. `expires` is 0 if it never expires, or `None` to keep the current expiry.
    pub fn set(&mut self, key: &[u8], value: Value, expires: Option<u64>) {
        self.version += 1;
        let version = self.version;
        match self.map.get_mut(key) {
            Some(entry) => {
                let old = entry.expires;
                entry.value = value;
                entry.version = version;
                let new = match expires {
                    Some(new) => new,
                    None if entry.is_expired() => 0,
                    None => old,
                };
                entry.expires = new;
                self.move_due(key, old, new);
            }
            None => {
                let expires = expires.unwrap_or(0);
                let entry = Entry {
                    value,
                    expires,
                    version,
                };
                self.map.insert(key.into(), entry);
                self.move_due(key, 0, expires);
            }
        }
    }

    fn move_due(&mut self, key: &[u8], old: u64, new: u64) {
        if old == new {
            return;
        }
        let mut entry = (old, Key::from(key));
        if old != 0 {
            self.due.remove(&entry);
        }
        if new != 0 {
            entry.0 = new;
            self.due.insert(entry);
        }
    }

    /// Removes a key, and returns whether it existed.
    pub fn remove(&mut self, key: &[u8]) -> bool {
        match self.map.remove(key) {
            Some(entry) => {
                self.move_due(key, entry.expires, 0);
                !entry.is_expired()
            }
            None => false,
        }
    }

    /// Returns the time at which the key expires, or 0 if it never does.
    pub fn expires(&mut self, key: &[u8]) -> Option<u64> {
        self.get(key)?;
        self.map.get(key).map(|entry| entry.expires)
    }

    pub fn set_expires(&mut self, key: &[u8], expires: u64) {
        if let Some(entry) = self.map.get_mut(key) {
            self.version += 1;
            entry.version = self.version;
            let old = std::mem::replace(&mut entry.expires, expires);
            self.move_due(key, old, expires);
        }
    }

    /// Adds to a number.
    pub fn add(&mut self, key: &[u8], by: i64) -> Result<i64, &'static str> {
        const NO_NUMBER: &str = "ERR value is not an integer or out of range";
        const OVERFLOW: &str = "ERR increment or decrement would overflow";
        // The common case needs only one lookup.
        if let Some(entry) = self.map.get_mut(key) {
            if !entry.is_expired() {
                let Value::Int(n) = &mut entry.value else {
                    return Err(NO_NUMBER);
                };
                *n = n.checked_add(by).ok_or(OVERFLOW)?;
                self.version += 1;
                entry.version = self.version;
                return Ok(*n);
            }
        }
        self.set(key, Value::Int(by), Some(0));
        Ok(by)
    }

    pub fn keys(&self) -> impl Iterator<Item = &Key> {
        let live = self.map.iter().filter(|(_, entry)| !entry.is_expired());
        live.map(|(key, _)| key)
    }

    pub fn len(&self) -> usize {
        self.map.len()
    }

    /// Removes up to `at_most` expired keys. Returns `true` if there may be more.
    pub fn sweep(&mut self, at_most: usize) -> bool {
        let now = now();
        for _ in 0..at_most {
            match self.due.first() {
                Some((expires, _)) if *expires <= now => {}
                _ => return false,
            }
            if let Some((_, key)) = self.due.pop_first() {
                self.map.remove(&key);
            }
        }
        true
    }
}
