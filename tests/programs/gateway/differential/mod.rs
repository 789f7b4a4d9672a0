//! Compares the gateway with HAProxy and nginx: the same client and upstream are run through each
//! of them, and the received bytes and ends are compared.
//!
//! By default a subset is run that has every end with every front (plain, TLS 1.2, TLS 1.3), and
//! every size, family and pace. `REAGENT_DIFFERENTIAL=full` runs all combinations.

mod case;
mod peer;
mod proxies;

use case::{Case, Ending, Front, Result, Side, cases};
use peer::{ANSWER, Peer};
use proxies::{Lane, Proxy, gateways, haproxy, nginx};
use std::{collections::BTreeSet, env, fs, sync::Arc};
use tokio::{sync::Semaphore, task::JoinSet};
use tokio_rustls::{TlsConnector, rustls};

/// The cases in which a proxy ends differently from the gateway. In all others the ends are the
/// same. The documentation of `relay` has the same table.
const DIFFERENCES: &[(&str, &str)] = &[
    // After a reset, the others end in order, so the peer takes the part for the whole.
    ("plain, Client Reset: second", "gateway Reset, nginx Fin"),
    ("TLS, Client Reset: second", "gateway Reset, nginx Fin"),
    ("plain, Client Reset: second", "gateway Reset, haproxy Fin"),
    ("TLS, Client Reset: second", "gateway Reset, haproxy Fin"),
    (
        "plain, Upstream Reset: second",
        "gateway Reset, haproxy Fin",
    ),
    ("TLS, Upstream Reset: second", "gateway Reset, haproxy Fin"),
    ("plain, Upstream Reset: second", "gateway Reset, nginx Fin"),
    ("TLS, Upstream Reset: second", "gateway Reset, nginx Cut"),
    // HAProxy sends `close_notify` only if there is time.
    (
        "TLS, Upstream HalfClose: second",
        "gateway Fin, haproxy Cut",
    ),
    ("TLS, Upstream Reset: second", "gateway Fin, haproxy Cut"),
    ("TLS, Upstream Fin: second", "gateway Fin, haproxy Cut"),
    // nginx sends no `close_notify`, so its TLS clients cannot tell an end from a truncation. A
    // Unix upstream cannot be reset.
    ("TLS, Client Fin: first", "gateway Fin, nginx Cut"),
    ("TLS, Client Cut: first", "gateway Fin, nginx Cut"),
    ("TLS, Client HalfClose: first", "gateway Fin, nginx Cut"),
    ("TLS, Client HalfCut: first", "gateway Fin, nginx Cut"),
    ("TLS, Upstream Fin: second", "gateway Fin, nginx Cut"),
    ("TLS, Upstream HalfClose: second", "gateway Fin, nginx Cut"),
    ("TLS, Upstream Reset: second", "gateway Fin, nginx Cut"),
];

/// Runs one case, and returns the bytes that both sides received.
async fn run(lane: &Lane, case: Case, tls: &TlsConnector) -> Result {
    let mut client = lane.at.connect().await;
    let connect = async {
        if lane.front != Front::Plain {
            let io = client.take_io();
            let stream = tls.connect("localhost".try_into().unwrap(), io).await;
            client = client.with_tls(stream.unwrap());
        }
        client
    };
    let (mut client, mut upstream) = tokio::join!(connect, lane.upstream.accept());
    client.meet(&mut upstream).await;
    let (first, second) = match case.first {
        Side::Client => (client, upstream),
        Side::Upstream => (upstream, client),
    };
    let (by_first, by_second) = tokio::join!(Peer::first(first, case), second.second(case));
    Result {
        by_second,
        by_first,
    }
}

fn connector(front: Front, cert: &rustls::pki_types::CertificateDer<'static>) -> TlsConnector {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(cert.clone()).unwrap();
    let version = match front {
        Front::Tls12 => &rustls::version::TLS12,
        _ => &rustls::version::TLS13,
    };
    let config = rustls::ClientConfig::builder_with_protocol_versions(&[version])
        .with_root_certificates(roots)
        .with_no_client_auth();
    TlsConnector::from(Arc::new(config))
}

