//! SIGHUP applies what has changed in the file.

use super::{
    Events, admin::Page, config::Files, in_time, metric, named_upstream, read_all, say, started,
};
use crate::{
    port::Port,
    program::{Example, binary},
};
use reagent::{BoxError, ServerHandle};
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::Relaxed},
};
use tokio::{
    io::AsyncWriteExt,
    net::{TcpListener, TcpStream},
    process::Command,
    task::JoinSet,
};

const RELOADED: &str = "configuration and certificates reloaded";
const REFUSED: &str = "the old ones remain in use";

/// A gateway from a file.
struct Reloading {
    files: Files,
    gateway: Example,
    events: Events,
}

impl Reloading {
    async fn new(config: &str) -> Self {
        let files = Files::new(config);
        let (gateway, events) = started(&files, &[]).await;
        Reloading {
            files,
            gateway,
            events,
        }
    }

    /// Changes the file, and waits until the gateway has reloaded it.
    async fn reload(&mut self, config: &str) {
        self.hang_up(config, RELOADED).await;
    }

    /// Changes the file, and returns the event that contains these words.
    async fn hang_up(&mut self, config: &str, words: &str) -> String {
        self.files.write("gateway.toml", config);
        self.gateway.signal("HUP").await;
        self.events.with(words).await
    }
}

fn listener(to: &ServerHandle, more: &str) -> String {
    let to = to.local_addr();
    format!("[[listener]]\nlabel = 'one'\nlisten = '127.0.0.1:0'\nto = '{to}'\n{more}\n")
}

async fn is_served(addr: &str) -> bool {
    match TcpStream::connect(addr).await {
        Ok(mut client) => say(&mut client, "hello").await.is_ok(),
        Err(_) => false,
    }
}

#[tokio::test]
async fn limits_change_and_keep_their_counts() -> Result<(), BoxError> {
    let upstream = named_upstream("a").await;
    let mut gateway = Reloading::new(&listener(&upstream, "per-client = 1")).await;
    let addr = gateway.gateway.addr.clone();
    let mut first = gateway.gateway.connect().await;
    assert_eq!(say(&mut first, "hello").await?, "a hello");
    assert!(!is_served(&addr).await);

    gateway.reload(&listener(&upstream, "per-client = 2")).await;
    let mut second = gateway.gateway.connect().await;
    assert_eq!(say(&mut second, "hello").await?, "a hello");
    assert!(!is_served(&addr).await, "the first one still counts");

    gateway.reload(&listener(&upstream, "per-client = 1")).await;
    assert_eq!(
        say(&mut first, "again").await?,
        "a again",
        "nobody is closed"
    );
    assert_eq!(say(&mut second, "again").await?, "a again");
    drop((first, second));
    in_time(async { while !is_served(&addr).await {} }).await;
    Ok(())
}

#[tokio::test]
async fn clients_that_wait_for_a_place_are_served_when_the_maximum_rises() -> Result<(), BoxError> {
    let upstream = named_upstream("a").await;
    for (top, of_listener) in [("max-connections = 1\n", ""), ("", "max-connections = 1")] {
        let config = format!("{top}{}", listener(&upstream, of_listener));
        let mut gateway = Reloading::new(&config).await;
        let mut first = gateway.gateway.connect().await;
        assert_eq!(say(&mut first, "hello").await?, "a hello");
        let mut second = gateway.gateway.connect().await;
        second.write_all(b"waiting\n").await?;
        assert_eq!(say(&mut first, "still alone").await?, "a still alone");
        let accepted = upstream.stats().accepted;

        gateway
            .reload(&config.replace("max-connections = 1", "max-connections = 2"))
            .await;
        assert_eq!(say(&mut second, "").await?, "a waiting");
        assert_eq!(upstream.stats().accepted, accepted + 1);
    }
    Ok(())
}

#[tokio::test]
async fn upstreams_and_lists_change_for_new_clients() -> Result<(), BoxError> {
    let (a, b) = (named_upstream("a").await, named_upstream("b").await);
    let mut gateway = Reloading::new(&listener(&a, "")).await;
    let mut old = gateway.gateway.connect().await;
    assert_eq!(say(&mut old, "hello").await?, "a hello");

    gateway.reload(&listener(&b, "")).await;
    let mut new = gateway.gateway.connect().await;
    assert_eq!(say(&mut new, "hello").await?, "b hello");
    assert_eq!(say(&mut old, "hello").await?, "a hello");

    gateway.reload(&listener(&b, "deny = '127.0.0.1'")).await;
    assert!(!is_served(&gateway.gateway.addr).await);
    assert_eq!(say(&mut old, "hello").await?, "a hello");
    assert_eq!(say(&mut new, "hello").await?, "b hello");
    gateway.reload(&listener(&b, "allow = '127.0.0.1'")).await;
    assert!(is_served(&gateway.gateway.addr).await);
    Ok(())
}

