//! Limits that are only tried, and changes that apply to open connections.

use super::{Events, config::Files, gateway, in_time, metric, read_all, say, started, upstream};
use crate::program::Example;
use reagent::{BoxError, ServerHandle};

const RELOADED: &str = "configuration and certificates reloaded";

/// Waits until the page says that this many connections were spared by a limit.
async fn until_spared(gateway: &Example, page: &str, limit: &str, count: f64) {
    let addr = &gateway.addr;
    let name = format!("reagent_dry_run_total{{listener=\"{addr}\",limit=\"{limit}\"}}");
    let counted = async { while metric(page, &name).await != Some(count) {} };
    in_time(counted).await;
}

/// Starts a gateway with a page of metrics, and returns its address too.
async fn with_metrics(args: &[&str]) -> (Example, String, ServerHandle) {
    let upstream = upstream().await;
    let to = upstream.local_addr().to_string();
    let args = [&["--metrics", "127.0.0.1:0"], args].concat();
    let mut gateway = gateway(&to, &args).await;
    let line = gateway.line().await;
    let page = line.strip_prefix("metrics on ").unwrap().to_owned();
    (gateway, page, upstream)
}

#[tokio::test]
async fn options_are_tried_and_counted() -> Result<(), BoxError> {
    let limits = ["--per-client", "1", "--deny", "127.0.0.0/8"];
    for dry_run in [&["--dry-run"][..], &["--dry-run", "per-client,deny"]] {
        let (gateway, page, _upstream) = with_metrics(&[&limits, dry_run].concat()).await;
        let mut clients = [gateway.connect().await, gateway.connect().await];
        for client in &mut clients {
            assert_eq!(say(client, "hello").await?, "<none> hello");
        }
        until_spared(&gateway, &page, "access: access", 2.0).await;
        until_spared(&gateway, &page, "limit: client connections", 1.0).await;
    }
    // The other option is enforced.
    let (gateway, page, _upstream) =
        with_metrics(&[&limits[..], &["--dry-run=deny"]].concat()).await;
    let mut first = gateway.connect().await;
    assert_eq!(say(&mut first, "hello").await?, "<none> hello");
    assert!(say(&mut gateway.connect().await, "hello").await.is_err());
    until_spared(&gateway, &page, "access: access", 2.0).await;
    assert_eq!(
        metric(&page, "reagent_connections_rejected_total").await,
        Some(1.0)
    );
    Ok(())
}

#[tokio::test]
async fn a_limit_of_several_gateways_is_tried() -> Result<(), BoxError> {
    let cluster = [
        "--cluster",
        "redis://127.0.0.1:1/0",
        "--cluster-lost",
        "closed",
    ];
    let limit = [
        "--cluster-per-client",
        "1",
        "--dry-run",
        "cluster-per-client",
    ];
    let (gateway, page, _upstream) = with_metrics(&[cluster, limit].concat()).await;
    let mut client = gateway.connect().await;
    assert_eq!(say(&mut client, "hello").await?, "<none> hello");
    until_spared(&gateway, &page, "cluster: cluster store", 1.0).await;
    Ok(())
}

#[tokio::test]
async fn a_time_limit_is_tried_beside_one_that_is_enforced() -> Result<(), BoxError> {
    let args = ["--first-byte-timeout", "0.1", "--idle-timeout", "0.5"];
    let args = [&args[..], &["--dry-run", "first-byte-timeout"]].concat();
    let (gateway, page, _upstream) = with_metrics(&args).await;
    let mut client = gateway.connect().await;
    until_spared(&gateway, &page, "timeout: first byte", 1.0).await;
    // It is ended by the other limit.
    assert!(read_all(&mut client).await.is_err());
    Ok(())
}

/// A gateway from a file, which changes.
struct Changing {
    files: Files,
    gateway: Example,
    events: Events,
    upstream: ServerHandle,
}

impl Changing {
    async fn new(more: &str) -> Self {
        let upstream = upstream().await;
        let files = Files::new(&config(&upstream, more));
        let (gateway, events) = started(&files, &[]).await;
        Changing {
            files,
            gateway,
            events,
            upstream,
        }
    }

    async fn reload(&mut self, more: &str) {
        let config = config(&self.upstream, more);
        self.files.write("gateway.toml", &config);
        self.gateway.signal("HUP").await;
        self.events.with(RELOADED).await;
    }
}

fn config(to: &ServerHandle, more: &str) -> String {
    let to = to.local_addr();
    format!("[[listener]]\nlabel = 'one'\nlisten = '127.0.0.1:0'\nto = '{to}'\n{more}\n")
}

#[tokio::test]
async fn a_list_that_a_reload_adds_is_tried_on_open_connections() -> Result<(), BoxError> {
    let tried = "dry-run = 'deny'\napply-to = 'existing'";
    let mut changing = Changing::new(tried).await;
    let mut client = changing.gateway.connect().await;
    assert_eq!(say(&mut client, "hello").await?, "<none> hello");
    let config = config(&changing.upstream, &format!("{tried}\ndeny = '127.0.0.1'"));
    changing.files.write("gateway.toml", &config);
    changing.gateway.signal("HUP").await;
    changing.events.with("access revoked").await;
    assert_eq!(say(&mut client, "still here").await?, "<none> still here");
    Ok(())
}

#[tokio::test]
async fn a_list_is_tried_and_then_enforced_by_a_reload() -> Result<(), BoxError> {
    let mut changing = Changing::new("deny = '127.0.0.0/8'\ndry-run = ['deny', 'max-age']").await;
    let mut spared = changing.gateway.connect().await;
    assert_eq!(say(&mut spared, "hello").await?, "<none> hello");
    changing.reload("deny = '127.0.0.0/8'").await;
    assert!(
        say(&mut changing.gateway.connect().await, "hello")
            .await
            .is_err()
    );
    assert_eq!(say(&mut spared, "still here").await?, "<none> still here");
    changing
        .reload("deny = '127.0.0.0/8'\ndry-run = 'all'")
        .await;
    let mut client = changing.gateway.connect().await;
    assert_eq!(say(&mut client, "hello").await?, "<none> hello");
    Ok(())
}

#[tokio::test]
async fn a_reload_ends_open_connections_where_asked() -> Result<(), BoxError> {
    for (apply_to, is_ended) in [("new", false), ("existing", true)] {
        let apply = format!("apply-to = '{apply_to}'");
        let mut changing = Changing::new(&apply).await;
        let mut client = changing.gateway.connect().await;
        assert_eq!(say(&mut client, "hello").await?, "<none> hello");
        changing
            .reload(&format!("{apply}\nallow = '127.0.0.1'"))
            .await;
        assert_eq!(say(&mut client, "hello").await?, "<none> hello");
        changing
            .reload(&format!("{apply}\ndeny = '127.0.0.1'"))
            .await;
        assert_eq!(say(&mut client, "hello").await.is_err(), is_ended);
        assert!(
            say(&mut changing.gateway.connect().await, "hello")
                .await
                .is_err()
        );
    }
    Ok(())
}
