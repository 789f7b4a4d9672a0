//! A calm pressure is free.

use super::{SECOND, echo};
use reagent::{
    Server, ServerHandle, handle,
    testing::{Clients, MemoryListener},
};
use reagent_layers::{
    Refusal,
    pressure::{Actions, Pressure, source_fn},
};
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    runtime::{Builder, Runtime},
    time::sleep,
};

fn serve(runtime: &Runtime, pressure: Option<&Pressure>) -> (ServerHandle, Clients) {
    runtime.block_on(async {
        let (listener, clients) = MemoryListener::new();
        let server = Server::new(listener);
        let server = match pressure {
            None => server.start(handle(echo)).await.unwrap(),
            Some(pressure) => {
                let layer = pressure.layer().refuse(0.99, Refusal::Reset);
                let server = server.layer(layer).start(handle(echo)).await.unwrap();
                pressure.attach(&server);
                server
            }
        };
        (server, clients)
    })
}

/// Returns the allocations of a thousand connections, each with an exchange, over some seconds.
fn allocations(pressure: Option<&Pressure>) -> u64 {
    let runtime = Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    let (_server, clients) = serve(&runtime, pressure);
    let connect = |times: usize| {
        runtime.block_on(async {
            for _ in 0..times {
                let mut client = clients.connect().await.unwrap();
                client.write_u8(7).await.unwrap();
                client.read_u8().await.unwrap();
                client.shutdown().await.unwrap();
                client.read_to_end(&mut Vec::new()).await.unwrap();
            }
            sleep(SECOND).await;
        });
    };
    connect(100);
    allocation_counter::measure(|| connect(1000)).count_total
}

#[test]
fn a_calm_pressure_takes_no_memory_for_a_connection_nor_for_a_sample() {
    let bare = allocations(None);
    assert!(bare >= 1000, "it counts: {bare}");
    let samples = Arc::new(AtomicUsize::new(0));
    let count = samples.clone();
    let calm = source_fn("calm", move || {
        count.fetch_add(1, Relaxed);
        0.5
    });
    // All but the one that reads files for each sample.
    let actions = Actions::none()
        .idle_limit(0.75..0.95, 75 * SECOND, 2 * SECOND)
        .close_idlest(0.85)
        .unready(0.95);
    let pressure = Pressure::builder().source(calm).actions(actions);
    let pressure = pressure.build();
    assert_eq!(allocations(Some(&pressure)), bare);
    assert!(samples.load(Relaxed) >= 8, "{samples:?}");
}