#[tokio::test]
async fn addresses_are_opened_and_closed_with_stacks_of_their_own() -> Result<(), BoxError> {
    let (a, b) = (named_upstream("a").await, named_upstream("b").await);
    let port = Port::new();
    let first = listener(&a, "").replace("127.0.0.1:0", &port.addr().to_string());
    let mut gateway = Reloading::new(&first).await;
    let mut old = gateway.gateway.connect().await;
    assert_eq!(say(&mut old, "hello").await?, "a hello");

    let path = gateway.files.path("b.sock");
    let second = format!(
        "[[listener]]\nlisten = 'unix:{path}'\nto = '{}'\n",
        b.local_addr()
    );
    gateway.reload(&format!("{first}{second}")).await;
    assert_eq!(
        gateway.gateway.line().await,
        format!("listening on unix:{path}")
    );
    let mut client = tokio::net::UnixStream::connect(&path).await?;
    assert!(crate::support::echoes(&mut client, "").await);
    client.write_all(b"hello\n").await?;
    client.shutdown().await?;
    assert_eq!(crate::support::rest(&mut client).await?, b"b hello\n");
    assert!(is_served(&gateway.gateway.addr).await);

    // The first address is closed, and its client stays.
    gateway.reload(&second).await;
    assert!(TcpStream::connect(&gateway.gateway.addr).await.is_err());
    assert_eq!(say(&mut old, "hello").await?, "a hello");
    gateway.reload(&first).await;
    assert!(tokio::net::UnixStream::connect(&path).await.is_err());
    let line = gateway.gateway.line().await;
    assert!(is_served(line.strip_prefix("listening on ").unwrap()).await);
    drop(old);
    gateway.gateway.stop("TERM").await;
    Ok(())
}

#[tokio::test]
async fn nothing_changes_if_anything_is_wrong() -> Result<(), BoxError> {
    let (a, b) = (named_upstream("a").await, named_upstream("b").await);
    let good = listener(&a, "per-client = 1");
    let mut gateway = Reloading::new(&good).await;
    let mut first = gateway.gateway.connect().await;
    assert_eq!(say(&mut first, "hello").await?, "a hello");

    let taken = TcpListener::bind("127.0.0.1:0").await?;
    let taken = taken.local_addr()?;
    for (more, expected) in [
        (
            "per-clients = 3".to_owned(),
            "line 6: unknown key `per-clients`",
        ),
        (
            "per-client = 'x'".to_owned(),
            "line 5: invalid `per-client`",
        ),
        (
            "per-client = 2\ntls-cert = 'x'\ntls-key = 'x'".to_owned(),
            "cannot read",
        ),
        (
            "per-client = 2\ntrust = '::1'".to_owned(),
            "`trust` requires `proxy-in`",
        ),
        (
            format!("per-client = 2\n[[listener]]\nlisten = '{taken}'\nto = '127.0.0.1:1'"),
            "in use",
        ),
        (
            "per-client = 2\n[[listener]]\nlisten = '127.0.0.1'\nto = '127.0.0.1:1'".to_owned(),
            "a port is missing",
        ),
    ] {
        let more = match more.starts_with("per-clients") {
            true => format!("per-client = 2\n{more}"),
            false => more,
        };
        let event = gateway.hang_up(&listener(&b, &more), REFUSED).await;
        assert!(
            event.contains("ERROR") && event.contains(expected),
            "{event}"
        );
        assert!(
            !is_served(&gateway.gateway.addr).await,
            "the limit is still 1"
        );
        assert_eq!(say(&mut first, "hello").await?, "a hello");
    }
    gateway.reload(&listener(&b, "per-client = 2")).await;
    let mut second = gateway.gateway.connect().await;
    assert_eq!(say(&mut second, "hello").await?, "b hello");
    Ok(())
}

