//! All layers work in every documented order.

use super::{
    Parts, client,
    kinds::{Erased, KINDS, Kind, all, bottom},
    memory, proxy,
};
use crate::support::{Ends, LONG, Served, echo, echoes};
use reagent::{Connection, Outcome, handle};
use reagent_layers::fault::Fault;
use std::{collections::HashSet, future::Future, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::mpsc::{UnboundedReceiver, unbounded_channel},
    time::timeout,
};

/// The number of stacks that are tried, out of thousands.
const SAMPLE: u64 = 300;

const MILLISECOND: Duration = Duration::from_millis(1);

/// What the handler sees: the client, and whether the connection is secure.
type Seen = (String, bool);

fn telling_echo() -> (Erased, UnboundedReceiver<Seen>) {
    let (seeing, seen) = unbounded_channel();
    let service = handle(move |conn: Connection| {
        let _ = seeing.send((conn.peer_addr().to_string(), conn.is_secure()));
        echo(conn)
    });
    (bottom(service), seen)
}

/// Serves a client through this stack, in both directions up to an orderly end. Nothing must be
/// left behind.
async fn serves(parts: &Parts, order: &[&Kind]) {
    let names: Vec<_> = order.iter().map(|kind| kind.name).collect();
    let (service, mut seen) = telling_echo();
    let (server, clients) = memory();
    let ends = Ends::default();
    let server = server.observe(ends.clone());
    let server = server.start(parts.stack(order, service)).await.unwrap();
    let served = Served { server, ends };

    let mut io = in_time(&names, parts.connect(&clients, order))
        .await
        .unwrap();
    assert!(
        echoes(&mut io, &"there and back ".repeat(2000)).await,
        "{names:?}"
    );
    io.shutdown().await.unwrap();
    let mut rest = Vec::new();
    in_time(&names, io.read_to_end(&mut rest)).await.unwrap();
    assert_eq!(rest, b"", "{names:?}");
    drop(io);

    let outcome = in_time(&names, served.ends.of(1)).await;
    assert!(matches!(outcome, Outcome::Completed), "{outcome} {names:?}");
    let peer = match names.contains(&"proxy protocol") {
        true => client(),
        false => proxy(),
    };
    let expected = (peer.to_string(), names.contains(&"tls"));
    assert_eq!(seen.recv().await, Some(expected), "{names:?}");
    assert_eq!(served.connection_count(), 0);
    assert_eq!(
        (parts.in_flight.taken(), parts.per_client.clients()),
        (0, 0)
    );
}

async fn in_time<F: Future>(names: &[&str], future: F) -> F::Output {
    let result = timeout(LONG, future).await;
    result.unwrap_or_else(|_| panic!("{names:?} hangs"))
}

/// A network that splits and delays all bytes.
fn parts() -> Parts {
    let mut parts = Parts::new();
    parts.fault = parts
        .fault
        .with(1.0, Fault::slices(1..=2000))
        .with(1.0, Fault::latency(20 * MILLISECOND, 10 * MILLISECOND));
    parts
}

fn is_allowed(order: &[&Kind]) -> bool {
    let pairs = || order.iter().enumerate();
    pairs().all(|(at, kind)| order[..at].iter().all(|other| kind.may_be_inside(other)))
}

/// Returns all layers in a valid order that depends on the number.
fn shuffled(number: u64) -> Vec<&'static Kind> {
    let (mut left, mut order) = (all(), Vec::new());
    let mut random = number;
    while !left.is_empty() {
        let free: Vec<_> = (0..left.len())
            .filter(|&at| left.iter().all(|other| other.may_be_inside(left[at])))
            .collect();
        // splitmix64
        random = random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = (random ^ (random >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        order.push(left.remove(free[(mixed ^ (mixed >> 31)) as usize % free.len()]));
    }
    order
}

#[tokio::test(start_paused = true)]
async fn every_layer_serves_alone_and_within_every_other() {
    let parts = parts();
    serves(&parts, &[]).await;
    let mut pairs = 0;
    for outer in KINDS {
        serves(&parts, &[outer]).await;
        for inner in KINDS.iter().filter(|inner| inner.may_be_inside(outer)) {
            // No client sends nested PROXY headers or nested handshakes.
            let is_twice = inner.name == outer.name;
            if !is_twice || !["proxy protocol", "tls"].contains(&inner.name) {
                serves(&parts, &[outer, inner]).await;
                pairs += 1;
            }
        }
    }
    assert!(pairs > KINDS.len() * KINDS.len() / 2, "{pairs}");
}

#[tokio::test(start_paused = true)]
async fn all_layers_serve_together_in_many_orders() {
    let parts = parts();
    assert!(is_allowed(&all()));
    serves(&parts, &all()).await;
    let (mut orders, mut around) = (HashSet::new(), HashSet::new());
    for number in 0..SAMPLE {
        let order = shuffled(number);
        assert!(is_allowed(&order) && order.len() == KINDS.len());
        serves(&parts, &order).await;
        let names: Vec<_> = order.iter().map(|kind| kind.name).collect();
        for (at, inner) in names.iter().enumerate() {
            around.extend(names[..at].iter().map(|outer| (*outer, *inner)));
        }
        orders.insert(names);
    }
    assert!(orders.len() > SAMPLE as usize * 3 / 4, "{}", orders.len());
    // Every layer that may be outside another has been.
    for outer in KINDS {
        for inner in KINDS.iter().filter(|inner| inner.name != outer.name) {
            let pair = (outer.name, inner.name);
            assert_eq!(
                around.contains(&pair),
                inner.may_be_inside(outer),
                "{pair:?}"
            );
        }
    }
}
