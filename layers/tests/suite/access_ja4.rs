//! Rules by fingerprint: an `AccessLayer` inside of a `SniffLayer`.

use crate::{
    sniff::hello::of_rustls,
    support::{Ends, LONG},
};
use reagent::{Connection, Outcome, Server, ServerHandle, handle, testing::MemoryListener};
use reagent_layers::{
    Apply,
    access::{Access, AccessLayer, JA4, REVOKED, Rules},
    sniff::{Detected, Detector, SniffLayer},
    tls::rustls::version::{TLS12, TLS13},
};
use std::io;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
    time::timeout,
};

/// A server whose clients are denied by fingerprint.
struct Gate {
    _server: ServerHandle,
    clients: reagent::testing::Clients,
    ends: Ends,
}

impl Gate {
    async fn start(access: &Access) -> Self {
        let (listener, clients) = MemoryListener::new();
        let ends = Ends::default();
        let server = Server::new(listener)
            .observe(ends.clone())
            .layer(SniffLayer::new().ja4(true))
            .layer(AccessLayer::new(access.clone()))
            .start(handle(greet));
        Gate {
            _server: server.await.unwrap(),
            clients,
            ends,
        }
    }

    async fn send(&self, bytes: &[u8]) -> DuplexStream {
        let mut client = self.clients.connect().await.unwrap();
        client.write_all(bytes).await.unwrap();
        client
    }

    /// Returns the label of spared clients, or `None` for one that was refused without an answer.
    async fn ask(&self, bytes: &[u8]) -> Option<String> {
        answer(&mut self.send(bytes).await).await
    }
}

async fn greet(mut conn: Connection) -> io::Result<()> {
    let spared = conn.handle().label("dry_run").unwrap_or_default();
    conn.write_all(format!("hello {spared}\n").as_bytes())
        .await?;
    conn.read_to_end(&mut Vec::new()).await.map(drop)
}

async fn answer(client: &mut DuplexStream) -> Option<String> {
    let mut answer = String::new();
    let reading = async {
        while !answer.ends_with('\n') {
            answer.push(char::from(client.read_u8().await.ok()?));
        }
        Some(answer.trim_end().to_owned())
    };
    timeout(LONG, reading).await.expect("an answer or an end")
}

fn new_client() -> Vec<u8> {
    of_rustls("example.org", &["h2"], &TLS13)
}

fn old_client() -> Vec<u8> {
    of_rustls("example.org", &[], &TLS12)
}

fn ja4(hello: &[u8]) -> String {
    match Detector::new().ja4(true).detect(hello) {
        Detected::Done(sniffed) => sniffed.ja4().unwrap().to_owned(),
        more => panic!("{more:?}"),
    }
}

fn deny(hello: &[u8]) -> Rules {
    Rules::new().deny_ja4([ja4(hello)]).unwrap()
}

#[tokio::test]
async fn clients_with_a_denied_fingerprint_are_refused_until_the_list_changes() {
    let (new, old) = (new_client(), old_client());
    let access = Access::new(deny(&new));
    let gate = Gate::start(&access).await;
    assert_eq!(gate.ask(&new).await, None);
    let outcome = gate.ends.of(1).await;
    assert!(
        matches!(&outcome, Outcome::Rejected(rejected) if rejected.reason() == JA4),
        "{outcome:?}"
    );
    assert_eq!(gate.ask(&old).await.unwrap(), "hello");
    assert_eq!(
        gate.ask(b"GET / HTTP/1.1\r\n\r\n").await.unwrap(),
        "hello",
        "clients without a fingerprint are not affected"
    );

    access.set(deny(&old).deny_all(["192.0.2.0/24"]).unwrap());
    assert_eq!(gate.ask(&old).await, None);
    assert_eq!(gate.ask(&new).await.unwrap(), "hello");
}

#[tokio::test]
async fn a_dry_run_spares_denied_fingerprints() {
    let new = new_client();
    let gate = Gate::start(&Access::new(deny(&new)).dry_run(true)).await;
    assert_eq!(gate.ask(&new).await.unwrap(), "hello access: ja4");
    assert_eq!(gate.ask(&old_client()).await.unwrap(), "hello");
}

#[tokio::test]
async fn a_new_fingerprint_ends_open_connections_where_asked() {
    let access = Access::new(Rules::new()).apply(Apply::Existing);
    let gate = Gate::start(&access).await;
    let (mut new, mut old) = (
        gate.send(&new_client()).await,
        gate.send(&old_client()).await,
    );
    assert!(answer(&mut new).await.is_some() && answer(&mut old).await.is_some());
    access.set(deny(&new_client()));
    assert_eq!(timeout(LONG, new.read(&mut [0])).await.unwrap().unwrap(), 0);
    let outcome = gate.ends.of(1).await;
    assert!(
        matches!(&outcome, Outcome::Rejected(rejected) if rejected.reason() == REVOKED),
        "{outcome:?}"
    );
    old.shutdown().await.unwrap();
    assert!(matches!(gate.ends.of(2).await, Outcome::Completed));
}

#[test]
fn only_fingerprints_that_a_client_can_have_are_accepted() {
    for text in [
        "t13d1516h2_8daaf6152771_e5627efa2ab1",
        "ts3i000000_000000000000_000000000000",
        "t00d9999Aa_8daaf6152771_e5627efa2ab1",
    ] {
        assert!(Rules::new().deny_ja4([text]).is_ok(), "{text}");
    }
    for text in [
        "",
        "t13d1516h2",
        "q13d1516h2_8daaf6152771_e5627efa2ab1",
        "t13x1516h2_8daaf6152771_e5627efa2ab1",
        "t13d15a6h2_8daaf6152771_e5627efa2ab1",
        "t13d1516h2_8DAAF6152771_e5627efa2ab1",
        "t13d1516h2_8daaf6152771_e5627efa2ab",
        "t13d1516h2_8daaf6152771_e5627efa2ab1_",
        " t13d1516h2_8daaf6152771_e5627efa2ab1",
    ] {
        let error = Rules::new().deny_ja4([text]).unwrap_err().to_string();
        assert!(error.contains(&format!("{text:?}")), "{error}");
    }
}
