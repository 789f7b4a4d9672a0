//! Certificates that are replaced while clients keep connecting.

use super::{
    pki::BOTH,
    reload::Change,
    running::{Running, close, connect, in_time},
};
use reagent::{Outcome, Server, testing::MemoryListener};
use reagent_layers::tls::rustls::client::Resumption;
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};
use tokio::{sync::Mutex, task::JoinSet};

const CLIENTS: usize = 4;
const HANDSHAKES: usize = 10_000;
const CHANGES: usize = 100;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_times_under_load_and_no_handshake_fails() {
    let change = Arc::new(Change::new());
    let layer = change.layer();
    let reloader = layer.reloader();
    let (listener, clients) = MemoryListener::new();
    let mut running = Running::start(Server::new(listener), clients, layer).await;
    let (count, changes) = (Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::new(0)));

    let mut config = change.ca.believer(BOTH);
    config.resumption = Resumption::disabled();
    let config = Arc::new(config);
    let mut load = JoinSet::new();
    for _ in 0..CLIENTS {
        let (change, reloader, config) = (change.clone(), reloader.clone(), config.clone());
        let (clients, count, changes) = (running.clients.clone(), count.clone(), changes.clone());
        load.spawn(async move {
            let mut served = [0_usize; 2];
            loop {
                let number = count.fetch_add(1, Ordering::Relaxed);
                if number >= HANDSHAKES {
                    return served;
                }
                if number % (HANDSHAKES / CHANGES) == 0 {
                    let mut changes = changes.lock().await;
                    *changes += 1;
                    let made = [&change.old, &change.new][*changes % 2];
                    made.overwrite(&change.cert, &change.key);
                    reloader.reload().await.unwrap();
                }
                let client = connect(&clients, &config, "localhost").await.unwrap();
                let got = &client.get_ref().1.peer_certificates().unwrap()[0];
                served[usize::from(*got == change.new.cert)] += 1;
                close(client).await;
            }
        });
    }
    let served = in_time(load.join_all()).await;
    let [old, new]: [usize; 2] =
        [0, 1].map(|which| served.iter().map(|served| served[which]).sum());
    assert_eq!(*changes.lock().await, CHANGES);
    assert_eq!(old + new, HANDSHAKES);
    assert!(
        old > HANDSHAKES / 10 && new > HANDSHAKES / 10,
        "{old} {new}"
    );
    for _ in 0..HANDSHAKES {
        assert!(matches!(running.end().await, Outcome::Completed));
    }
}
