//! Compares TLS with bare tokio-rustls: handshakes and bytes per second of the server's CPU time.

use crate::{
    kit::Kit,
    load::Client,
    pool::Running,
    servers::{KINDS, TLS, TOKIO_TLS},
    time::median,
};
use reagent::BoxError;
use std::{io, time::Duration};

const ROUNDS: usize = 7;
const HANDSHAKES: usize = 150;
const CHUNK: usize = 128 * 1024;
const CHUNKS: usize = 100;

/// Does something often enough to be measured, and returns the amount.
type Work = fn(&Running, &Kit) -> io::Result<f64>;

const WORKS: [(&str, f64, Work); 3] = [
    ("full handshakes", 1.0, |server, kit| {
        handshakes(server, kit, Client::Tls)
    }),
    ("resumed handshakes", 1.0, |server, kit| {
        handshakes(server, kit, Client::Resuming)
    }),
    ("MB received and sent", 1e6, bulk),
];

pub fn compare(kit: &Kit) -> Result<(), BoxError> {
    let start = |name| {
        let kind = KINDS.iter().find(|kind| kind.name == name);
        Running::start(kind.ok_or("a server")?, kit)
    };
    let servers = [start(TOKIO_TLS)?, start(TLS)?];
    println!("\n| per second of the server's CPU time | {TOKIO_TLS} | {TLS} | ratio |");
    println!("|---|---|---|---|");
    for (name, unit, work) in WORKS {
        let mut rates = [Vec::new(), Vec::new()];
        let mut ratios = Vec::new();
        for _ in 0..ROUNDS {
            let mut round = [0.0; 2];
            for (server, rate) in servers.iter().zip(&mut round) {
                let before = server.cpu()?;
                let done = work(server, kit)?;
                server.settle(0);
                *rate = done / (server.cpu()? - before) as f64 * 1e9 / unit;
            }
            ratios.push(round[1] / round[0]);
            rates[0].push(round[0]);
            rates[1].push(round[1]);
        }
        let [bare, ours] = rates.map(median);
        let ratio = median(ratios);
        println!("| {name} | {bare:.0} | {ours:.0} | {ratio:.2} |");
    }
    servers.into_iter().for_each(Running::stop);
    Ok(())
}

fn handshakes(server: &Running, kit: &Kit, client: Client) -> io::Result<f64> {
    for _ in 0..HANDSHAKES {
        let stream = client.open(server.place.addr, kit, Duration::ZERO)?;
        stream.finish()?;
    }
    Ok(HANDSHAKES as f64)
}

fn bulk(server: &Running, kit: &Kit) -> io::Result<f64> {
    let mut stream = Client::Tls.open(server.place.addr, kit, Duration::ZERO)?;
    let mut buf = vec![7; CHUNK];
    for _ in 0..CHUNKS {
        stream.io().write_all(&buf)?;
        stream.io().read_exact(&mut buf)?;
    }
    stream.finish()?;
    Ok((CHUNK * CHUNKS) as f64)
}
