//! The memory used by clients that send next to nothing.

use super::{
    Parts, client, header,
    kinds::{all, bottom},
    memory, proxy,
};
use crate::support::echo;
use reagent::handle;
use std::time::Duration;
use tokio::{io::AsyncWriteExt, runtime::Builder, time::sleep};

/// Returns the heap memory per client that sends `said` and then nothing, with all layers or with
/// none. It includes the pipe that stands for the socket.
fn heap_of_each(parts: &Parts, is_layered: bool, said: &[u8]) -> i64 {
    const COUNT: usize = 500;
    let runtime = Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap();
    let order = if is_layered { all() } else { Vec::new() };
    let (server, clients) = memory();
    let service = parts.stack(&order, bottom(handle(echo)));
    let server = runtime.block_on(server.start(service)).unwrap();
    let mut fleet = Vec::with_capacity(2 * COUNT);
    let mut come = || {
        runtime.block_on(async {
            for _ in 0..COUNT {
                let mut io = clients.connect_from(proxy()).await.unwrap();
                io.write_all(said).await.unwrap();
                fleet.push(io);
            }
            sleep(Duration::from_secs(1)).await;
        });
    };
    // The first round includes everything that is allocated once.
    come();
    let heap = allocation_counter::measure(come).bytes_current;
    assert_eq!(server.connection_count(), 2 * COUNT);
    heap / COUNT as i64
}

#[test]
fn each_costs_a_little_memory_until_it_has_said_something() {
    let parts = Parts::new();
    let bare = heap_of_each(&parts, false, b"");
    let header = header(client());
    let hello = [&header, &*parts.hello()].concat();
    // In KiB. The handler's buffer takes one.
    for (said, limit) in [(&b""[..], 4), (b"PROXY", 4), (&header, 9), (&hello, 24)] {
        let more = heap_of_each(&parts, true, said) - bare;
        assert!(
            more < limit * 1024,
            "{more} bytes more for {} said",
            said.len()
        );
    }
}
