//! The `INFO` command, with what clients check before they start.

use super::{
    commands::{DATABASES, Server, VERSION},
    resp::Request,
};
use std::{fmt::Write, sync::atomic::Ordering::Relaxed};

/// Returns the requested sections, or all of them.
pub fn info(server: &Server, request: &Request) -> String {
    let wanted: Vec<_> = request.args(1).map(<[u8]>::to_ascii_lowercase).collect();
    let is_wanted = |section: &str| {
        let all = |name: &Vec<u8>| matches!(&**name, b"all" | b"default" | b"everything");
        let named = |name: &Vec<u8>| **name == *section.as_bytes();
        wanted.is_empty() || wanted.iter().any(|name| all(name) || named(name))
    };
    let mut keys = String::new();
    for database in 0..DATABASES {
        let count = server.store(database).len();
        if count > 0 {
            let _ = write!(keys, "db{database}:keys={count},expires=0,avg_ttl=0\r\n");
        }
    }
    let clients = server.clients.load(Relaxed);
    let sections = [
        (
            "Server",
            format!("redis_version:{VERSION}\r\nredis_mode:standalone\r\n"),
        ),
        ("Clients", format!("connected_clients:{clients}\r\n")),
        ("Persistence", "loading:0\r\n".to_owned()),
        (
            "Replication",
            "role:master\r\nconnected_slaves:0\r\n".to_owned(),
        ),
        ("Keyspace", keys),
    ];
    let found = sections
        .iter()
        .filter(|(name, _)| is_wanted(&name.to_ascii_lowercase()));
    let texts: Vec<_> = found
        .map(|(name, text)| format!("# {name}\r\n{text}"))
        .collect();
    texts.join("\r\n")
}