#[tokio::test]
async fn listeners_and_pages_change_together_or_not_at_all() -> Result<(), BoxError> {
    let upstream = named_upstream("a").await;
    let of_listener = listener(&upstream, "");
    let port = Port::new();
    let old = port.addr().to_string();
    let mut gateway = Reloading::new(&format!("metrics = '{old}'\n{of_listener}")).await;
    assert_eq!(gateway.gateway.line().await, format!("metrics on {old}"));

    let taken = TcpListener::bind("127.0.0.1:0").await?;
    let path = gateway.files.path("new.sock");
    let more = format!("[[listener]]\nlisten = '{path}'\nto = '127.0.0.1:1'\n");
    let config = |metrics: &str| format!("metrics = '{metrics}'\n{of_listener}{more}");
    let event = gateway
        .hang_up(&config(&taken.local_addr()?.to_string()), REFUSED)
        .await;
    assert!(event.contains("in use"), "{event}");
    assert!(!std::fs::exists(&path)?);
    assert!(metric(&old, "reagent").await.is_some());

    // The same with an address that is free.
    let page = gateway.files.path("metrics.sock");
    gateway.reload(&config(&page)).await;
    let lines = [gateway.gateway.line().await, gateway.gateway.line().await];
    let expected = [
        format!("metrics on unix:{page}"),
        format!("listening on unix:{path}"),
    ];
    assert_eq!(lines, expected);
    assert!(TcpStream::connect(&old).await.is_err());
    assert!(is_served(&gateway.gateway.addr).await);
    Ok(())
}

#[tokio::test]
async fn no_client_is_lost_while_files_are_reloaded() -> Result<(), BoxError> {
    let (a, b) = (named_upstream("a").await, named_upstream("b").await);
    let mut gateway = Reloading::new(&listener(&a, "")).await;
    let done = Arc::new(AtomicBool::new(false));
    let mut clients = JoinSet::new();
    for _ in 0..4 {
        let (addr, done) = (gateway.gateway.addr.clone(), done.clone());
        clients.spawn(async move {
            let mut served = 0;
            while !done.load(Relaxed) {
                let mut client = TcpStream::connect(&addr).await.expect("not refused");
                say(&mut client, "hello").await.expect("not reset");
                client.shutdown().await.expect("not reset");
                read_all(&mut client).await.expect("an orderly end");
                served += 1;
            }
            served
        });
    }
    for round in 0..20 {
        let to = if round % 2 == 0 { &b } else { &a };
        let more = format!(
            "per-client = {}\nidle-timeout = {}",
            100 + round,
            60 + round
        );
        gateway.reload(&listener(to, &more)).await;
    }
    done.store(true, Relaxed);
    let served: Vec<u32> = in_time(clients.join_all()).await;
    assert!(served.iter().all(|served| *served > 0), "{served:?}");
    assert!(a.stats().accepted > 0 && b.stats().accepted > 0);
    Ok(())
}

#[tokio::test]
async fn certificates_and_metrics_change() -> Result<(), BoxError> {
    let upstream = named_upstream("a").await;
    let port = Port::new();
    let page = &port.addr().to_string();
    let metrics = format!("metrics = '{page}'\n");
    let mut gateway = Reloading::new(&format!("{metrics}{}", listener(&upstream, ""))).await;
    assert_eq!(gateway.gateway.line().await, format!("metrics on {page}"));
    let accepted = format!(
        "reagent_connections_accepted_total{{listener=\"{}\"}}",
        gateway.gateway.addr
    );
    assert!(is_served(&gateway.gateway.addr).await);
    assert_eq!(metric(page, &accepted).await, Some(1.0));

    gateway.files.certify("localhost");
    let tls = "tls-cert = 'cert.pem'\ntls-key = 'key.pem'";
    gateway
        .reload(&format!("{metrics}{}", listener(&upstream, tls)))
        .await;
    let args = ["-servername", "localhost"];
    let Some(said) = super::tls::s_client(&gateway.gateway.addr, &args, "hello\n").await else {
        return Ok(());
    };
    assert!(said.contains("a hello"), "{said}");
    assert!(
        !is_served(&gateway.gateway.addr).await,
        "plain clients are no longer served"
    );
    assert_eq!(metric(page, &accepted).await, Some(3.0));
    gateway.reload(&listener(&upstream, "")).await;
    assert!(TcpStream::connect(page).await.is_err());
    Ok(())
}

