//! Compares `HttpLayer` with `axum::serve`, with the same router, and with nginx, in one run:
//! `cargo bench --bench http`. With TLS it is compared with axum-server (rustls, ring) and nginx
//! (OpenSSL).
//!
//! Requires `cargo build --release --example http` and `wrk`, `h2load`, nginx and valgrind
//! (Debian's packages `wrk`, `nghttp2-client`, `nginx-light` and `valgrind`); whatever is missing
//! is skipped with a message. Each server has one thread on core 0, if there are two cores. The
//! load is on core 1.
//!
//! These options may follow `--`: `--rounds N` (default 5), `--seconds N` per load (default 2),
//! `--instructions` or `--times` for only one of the two tables, and `--only TEXT`, which selects
//! the rows whose name contains the text.
//!
//! The first result is the CPU time of the server per operation, as a ratio to `axum::serve` (with
//! TLS, to axum-server) in the same round; the table has the medians of all rounds. The second is
//! the number of user-space instructions, which does not depend on other load on the machine: the
//! count for 1200 operations minus the count for 200, divided by 1000.
//!
//! | row | behaviour of the clients |
//! |---|---|
//! | `keep-alive`, `TLS keep` | `wrk -c64` |
//! | `close`, `TLS full` | `wrk -c64` with `Connection: close`; TLS: a full TLS 1.3 handshake each |
//! | `TLS resume` | sequential connections, each resuming the session of the last one |
//! | `h2`, `TLS h2` | `h2load -c16 -m16` |
//! | `idle`, `TLS idle` | 4000 connections that have sent a request; memory per connection |

#![expect(unreachable_pub, reason = "a program has no outside")]
#![expect(
    clippy::disallowed_methods,
    reason = "the load blocks a thread that has nothing else to do"
)]

mod count;
mod load;
#[path = "../machine.rs"]
mod machine;
mod servers;
mod tls;

use load::{Figures, MODES};
use reagent::BoxError;
use servers::{KINDS, Server};
use std::{collections::BTreeMap, env};
use tls::Files;

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Runs the modes whose name contains `only`.
fn compare(rounds: usize, seconds: u64, only: &str) {
    let wanted = MODES
        .into_iter()
        .filter(|(mode, protocol)| mode.name(*protocol).contains(only));
    for (mode, protocol) in wanted {
        let mut all: BTreeMap<&str, Vec<(Figures, f64)>> = BTreeMap::new();
        for _ in 0..rounds {
            let mut base = f64::NAN;
            for kind in KINDS {
                let figures = Server::start(kind, protocol, &[])
                    .and_then(|server| load::measure(mode, &server, seconds));
                match figures {
                    Ok(figures) => {
                        if kind == KINDS[0] {
                            base = figures.cost;
                        }
                        let ratio = figures.cost / base;
                        all.entry(kind).or_default().push((figures, ratio));
                    }
                    Err(error) => println!("{kind} is skipped: {error}"),
                }
            }
        }
        let (rate, cost) = mode.units();
        println!(
            "\n{:<12}{rate:>16}{cost:>18}{:>10}",
            mode.name(protocol),
            "ratio"
        );
        for kind in KINDS {
            let Some(rounds) = all.get(kind) else {
                continue;
            };
            println!(
                "{kind:<12}{:>16.0}{:>18.2}{:>10.3}",
                median(rounds.iter().map(|(figures, _)| figures.rate)),
                median(rounds.iter().map(|(figures, _)| figures.cost)),
                median(rounds.iter().map(|(_, ratio)| *ratio)),
            );
        }
    }
}

fn main() -> Result<(), BoxError> {
    let args: Vec<String> = env::args().skip(1).collect();
    let number = |name: &str, default: u64| {
        let value = args.iter().skip_while(|arg| *arg != name).nth(1);
        value
            .and_then(|value| value.parse().ok())
            .unwrap_or(default)
    };
    let has = |name: &str| args.iter().any(|arg| arg == name);
    let text = |name: &str| {
        let value = args.iter().skip_while(|arg| *arg != name).nth(1);
        value.map_or("", String::as_str)
    };
    match args.first().map(String::as_str) {
        Some("serve") => return Ok(servers::serve(&args[1..])?),
        // The argument passed by `cargo test --benches`.
        Some("--test") => return Ok(()),
        _ => {}
    }
    machine::print();
    let files = Files::new();
    files.create()?;
    if !has("--times") {
        count::table(text("--only"));
    }
    if !has("--instructions") {
        let rounds = number("--rounds", 5) as usize;
        compare(rounds, number("--seconds", 2), text("--only"));
    }
    files.remove();
    Ok(())
}
