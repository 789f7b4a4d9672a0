//! User-space instructions, which repeat whatever else the machine does: the server under callgrind, and what more
//! clients cost it.

use crate::{
    load::{REQUEST, ask},
    servers::{KINDS, Server},
};
use std::{
    env, fs,
    io::{self, Read},
    net::{SocketAddr, TcpStream},
    path::Path,
    process::Command,
    thread::sleep,
    time::Duration,
};

const FEW: u64 = 200;
const MANY: u64 = 1200;

const LAST_REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";

/// Long enough for the server to wait again, so that it does each time the same.
const PAUSE: Duration = Duration::from_micros(300);

fn requests(addr: SocketAddr, count: u64) -> io::Result<()> {
    let mut client = TcpStream::connect(addr)?;
    client.set_nodelay(true)?;
    for _ in 0..count {
        ask(&mut client, REQUEST)?;
        sleep(PAUSE);
    }
    Ok(())
}

fn connections(addr: SocketAddr, count: u64) -> io::Result<()> {
    for _ in 0..count {
        let mut client = TcpStream::connect(addr)?;
        ask(&mut client, LAST_REQUEST)?;
        client.read_to_end(&mut Vec::new())?;
        drop(client);
        sleep(PAUSE);
    }
    Ok(())
}

type Load = fn(SocketAddr, u64) -> io::Result<()>;

/// All that the server does from its start to its end.
fn total(kind: &str, dir: &Path, load: Load, count: u64) -> io::Result<u64> {
    let out = format!("--callgrind-out-file={}", dir.join("out").display());
    let server = Server::start(kind, false, &["valgrind", "-q", "--tool=callgrind", &out])?;
    load(server.addr, count)?;
    server.stop()?;
    let text = fs::read_to_string(dir.join("out"))?;
    let total = text.lines().find_map(|line| line.strip_prefix("totals: "));
    let total = total.ok_or(io::ErrorKind::InvalidData)?;
    total.trim().parse().map_err(io::Error::other)
}

fn each(kind: &str, dir: &Path, load: Load) -> io::Result<u64> {
    let (few, many) = (total(kind, dir, load, FEW)?, total(kind, dir, load, MANY)?);
    Ok((many - few) / (MANY - FEW))
}

pub fn table() {
    if Command::new("valgrind").arg("--version").output().is_err() {
        println!("no valgrind: instructions are not counted");
        return;
    }
    let dir = env::temp_dir().join(format!("http-bench-{}", std::process::id()));
    let made = fs::create_dir_all(&dir);
    println!(
        "{:<12}{:>16}{:>10}{:>18}{:>10}",
        "instructions", "a request", "ratio", "a connection", "ratio"
    );
    let mut base = None;
    // What the example does by the clock would be counted with it.
    for kind in KINDS.into_iter().filter(|kind| *kind != "example") {
        let counted = each(kind, &dir, requests)
            .and_then(|request| Ok((request as f64, each(kind, &dir, connections)? as f64)));
        match counted {
            Ok((request, connection)) => {
                let base = *base.get_or_insert((request, connection));
                let ratios = (request / base.0, connection / base.1);
                println!(
                    "{kind:<12}{request:>16}{:>10.3}{connection:>18}{:>10.3}",
                    ratios.0, ratios.1
                );
            }
            Err(error) => println!("{kind} is left out: {error}"),
        }
    }
    if made.is_ok() {
        let _ = fs::remove_dir_all(&dir);
    }
}
