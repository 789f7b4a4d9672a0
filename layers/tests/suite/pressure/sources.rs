//! What the sources read: fixtures, and this machine.

use super::{SECOND, echo};
use reagent::{Connection, Limit, Server, ServerHandle, handle, testing::MemoryListener};
use reagent_layers::pressure::{
    AcceptQueue, Actions, CgroupMemory, Descriptors, ListenOverflows, PermitWait, Pressure,
    ResidentMemory, SchedulerLag, Source, Stall,
};
use std::{
    fs,
    future::{Future, pending},
    io,
    path::{Path, PathBuf},
    task::{Context, Waker},
    time::Duration,
};
use tokio::{
    net::TcpStream,
    time::{advance, sleep},
};

/// A directory that is removed with the test.
struct Dir(PathBuf);

impl Dir {
    fn new(name: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("reagent-{}-{name}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        Dir(dir)
    }

    fn write(&self, name: &str, text: impl AsRef<str>) -> PathBuf {
        let path = self.0.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text.as_ref()).unwrap();
        path
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Samples one source, and takes no action.
async fn sampled(source: impl Source) -> (Pressure, ServerHandle) {
    let pressure = Pressure::builder()
        .source(source)
        .actions(Actions::none())
        .build();
    let (listener, _) = MemoryListener::new();
    let server = Server::new(listener).start(handle(echo)).await.unwrap();
    pressure.attach(&server);
    (pressure, server)
}

/// Lets a sample pass, and returns it.
async fn sample(pressure: &Pressure) -> Option<f64> {
    sleep(SECOND / 2).await;
    pressure.stats().readings[0].value
}

#[tokio::test(start_paused = true)]
async fn resident_memory_counts_against_a_limit() {
    let dir = Dir::new("status");
    let status =
        |kib: u64| format!("Name:\tx\nVmHWM:\t  999999 kB\nVmRSS:\t  {kib} kB\nThreads:\t1\n");
    let path = dir.write("status", status(256));
    let source = ResidentMemory::new(1024 * 1024).status_file(path);
    let (pressure, _server) = sampled(source).await;
    assert_eq!(sample(&pressure).await, Some(0.25));
    dir.write("status", status(768));
    assert_eq!(sample(&pressure).await, Some(0.75));
    dir.write("status", "Name:\tx\n");
    assert_eq!(sample(&pressure).await, None);
}

#[tokio::test(start_paused = true)]
async fn the_fullest_group_counts_without_its_page_cache() {
    let dir = Dir::new("cgroup");
    let group = |path: &str, max: &str, current: u64, inactive: u64| {
        dir.write(&format!("{path}/memory.max"), format!("{max}\n"));
        dir.write(&format!("{path}/memory.current"), format!("{current}\n"));
        let stat = format!("anon 5\ninactive_anon 900\ninactive_file {inactive}\nactive_file 3\n");
        dir.write(&format!("{path}/memory.stat"), stat);
    };
    fs::create_dir_all(dir.0.join("a/b/c")).unwrap();
    group("a", "1000", 700, 100);
    group("a/b", "max", 600, 0);
    group("a/b/c", "200", 120, 20);
    let (pressure, _server) = sampled(CgroupMemory::at(&dir.0, "a/b/c")).await;
    assert_eq!(sample(&pressure).await, Some(0.6), "of the group above");
    group("a/b/c", "110", 120, 20);
    assert_eq!(
        sample(&pressure).await,
        Some(100.0 / 110.0),
        "the limit was lowered"
    );
    for path in ["a", "a/b/c"] {
        group(path, "max", 1000, 0);
    }
    assert_eq!(sample(&pressure).await, None, "no limit, no pressure");
}

#[tokio::test(start_paused = true)]
async fn stalls_count_as_a_part_of_the_last_seconds() {
    let dir = Dir::new("stall");
    let stalls = |some: u64, full: u64| {
        let averages = "avg10=99.00 avg60=99.00 avg300=99.00";
        format!("some {averages} total={some}\nfull {averages} total={full}\n")
    };
    let path = dir.write("memory", stalls(5_000_000, 1_000_000));
    let (some, _first) = sampled(Stall::at(&path, "some")).await;
    let (full, _second) = sampled(Stall::at(&path, "full").full().most(0.5)).await;
    assert_eq!(
        sample(&some).await,
        Some(0.0),
        "what was before does not count"
    );
    // 1 s and 0.5 s of the first 2 s.
    dir.write("memory", stalls(6_000_000, 1_500_000));
    sleep(2 * SECOND).await;
    assert_eq!(sample(&some).await, Some(0.5));
    assert_eq!(sample(&full).await, Some(0.5));
    sleep(2 * SECOND).await;
    assert_eq!(sample(&some).await, Some(0.0));
    fs::remove_file(&path).unwrap();
    sleep(2 * SECOND).await;
    assert_eq!(sample(&some).await, None);
}

#[tokio::test(start_paused = true)]
async fn an_overflow_counts_for_two_seconds() {
    let dir = Dir::new("netstat");
    let netstat = |count: u32| {
        format!(
            "TcpExt: SyncookiesSent ListenOverflows ListenDrops\nTcpExt: 8 {count} 9\n\
             IpExt: InNoRoutes ListenOverflows\nIpExt: 5 6\n"
        )
    };
    let path = dir.write("netstat", netstat(3));
    let (pressure, _server) = sampled(ListenOverflows::at(path)).await;
    assert_eq!(
        sample(&pressure).await,
        Some(0.0),
        "those before do not count"
    );
    dir.write("netstat", netstat(4));
    assert_eq!(sample(&pressure).await, Some(1.0));
    sleep(SECOND).await;
    assert_eq!(sample(&pressure).await, Some(1.0));
    sleep(SECOND).await;
    assert_eq!(sample(&pressure).await, Some(0.0));
}

#[tokio::test(start_paused = true)]
async fn a_wait_for_a_permit_counts_from_its_beginning() {
    let serve = |conn: Connection| async move {
        pending::<()>().await;
        drop(conn);
        io::Result::Ok(())
    };
    let pressure = Pressure::builder()
        .source(PermitWait::most(4 * SECOND))
        .actions(Actions::none())
        .build();
    let (listener, clients) = MemoryListener::new();
    let server = Server::new(listener)
        .max_connections(1)
        .start(handle(serve))
        .await
        .unwrap();
    pressure.attach(&server);
    let _first = clients.connect().await.unwrap();
    sleep(10 * SECOND).await;
    assert_eq!(sample(&pressure).await, Some(0.0), "nobody waits");
    let _second = clients.connect().await.unwrap();
    sleep(2 * SECOND).await;
    let value = pressure.value();
    assert!((0.35..=0.5).contains(&value), "{value}");
    sleep(10 * SECOND).await;
    assert_eq!(pressure.value(), 1.0);
    server.set_max_connections(2);
    assert_eq!(sample(&pressure).await, Some(0.0));
    let limit = Limit::new(0);
    let (other, _server) = sampled(PermitWait::new().of(limit.clone())).await;
    let waiting = limit.acquire();
    tokio::pin!(waiting);
    let mut cx = Context::from_waker(Waker::noop());
    assert!(waiting.as_mut().poll(&mut cx).is_pending());
    sleep(2 * SECOND).await;
    assert_eq!(other.value(), 1.0);
}

/// One late sample is an accident. Several are a queue.
#[tokio::test(start_paused = true)]
async fn only_a_lag_that_stays_counts() {
    let interval = Duration::from_millis(250);
    let (pressure, _server) = sampled(SchedulerLag::new()).await;
    sleep(2 * SECOND).await;
    let late = async |by: u64| {
        // The clock passes the time of the sample before its task runs.
        advance(interval + Duration::from_millis(by)).await;
        tokio::task::yield_now().await;
        pressure.value()
    };
    assert_eq!(late(80).await, 0.0);
    for _ in 0..4 {
        late(80).await;
    }
    let value = late(80).await;
    assert!((0.7..=0.9).contains(&value), "{value}");
    sleep(interval).await;
    assert_eq!(sample(&pressure).await, Some(0.0));
}

#[tokio::test]
async fn this_machine_has_values() {
    let pressure = Pressure::builder()
        .standard_sources()
        .source(AcceptQueue::new(10))
        .source(ListenOverflows::new())
        .source(Stall::cpu())
        .source(Stall::io())
        .source(ResidentMemory::of_machine().unwrap())
        .interval(Duration::from_millis(20))
        .actions(Actions::none())
        .build();
    let server = Server::bind("127.0.0.1:0")
        .start(handle(echo))
        .await
        .unwrap();
    server.pause();
    server.settled().await;
    let addr = server.local_addr().socket_addr().unwrap();
    let mut clients = Vec::new();
    for _ in 0..5 {
        clients.push(TcpStream::connect(addr).await.unwrap());
    }
    pressure.attach(&server);
    let mut watched = pressure.clone();
    watched.changed().await;
    let readings = pressure.stats().readings;
    let value = |name: &str| {
        let reading = readings.iter().find(|reading| reading.name == name);
        reading
            .unwrap_or_else(|| panic!("{name} in {readings:?}"))
            .value
    };
    assert_eq!(value("accept queue"), Some(0.5));
    for name in ["descriptors", "resident memory"] {
        let value = value(name);
        assert!(
            value.is_some_and(|value| 0.0 < value && value < 1.0),
            "{name}: {value:?}"
        );
    }
    assert_eq!(value("permit wait"), Some(0.0));
    assert_eq!(value("listen overflows"), Some(0.0));
    for name in ["memory stall", "cpu stall", "io stall"] {
        let kernel_has_it = Path::new("/proc/pressure/memory").exists();
        assert_eq!(value(name).is_some(), kernel_has_it, "{name}");
    }
    drop(server);
}

#[tokio::test]
async fn open_files_count_against_the_limit() {
    let (pressure, server) = sampled(Descriptors).await;
    let mut watched = pressure.clone();
    let before = watched.changed().await;
    let files: Vec<_> = (0..50)
        .map(|_| fs::File::open("/dev/null").unwrap())
        .collect();
    let after = watched.changed().await;
    assert!(after > before, "{before} {after}");
    drop((files, server));
}