/// Returns all results of a proxy, in the same order for each proxy.
async fn results(
    proxy: Proxy,
    cert: rustls::pki_types::CertificateDer<'static>,
    places: Arc<Semaphore>,
    is_full: bool,
) -> Vec<(String, Case, Front, Result)> {
    let Proxy { lanes, name, .. } = &proxy;
    let lanes = lanes.iter().map(|lane| {
        let (places, tls) = (places.clone(), connector(lane.front, &cert));
        async move {
            let mut results = Vec::new();
            for case in cases(lane.family, lane.front, is_full) {
                let _place = places.acquire().await.unwrap();
                let result = run(lane, case, &tls).await;
                let about = format!(
                    "{name}, {:?} {:?} first, {:?}, {} bytes, {:?}{}",
                    case.first,
                    lane.family,
                    case.finish,
                    case.size,
                    lane.front,
                    if case.is_slow { ", slow" } else { "" }
                );
                results.push((about, case, lane.front, result));
            }
            results
        }
    });
    futures_all(lanes).await.into_iter().flatten().collect()
}

/// Polls all futures concurrently, and returns their results in order.
async fn futures_all<T>(futures: impl Iterator<Item = impl Future<Output = T>>) -> Vec<T> {
    let mut waiting: Vec<_> = futures.map(|future| (Box::pin(future), None)).collect();
    std::future::poll_fn(|cx| {
        let mut is_done = true;
        for (future, output) in &mut waiting {
            if output.is_none() {
                match future.as_mut().poll(cx) {
                    std::task::Poll::Ready(done) => *output = Some(done),
                    std::task::Poll::Pending => is_done = false,
                }
            }
        }
        match is_done {
            true => std::task::Poll::Ready(()),
            false => std::task::Poll::Pending,
        }
    })
    .await;
    waiting
        .into_iter()
        .filter_map(|(_, output)| output)
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_loses_no_byte_that_haproxy_or_nginx_delivers() {
    let dir = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let (cert, key, pem) = (
        path("cert.pem"),
        path("key.pem"),
        dir.path().join("both.pem"),
    );
    fs::write(&cert, made.cert.pem()).unwrap();
    fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    fs::write(&pem, made.cert.pem() + &made.signing_key.serialize_pem()).unwrap();
    let is_full = env::var("REAGENT_DIFFERENTIAL").is_ok_and(|value| value == "full");

    let places = Arc::new(Semaphore::new(6));
    let mut proxies = vec![gateways(dir.path(), &cert, &key).await];
    proxies.extend(haproxy(dir.path(), &pem).await);
    proxies.extend(nginx(dir.path(), &cert, &key).await);
    let mut running = JoinSet::new();
    for proxy in proxies {
        let der = made.cert.der().clone();
        let (name, places) = (proxy.name, places.clone());
        running.spawn(async move { (name, results(proxy, der, places, is_full).await) });
    }
    let mut all: Vec<_> = running.join_all().await;
    all.sort_by_key(|(name, _)| *name);
    let (_, ours) = all.remove(0);

    let mut differences = BTreeSet::new();
    let mut lost = Vec::new();
    for (n, (about, case, front, result)) in ours.iter().enumerate() {
        let got = result.by_second;
        if got.bytes != case.size || !got.is_intact || got.ending == Ending::Never {
            lost.push(format!("{about}: {got}"));
        }
        if let Some(answer) = result.by_first {
            let expected = if case.finish.is_answered() { ANSWER } else { 0 };
            if answer.bytes != expected || !answer.is_intact || answer.ending == Ending::Never {
                lost.push(format!("{about}: of the answer {answer}"));
            }
        }
        for (name, theirs) in &all {
            let other = &theirs[n].3;
            let mut compare = |whose: &str, ours: Ending, theirs: Ending| {
                if ours != theirs {
                    let front = if *front == Front::Plain {
                        "plain"
                    } else {
                        "TLS"
                    };
                    let kind = format!("{front}, {:?} {:?}: {whose}", case.first, case.finish);
                    differences.insert((kind, format!("gateway {ours:?}, {name} {theirs:?}")));
                }
            };
            compare("second", got.ending, other.by_second.ending);
            if let (Some(ours), Some(theirs)) = (result.by_first, other.by_first) {
                compare("first", ours.ending, theirs.ending);
            }
            if env::var("REAGENT_DIFFERENTIAL").is_ok() && other.by_second.bytes != case.size {
                println!("{}: {}", theirs[n].0, other.by_second);
            }
        }
    }
    for (kind, how) in &differences {
        println!("{kind}: {how}");
    }
    assert!(lost.is_empty(), "lost:\n{}", lost.join("\n"));
    let unexpected: Vec<_> = differences
        .iter()
        .filter(|(kind, how)| !DIFFERENCES.contains(&(kind, how)))
        .collect();
    assert!(unexpected.is_empty(), "{unexpected:#?}");
}
