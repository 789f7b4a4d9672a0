//! The pooler, whose first half ends on an accept error.

use super::{STALL, run, start};
use crate::{
    descriptors::limited,
    program::{Example, binary},
    support::{soon, until},
};
use reagent::BoxError;
use std::{
    fs::{self, File},
    io,
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
    time::timeout,
};

/// A session of a PostgreSQL client.
struct Session(BufReader<TcpStream>);

impl Session {
    /// Asks for TLS, which is refused, and starts a session.
    async fn start(addr: &str) -> io::Result<Self> {
        let mut session = Session(BufReader::new(TcpStream::connect(addr).await?));
        session.0.write_all(b"\0\0\0\x08\x04\xd2\x16\x2f").await?;
        assert_eq!(session.0.read_u8().await?, b'N');
        session
            .0
            .write_all(b"\0\0\0\x11\0\x03\0\0user\0me\0\0")
            .await?;
        session.result().await?;
        Ok(session)
    }

    /// Sends a query. Returns the only field of its result.
    async fn query(&mut self, text: &str) -> io::Result<String> {
        self.0.write_u8(b'Q').await?;
        self.0.write_u32(text.len() as u32 + 5).await?;
        self.0.write_all(text.as_bytes()).await?;
        self.0.write_u8(0).await?;
        self.result().await
    }

    /// Reads messages up to ReadyForQuery. Returns the field of a DataRow.
    async fn result(&mut self) -> io::Result<String> {
        let mut field = String::new();
        loop {
            let kind = self.0.read_u8().await?;
            let mut body = vec![0; self.0.read_u32().await? as usize - 4];
            self.0.read_exact(&mut body).await?;
            match kind {
                b'D' => field = String::from_utf8_lossy(&body[6..]).into_owned(),
                b'Z' => return Ok(field),
                _ => {}
            }
        }
    }
}

/// Starts half of the pooler with 40 descriptors, and more clients than these: one with a session,
/// and a crowd that sends nothing. The log goes to a file in `dir`.
async fn crowded_pooler(half: &str, dir: &TempDir) -> (Example, Session, Vec<TcpStream>) {
    let mut command = limited(40, binary("migrations"));
    command.args(["postgres", half, "--listen", "127.0.0.1:0"]);
    command.stderr(File::create(dir.path().join("log")).unwrap());
    let pooler = Example::start_with("migrations", &mut command).await;
    let mut session = soon(Session::start(&pooler.addr)).await.unwrap();
    assert_eq!(soon(session.query("one")).await.unwrap(), "one");
    let mut crowd = Vec::new();
    for _ in 0..60 {
        // The server may have ended before all have come.
        crowd.extend(TcpStream::connect(&pooler.addr).await);
    }
    (pooler, session, crowd)
}

#[tokio::test]
async fn before_a_crowd_ends_the_pooler_and_its_sessions() -> Result<(), BoxError> {
    let dir = TempDir::new()?;
    let (mut pooler, mut session, _crowd) = crowded_pooler("before", &dir).await;
    let status = soon(pooler.process.wait()).await?;
    assert!(!status.success(), "{status}");
    let log = fs::read_to_string(dir.path().join("log"))?;
    assert!(log.contains("Too many open files"), "{log}");
    assert!(soon(session.query("two")).await.is_err());
    Ok(())
}

#[tokio::test]
async fn after_a_crowd_ends_neither_the_pooler_nor_its_sessions() -> Result<(), BoxError> {
    let dir = TempDir::new()?;
    let (pooler, mut session, crowd) = crowded_pooler("after", &dir).await;
    let log = dir.path().join("log");
    until("descriptors have run out", || {
        fs::read_to_string(&log).is_ok_and(|log| log.contains("Too many open files"))
    })
    .await;
    assert_eq!(soon(session.query("two")).await?, "two");
    drop(crowd);
    until("descriptors are there again", || {
        fs::read_to_string(&log).is_ok_and(|log| log.contains("clients can be served again"))
    })
    .await;
    let mut new = soon(Session::start(&pooler.addr)).await?;
    assert_eq!(soon(new.query("three")).await?, "three");
    drop((session, new));
    pooler.stop("TERM").await;
    Ok(())
}

#[tokio::test]
async fn after_clients_above_the_limit_wait_for_a_place_in_the_pooler() -> io::Result<()> {
    let pooler = start("postgres", "after", &["--max-clients", "2"]).await;
    let first = soon(Session::start(&pooler.addr)).await?;
    let second = soon(Session::start(&pooler.addr)).await?;
    let mut third = Box::pin(Session::start(&pooler.addr));
    assert!(timeout(STALL, &mut third).await.is_err(), "above the limit");
    drop(first);
    let mut third = soon(third).await?;
    assert_eq!(soon(third.query("three")).await?, "three");
    drop((second, third));
    pooler.stop("TERM").await;
    Ok(())
}

#[tokio::test]
async fn psql_queries_both_halves() {
    for half in ["before", "after"] {
        let pooler = start("postgres", half, &[]).await;
        let (host, port) = pooler.addr.split_once(':').unwrap();
        let to = format!("host={host} port={port} user=me dbname=mine connect_timeout=10");
        let Some(output) = run("psql", &[&to, "-At", "-c", "select 42"]).await else {
            return;
        };
        assert_eq!(output.stdout, b"select 42\n", "{half}: {output:?}");
        pooler.stop("TERM").await;
    }
}
