//! Counts user-space instructions, which do not depend on other load on the machine: the server
//! runs under callgrind, and the difference between two numbers of operations is reported.

use crate::{
    load::{REQUEST, ask, ask_and_close},
    servers::{KINDS, PLAIN, PLAIN_H2, Protocol, Server, TLS, TLS_H2},
    tls::{Connector, Files},
};
use std::{fs, io, process::Command, thread::sleep, time::Duration};

const FEW: u64 = 200;
const MANY: u64 = 1200;

/// Long enough for the server to become idle, so that every operation takes the same path.
const PAUSE: Duration = Duration::from_micros(300);

fn requests(server: &Server, count: u64) -> io::Result<()> {
    let mut client = Connector::new(server.protocol.is_tls, true)?.connect(server.addr)?;
    for _ in 0..count {
        ask(&mut client, REQUEST)?;
        sleep(PAUSE);
    }
    Ok(())
}

fn connections(server: &Server, count: u64, resumes: bool) -> io::Result<()> {
    let connector = Connector::new(server.protocol.is_tls, resumes)?;
    for _ in 0..count {
        ask_and_close(connector.connect(server.addr)?)?;
        sleep(PAUSE);
    }
    Ok(())
}

/// Sends requests one after the other on one connection.
fn streams(server: &Server, count: u64) -> io::Result<()> {
    let output = Command::new("h2load")
        .args(["-c1", "-m1", "-n", &count.to_string(), &server.url()])
        .output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    match text.contains(&format!(" {count} succeeded")) {
        true => Ok(()),
        false => Err(io::Error::other(text.into_owned())),
    }
}

type Load = fn(&Server, u64) -> io::Result<()>;

/// The operations: name, protocol and function.
const LOADS: [(&str, Protocol, Load); 7] = [
    ("a request", PLAIN, requests),
    ("a connection", PLAIN, |server, count| {
        connections(server, count, false)
    }),
    ("a request of HTTP/2", PLAIN_H2, streams),
    ("a request, TLS", TLS, requests),
    ("a connection, full handshake", TLS, |server, count| {
        connections(server, count, false)
    }),
    ("a connection, resumed", TLS, |server, count| {
        connections(server, count, true)
    }),
    ("a request of HTTP/2, TLS", TLS_H2, streams),
];

/// Returns the instructions of the server from start to end.
fn total(kind: &str, protocol: Protocol, load: Load, count: u64) -> io::Result<u64> {
    let file = Files::new().path("callgrind.out");
    let out = format!("--callgrind-out-file={file}");
    let server = Server::start(
        kind,
        protocol,
        &["valgrind", "-q", "--tool=callgrind", &out],
    )?;
    load(&server, count)?;
    server.stop()?;
    let text = fs::read_to_string(file)?;
    let total = text.lines().find_map(|line| line.strip_prefix("totals: "));
    let total = total.ok_or(io::ErrorKind::InvalidData)?;
    total.trim().parse().map_err(io::Error::other)
}

fn each(kind: &str, protocol: Protocol, load: Load) -> io::Result<f64> {
    let few = total(kind, protocol, load, FEW)?;
    let many = total(kind, protocol, load, MANY)?;
    Ok((many - few) as f64 / (MANY - FEW) as f64)
}

/// Counts the loads whose name contains `only`.
pub fn table(only: &str) {
    if Command::new("valgrind").arg("--version").output().is_err() {
        println!("valgrind is not installed: instructions are skipped");
        return;
    }
    for (name, protocol, load) in LOADS.into_iter().filter(|(name, ..)| name.contains(only)) {
        println!("\n{:<12}{name:>32}{:>10}", "instructions", "ratio");
        let mut base = None;
        // The example has work that depends on time, which would be counted too.
        for kind in KINDS.into_iter().filter(|kind| *kind != "example") {
            match each(kind, protocol, load) {
                Ok(each) => {
                    let ratio = each / *base.get_or_insert(each);
                    println!("{kind:<12}{each:>32.0}{ratio:>10.3}");
                }
                Err(error) => println!("{kind} is skipped: {error}"),
            }
        }
    }
}
