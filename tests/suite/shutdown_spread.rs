//! Notifying connections over a window of time.

use crate::support::{Accepted, beside, memory_server, settled};
use reagent::{Connection, DrainReport, ServerHandle, Shutdown, handle, testing::Clients};
use std::{
    io,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, DuplexStream},
    task::JoinHandle,
    time::{Instant, sleep},
};

const DEADLINE: Duration = Duration::from_secs(60);
const SPREAD: Shutdown = Shutdown::new(DEADLINE).spread(Duration::from_secs(8));

/// The seconds at which connections were notified, with their numbers.
type Notified = Arc<Mutex<Vec<(u64, f64)>>>;

/// A server whose connections note when they are notified, and end when their clients leave.
struct World {
    server: ServerHandle,
    clients: Clients,
    accepted: Accepted,
    notified: Notified,
}

impl World {
    async fn start() -> Self {
        let notified = Notified::default();
        let notes = notified.clone();
        let began = Instant::now();
        let note = move |mut conn: Connection| {
            let notes = notes.clone();
            async move {
                let (draining, id) = (conn.draining(), conn.id());
                tokio::select! {
                    () = draining => {}
                    read = conn.read_u8() => return read.map(drop),
                }
                let seconds = began.elapsed().as_secs_f64().round();
                notes.lock().unwrap().push((id, seconds));
                let _ = conn.read_u8().await;
                io::Result::Ok(())
            }
        };
        let (server, clients, accepted) = memory_server();
        World {
            server: server.start(handle(note)).await.unwrap(),
            clients,
            accepted,
            notified,
        }
    }

    /// Opens this number of connections.
    async fn open(&mut self, count: usize) -> Vec<DuplexStream> {
        let mut open = Vec::new();
        for _ in 0..count {
            open.push(self.clients.connect().await.unwrap());
            self.accepted.next().await;
        }
        open
    }

    async fn request(&self, shutdown: Shutdown) -> JoinHandle<DrainReport> {
        let server = self.server.clone();
        let ended = beside(async move { server.shutdown(shutdown).await });
        settled().await;
        ended
    }

    fn notified(&self) -> Vec<(u64, f64)> {
        self.notified.lock().unwrap().clone()
    }
}

#[tokio::test(start_paused = true)]
async fn connections_are_notified_in_even_steps_and_oldest_first() {
    let mut world = World::start().await;
    let open = world.open(4).await;
    let ended = world.request(SPREAD).await;
    sleep(Duration::from_secs(9)).await;
    assert_eq!(world.notified(), [(1, 0.0), (2, 2.0), (3, 4.0), (4, 6.0)]);
    drop(open);
    let report = ended.await.unwrap();
    assert_eq!((report.finished, report.notified), (4, 4));
    assert_eq!(report.last_notified_at, Duration::from_secs(6));
    assert_eq!(
        report.to_string(),
        "4 finished, 0 aborted; notified 4 within 6s, took 9.001s"
    );
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_has_ended_or_was_notified_takes_no_turn() {
    let mut world = World::start().await;
    let mut open = world.open(5).await;
    world.server.connection(4).unwrap().drain();
    settled().await;
    let spread = Shutdown::new(DEADLINE).spread(Duration::from_secs(10));
    let ended = world.request(spread).await;
    drop(open.remove(1));
    sleep(Duration::from_secs(11)).await;
    // Four steps of 2.5 s, of which the second is skipped.
    assert_eq!(world.notified(), [(4, 0.0), (1, 0.0), (3, 3.0), (5, 5.0)]);
    drop(open);
    let report = ended.await.unwrap();
    assert_eq!((report.finished, report.notified), (5, 3));
}

#[tokio::test(start_paused = true)]
async fn the_queue_is_served_and_closed_at_the_start_of_the_spread() {
    let mut world = World::start().await;
    let open = world.open(2).await;
    world.server.pause();
    settled().await;
    let queued = world.clients.connect().await.unwrap();
    let ended = world.request(SPREAD).await;
    assert!(world.clients.connect().await.is_err());
    sleep(Duration::from_secs(9)).await;
    // The client of the queue has not waited for its turn.
    assert_eq!(world.notified(), [(1, 0.0), (3, 0.0), (2, 4.0)]);
    drop((open, queued));
    let report = ended.await.unwrap();
    assert_eq!((report.finished, report.notified), (3, 2));
}

#[tokio::test(start_paused = true)]
async fn a_spread_ends_with_the_last_connection() {
    let mut world = World::start().await;
    let open = world.open(3).await;
    let ended = world.request(SPREAD).await;
    drop(open);
    let report = ended.await.unwrap();
    assert_eq!((report.finished, report.notified), (3, 1));
    assert!(report.elapsed < Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn a_call_without_a_spread_notifies_the_rest_at_once() {
    let mut world = World::start().await;
    let open = world.open(4).await;
    let ended = world.request(SPREAD).await;
    sleep(Duration::from_secs(3)).await;
    let again = world.request(Shutdown::new(DEADLINE)).await;
    assert_eq!(world.notified(), [(1, 0.0), (2, 2.0), (3, 3.0), (4, 3.0)]);
    drop(open);
    assert_eq!(ended.await.unwrap(), again.await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn a_call_with_a_spread_that_ends_sooner_speeds_up_the_rest() {
    let mut world = World::start().await;
    let open = world.open(4).await;
    let ended = world
        .request(Shutdown::new(DEADLINE).spread(Duration::from_secs(40)))
        .await;
    sleep(Duration::from_secs(3)).await;
    world
        .request(Shutdown::new(DEADLINE).spread(Duration::from_secs(6)))
        .await;
    sleep(Duration::from_secs(10)).await;
    // Three are left, and 6 s.
    assert_eq!(world.notified(), [(1, 0.0), (2, 5.0), (3, 6.0), (4, 8.0)]);
    drop(open);
    ended.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn other_changes_of_the_server_do_not_speed_up_the_spread() {
    let mut world = World::start().await;
    let open = world.open(2).await;
    let ended = world.request(SPREAD).await;
    for max in 1..20 {
        world.server.set_max_connections(max);
        drop(world.server.readiness().hold("busy"));
        settled().await;
    }
    sleep(Duration::from_secs(9)).await;
    assert_eq!(world.notified(), [(1, 0.0), (2, 4.0)]);
    drop(open);
    ended.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_spread_longer_than_the_deadline_is_cut_to_it() {
    let mut world = World::start().await;
    let _open = world.open(4).await;
    let spread = Shutdown::new(Duration::from_secs(8)).spread(Duration::MAX);
    let report = world.server.shutdown(spread).await;
    assert_eq!(world.notified(), [(1, 0.0), (2, 2.0), (3, 4.0), (4, 6.0)]);
    assert_eq!(report.aborted, 4);
}

#[tokio::test(start_paused = true)]
async fn a_spread_begins_after_the_lame_duck_stage() {
    let mut world = World::start().await;
    let open = world.open(2).await;
    let ended = world
        .request(SPREAD.lame_duck(Duration::from_secs(30)))
        .await;
    sleep(Duration::from_secs(40)).await;
    assert_eq!(world.notified(), [(1, 30.0), (2, 34.0)]);
    drop(open);
    ended.await.unwrap();
}
