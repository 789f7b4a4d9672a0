//! The load on a server, and its cost to the server.

use crate::{
    servers::{PLAIN, PLAIN_H2, Protocol, Server, TLS, TLS_H2, on_core},
    tls::{Connector, Stream},
};
use std::{
    fs, io,
    process::Command,
    thread::{self, ScopedJoinHandle},
    time::{Duration, Instant},
};

const IDLE: usize = 4000;

/// The number of client threads.
const THREADS: usize = 40;

/// The loads that clients put on a server.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Mode {
    /// Repeated requests on 64 connections.
    KeepAlive,
    /// One request per connection.
    Connections,
    /// One request per connection, which resumes the TLS session of the last; sequentially.
    Resumed,
    /// HTTP/2, with 16 concurrent requests on each of 16 connections.
    Http2,
    /// One request, after which the connection stays open.
    Idle,
}

/// The loads with their protocols.
pub const MODES: [(Mode, Protocol); 9] = [
    (Mode::KeepAlive, PLAIN),
    (Mode::Connections, PLAIN),
    (Mode::Http2, PLAIN_H2),
    (Mode::Idle, PLAIN),
    (Mode::KeepAlive, TLS),
    (Mode::Connections, TLS),
    (Mode::Resumed, TLS),
    (Mode::Http2, TLS_H2),
    (Mode::Idle, TLS),
];

impl Mode {
    pub fn name(self, protocol: Protocol) -> &'static str {
        match (self, protocol.is_tls) {
            (Mode::KeepAlive, false) => "keep-alive",
            (Mode::KeepAlive, true) => "TLS keep",
            (Mode::Connections, false) => "close",
            (Mode::Connections, true) => "TLS full",
            (Mode::Resumed, _) => "TLS resume",
            (Mode::Http2, false) => "h2",
            (Mode::Http2, true) => "TLS h2",
            (Mode::Idle, false) => "idle",
            (Mode::Idle, true) => "TLS idle",
        }
    }

    /// Returns the units of the rate and of the cost.
    pub fn units(self) -> (&'static str, &'static str) {
        match self {
            Mode::Idle => ("connections", "bytes each"),
            _ => ("requests/s", "CPU us each"),
        }
    }
}

/// Operations per second, and the cost of each to the server.
#[derive(Clone, Copy, Debug)]
pub struct Figures {
    pub rate: f64,
    pub cost: f64,
}

/// The CPU time of a process in nanoseconds, summed over its threads.
fn cpu(pid: u32) -> io::Result<u64> {
    let mut sum = 0;
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        let stat = fs::read_to_string(task?.path().join("schedstat"))?;
        let first = stat.split_whitespace().next().unwrap_or_default();
        sum += first.parse::<u64>().map_err(io::Error::other)?;
    }
    Ok(sum)
}

/// The resident memory of a process in bytes.
fn resident(pid: u32) -> io::Result<u64> {
    let statm = fs::read_to_string(format!("/proc/{pid}/statm"))?;
    let pages = statm.split_whitespace().nth(1).unwrap_or_default();
    Ok(pages.parse::<u64>().map_err(io::Error::other)? * 4096)
}

/// Parses the number of answered requests from the output of `wrk` or `h2load`.
fn answered(text: &str) -> Option<u64> {
    if text.contains("Socket errors") || text.contains("Non-2xx") {
        return None;
    }
    let before = |mark: &str| {
        text.split(mark)
            .next()?
            .split_whitespace()
            .last()?
            .parse()
            .ok()
    };
    match text.contains("requests in ") {
        true => before(" requests in "),
        false => before(" succeeded,"),
    }
}

pub fn measure(mode: Mode, server: &Server, seconds: u64) -> io::Result<Figures> {
    let time = format!("-d{seconds}s");
    let duration = format!("-D{seconds}");
    let load: &[&str] = match mode {
        Mode::KeepAlive => &["wrk", "-t1", "-c64", &time],
        Mode::Connections => &["wrk", "-t1", "-c64", &time, "-H", "Connection: close"],
        Mode::Http2 => &["h2load", "-t1", "-c16", "-m16", &duration],
        Mode::Resumed => return resumed(server, Duration::from_secs(seconds)),
        Mode::Idle => return idle(server),
    };
    let url = server.url();
    let words = [on_core("1"), load, &[&url]].concat();
    let pid = server.process.id();
    let (began, before) = (Instant::now(), cpu(pid)?);
    let output = Command::new(words[0]).args(&words[1..]).output()?;
    let (cpu, elapsed) = (cpu(pid)? - before, began.elapsed().as_secs_f64());
    let text = String::from_utf8_lossy(&output.stdout);
    let done = answered(&text).filter(|done| *done > 0).ok_or_else(|| {
        io::Error::other(format!("{text}{}", String::from_utf8_lossy(&output.stderr)))
    })? as f64;
    Ok(Figures {
        rate: done / elapsed,
        cost: cpu as f64 / 1e3 / done,
    })
}

/// Sends a request and reads the response, which ends with `hello`.
pub fn ask(client: &mut dyn Stream, request: &[u8]) -> io::Result<()> {
    client.write_all(request)?;
    let mut answer = [0; 1024];
    let mut n = 0;
    while !answer[..n].ends_with(b"hello") {
        match client.read(&mut answer[n..])? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            more => n += more,
        }
    }
    Ok(())
}

/// Sends a request and waits for the end of the connection.
pub fn ask_and_close(mut client: Box<dyn Stream>) -> io::Result<()> {
    ask(&mut client, LAST_REQUEST)?;
    client.read_to_end(&mut Vec::new()).map(drop)
}

pub const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n";
const LAST_REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";

fn resumed(server: &Server, time: Duration) -> io::Result<Figures> {
    let connector = Connector::new(true, true)?;
    ask_and_close(connector.connect(server.addr)?)?;
    let pid = server.process.id();
    let (began, before) = (Instant::now(), cpu(pid)?);
    let mut done = 0.0;
    while began.elapsed() < time {
        ask_and_close(connector.connect(server.addr)?)?;
        done += 1.0;
    }
    Ok(Figures {
        rate: done / began.elapsed().as_secs_f64(),
        cost: (cpu(pid)? - before) as f64 / 1e3 / done,
    })
}

fn idle(server: &Server) -> io::Result<Figures> {
    let connector = Connector::new(server.protocol.is_tls, true)?;
    let connect = || {
        let mut client = connector.connect(server.addr)?;
        ask(&mut client, REQUEST)?;
        io::Result::Ok(client)
    };
    let mut held = Vec::with_capacity(IDLE + 1);
    // The first connection is not counted, since it allocates what all share.
    held.push(connect()?);
    let before = resident(server.process.id())?;
    // In parallel, because a server without TCP_NODELAY answers each client only after a delayed
    // acknowledgement.
    let connected = thread::scope(|scope| {
        let connect_some = || (0..IDLE / THREADS).map(|_| connect()).collect();
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(connect_some)).collect();
        let joined = threads.into_iter().map(ScopedJoinHandle::join);
        joined.collect::<Vec<_>>()
    });
    for thread in connected {
        let streams: io::Result<Vec<_>> = thread.map_err(|_| io::ErrorKind::Other)?;
        held.extend(streams?);
    }
    let bytes = resident(server.process.id())? - before;
    Ok(Figures {
        rate: IDLE as f64,
        cost: bytes as f64 / IDLE as f64,
    })
}
