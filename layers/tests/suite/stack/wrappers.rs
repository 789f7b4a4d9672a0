//! Stream wrappers pass everything on: vectored writes as vectored writes, flushes, ends, and
//! pending results.

use super::{
    Parts,
    kinds::{KINDS, Kind, all, bottom},
    probe::{Call, Calls, Probed},
};
use crate::support::{Ends, LONG};
use reagent::{Connection, Outcome, Server, handle, testing::MemoryListener};
use std::io::{self, IoSlice};
use tokio::{
    io::{AsyncReadExt, AsyncWrite, AsyncWriteExt},
    time::timeout,
};

const SLICES: [&[u8]; 3] = [b"several ", b"slices, ", b"one write"];

/// The operations that reached the bottom in each step.
#[derive(Debug, Default)]
struct Steps {
    write: Vec<Call>,
    flush: Vec<Call>,
    shutdown: Vec<Call>,
}

async fn steps(mut conn: Connection, calls: &Calls, vectored: bool) -> io::Result<Steps> {
    assert_eq!(conn.is_write_vectored(), vectored);
    calls.take();
    let n = conn.write_vectored(&SLICES.map(IoSlice::new)).await?;
    assert_eq!(n, SLICES.concat().len(), "all slices are taken");
    let write = calls.take();
    conn.flush().await?;
    let flush = calls.take();
    conn.shutdown().await?;
    let shutdown = calls.take();
    Ok(Steps {
        write,
        flush,
        shutdown,
    })
}

/// Returns the operations that reach the bottom of this stack. `vectored` is whether the bottom
/// supports vectored writes, and whether the top must report it.
async fn through(parts: &Parts, order: &[&Kind], vectored: (bool, bool)) -> Steps {
    let names: Vec<_> = order.iter().map(|kind| kind.name).collect();
    let (listener, clients) = MemoryListener::new();
    let calls = Calls::default();
    let listener = Probed {
        listener: Box::new(listener),
        calls: calls.clone(),
        vectored: vectored.0,
    };
    let (done, mut steps_done) = tokio::sync::mpsc::unbounded_channel();
    let service = handle(move |conn| {
        let (calls, done) = (calls.clone(), done.clone());
        async move {
            let _ = done.send(steps(conn, &calls, vectored.1).await?);
            io::Result::Ok(())
        }
    });
    let ends = Ends::default();
    let _server = Server::new(listener)
        .observe(ends.clone())
        .start(parts.stack(order, bottom(service)))
        .await
        .unwrap();
    let exchange = async {
        let mut io = parts.connect(&clients, order).await.unwrap();
        // For layers that detect the protocol.
        io.write_all(b"hello").await.unwrap();
        io.flush().await.unwrap();
        let mut got = Vec::new();
        io.read_to_end(&mut got).await.unwrap();
        got
    };
    let got = timeout(LONG, exchange).await.expect("an end");
    let outcome = ends.of(1).await;
    assert!(
        matches!(outcome, Outcome::Completed),
        "{outcome}: {names:?}"
    );
    assert_eq!(got, SLICES.concat(), "{names:?}");
    steps_done.recv().await.unwrap()
}

/// Each operation is first pending and then completes.
fn twice(call: Call) -> Vec<Call> {
    vec![call; 2]
}

fn is_handed_on(steps: &Steps, write: Call, names: &str) {
    assert_eq!(steps.write, twice(write), "{names}");
    assert_eq!(steps.flush, twice(Call::Flush), "{names}");
    assert_eq!(steps.shutdown, twice(Call::Shutdown), "{names}");
}

#[tokio::test(start_paused = true)]
async fn every_wrapper_hands_on_what_is_asked_of_it() {
    let parts = Parts::new();
    let len = SLICES.concat().len();
    let plain: Vec<_> = all()
        .into_iter()
        .filter(|kind| kind.name != "tls")
        .collect();
    let mut stacks: Vec<(String, Vec<&Kind>)> = KINDS
        .iter()
        .filter(|kind| kind.name != "tls")
        .map(|kind| (kind.name.to_owned(), vec![kind]))
        .collect();
    stacks.push(("no layer".to_owned(), Vec::new()));
    stacks.push(("all but TLS".to_owned(), plain));
    for (names, order) in stacks {
        let steps = through(&parts, &order, (true, true)).await;
        is_handed_on(&steps, Call::Vectored(3, len), &names);
        // A caller that checks for vectored support gets the right answer, and one that does not
        // still works.
        through(&parts, &order, (false, false)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn tls_takes_all_slices_and_hands_on_flush_and_end() {
    let parts = Parts::new();
    let tls = KINDS.iter().filter(|kind| kind.name == "tls").collect();
    for order in [tls, all()] {
        for vectored in [false, true] {
            let steps = through(&parts, &order, (vectored, true)).await;
            // Encrypted bytes are written at the flush at the latest, which then reaches the
            // bottom.
            let mut out = steps.write;
            out.extend(&steps.flush);
            let is_write = |call: &Call| matches!(call, Call::Write(_) | Call::Vectored(..));
            assert!(out.iter().any(is_write), "{out:?}");
            assert_eq!(steps.flush.last(), Some(&Call::Flush));
            // `close_notify`, and only then the end.
            let (first, last) = (steps.shutdown.first(), steps.shutdown.last());
            assert!(first.is_some_and(is_write), "{:?}", steps.shutdown);
            assert_eq!(last, Some(&Call::Shutdown));
        }
    }
}