#[tokio::test]
async fn tls_sessions_are_resumed_after_a_reload() -> Result<(), BoxError> {
    let upstream = named_upstream("a").await;
    let tls = "tls-cert = 'cert.pem'\ntls-key = 'key.pem'";
    let files = Files::new(&listener(&upstream, tls));
    files.certify("localhost");
    let (gateway, events) = started(&files, &[]).await;
    let session = files.path("session");
    let mut gateway = Reloading {
        files,
        gateway,
        events,
    };
    let ask = async |addr: &str, session: &[&str]| {
        let args = [&["-tls1_3", "-servername", "localhost"], session].concat();
        super::tls::s_client(addr, &args, "hello\n").await
    };
    let addr = gateway.gateway.addr.clone();
    let Some(said) = ask(&addr, &["-sess_out", &session]).await else {
        return Ok(());
    };
    assert!(
        said.contains("a hello") && !said.contains("Reused"),
        "{said}"
    );
    // Other options, and another certificate in the same file.
    gateway.files.certify("localhost");
    let more = format!("{tls}\nalpn = 'x'\nper-client = 5");
    gateway.reload(&listener(&upstream, &more)).await;
    let said = ask(&addr, &["-sess_in", &session]).await.unwrap();
    assert!(
        said.contains("a hello") && said.contains("Reused, TLSv1.3"),
        "{said}"
    );
    Ok(())
}

#[tokio::test]
async fn what_needs_a_restart_is_named_and_the_rest_applies() -> Result<(), BoxError> {
    let upstream = named_upstream("a").await;
    let mut gateway = Reloading::new(&listener(&upstream, "per-client = 1")).await;
    let mut first = gateway.gateway.connect().await;
    assert_eq!(say(&mut first, "hello").await?, "a hello");
    let top = "metrics = '127.0.0.1:0'\nadmin = '127.0.0.1:0'\nthreads = 2\n";
    let config = format!("{top}{}", listener(&upstream, "per-client = 2"));
    // Twice, since a page that was left out is not there the next time either.
    for _ in 0..2 {
        gateway.files.write("gateway.toml", &config);
        gateway.gateway.signal("HUP").await;
        for key in ["metrics", "admin"] {
            let words = format!("`{key}` takes effect after a restart");
            gateway.events.with(&words).await;
        }
        gateway.events.with(RELOADED).await;
    }
    assert!(is_served(&gateway.gateway.addr).await);
    Ok(())
}

#[tokio::test]
async fn a_log_that_cannot_be_written_ends_nothing() -> Result<(), BoxError> {
    let upstream = named_upstream("a").await;
    let files = Files::new(&listener(&upstream, ""));
    let mut command = Command::new(binary("gateway"));
    command.args(["--config", &files.path("gateway.toml"), "--threads", "1"]);
    let full = std::fs::File::options().write(true).open("/dev/full")?;
    let gateway = Example::start_with("gateway", command.stderr(full)).await;
    let mut client = gateway.connect().await;
    for config in [listener(&upstream, "per-client = 9"), "nonsense".to_owned()] {
        files.write("gateway.toml", &config);
        gateway.signal("HUP").await;
        for _ in 0..10 {
            assert_eq!(say(&mut client, "hello").await?, "a hello");
            assert!(is_served(&gateway.addr).await);
        }
    }
    drop(client);
    gateway.stop("TERM").await;
    Ok(())
}

#[tokio::test]
async fn the_admin_page_shows_listeners_as_they_are_configured_now() -> Result<(), BoxError> {
    let upstream = named_upstream("a").await;
    let top = "admin = '127.0.0.1:0'\n";
    let config = listener(&upstream, "max-connections = 7");
    let mut gateway = Reloading::new(&format!("{top}{config}")).await;
    let page = Page::of(&mut gateway.gateway).await;
    let mut client = gateway.gateway.connect().await;
    assert_eq!(say(&mut client, "hello").await?, "a hello");
    for (label, max) in [("one", 7), ("two", 8)] {
        let config = config
            .replace("'one'", &format!("'{label}'"))
            .replace("= 7", &format!("= {max}"));
        gateway.reload(&format!("{top}{config}")).await;
        let (_, listeners) = page.get("/listeners").await;
        assert_eq!(listeners[0]["label"], label, "{listeners}");
        assert_eq!(listeners[0]["max_connections"], max, "{listeners}");
        let (_, connections) = page.get("/connections").await;
        assert_eq!(connections[0]["listener_label"], label, "{connections}");
    }
    Ok(())
}

#[tokio::test]
async fn an_address_is_removed_without_an_error() -> Result<(), BoxError> {
    let upstream = named_upstream("a").await;
    let one = listener(&upstream, "");
    let others = (0..5).map(|number| one.replace("'one'", &format!("'{number}'")));
    let mut gateway = Reloading::new(&format!("{one}{}", others.collect::<String>())).await;
    gateway.files.write("gateway.toml", &one);
    gateway.gateway.signal("HUP").await;
    loop {
        let line = in_time(gateway.events.0.next_line()).await?;
        let line = line.expect("it reloads");
        assert!(!line.contains("failed"), "{line}");
        if line.contains(RELOADED) {
            return Ok(());
        }
    }
}
