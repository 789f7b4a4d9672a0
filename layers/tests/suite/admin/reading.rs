//! What can be read.

use super::{AnswerExt, Watched};
use crate::{http::SECOND, support::echoes};
use reagent_layers::{
    access::Bans,
    admin::{Admin, Certificate, ListenerInfo, UpstreamInfo},
    top::TopClients,
    upstream::{Key, Upstream, Upstreams},
};
use serde_json::{Value, json};
use std::time::{Duration, SystemTime};
use tokio::time::advance;

fn ids(json: &Value) -> Vec<u64> {
    let list = json.as_array().unwrap().iter();
    list.map(|one| one["id"].as_u64().unwrap()).collect()
}

#[tokio::test]
async fn a_connection_is_shown_with_what_is_known_about_it() {
    let watched = Watched::new().await;
    let (_client, handle) = watched.client("192.0.2.1:4000", 10).await;
    let mut json = watched.get("/connections").await.json(200);
    let shown = &mut json[0];
    assert!(shown["age"].take().as_f64().unwrap() >= 0.0);
    assert!(shown["idle"].take().as_f64().unwrap() >= 0.0);
    assert!(shown["rate_read"].take().as_u64().unwrap() <= 10);
    assert!(shown["rate_written"].take().as_u64().unwrap() <= 10);
    let expected = json!({
        "id": handle.id(),
        "client": "192.0.2.1:4000",
        "listener": watched.server.local_addr().to_string(),
        "age": null,
        "idle": null,
        "bytes_read": 10,
        "bytes_written": 10,
        "rate_read": null,
        "rate_written": null,
        "phase": "handling",
        "secure": false,
        "draining": false,
        "labels": {},
    });
    assert_eq!(json, json!([expected]));
    let one = watched.get(&format!("/connections/{}", handle.id())).await;
    assert_eq!(one.json(200)["client"], "192.0.2.1:4000");
    for path in ["/connections/99999", "/connections/18446744073709551615"] {
        assert!(
            watched
                .get(path)
                .await
                .error(404)
                .contains("no open connection")
        );
    }
}

#[tokio::test(start_paused = true)]
async fn the_largest_come_first_by_age_bytes_or_idle_time() {
    let watched = Watched::new().await;
    let mut clients = Vec::new();
    for (n, bytes) in [(1, 10), (2, 30), (3, 20)] {
        clients.push(watched.client(&format!("192.0.2.{n}:4000"), bytes).await);
        advance(5 * SECOND).await;
    }
    // The first is the oldest, but the last to have been active.
    assert!(echoes(&mut clients[0].0, "x").await);
    advance(5 * SECOND).await;
    let [a, b, c] = [0, 1, 2].map(|n: usize| clients[n].1.id());
    for (query, expected) in [
        ("", [a, b, c]),
        ("?sort=age", [a, b, c]),
        ("?sort=bytes", [b, c, a]),
        ("?sort=idle", [b, c, a]),
    ] {
        let json = watched.get(&format!("/connections{query}")).await.json(200);
        assert_eq!(ids(&json), expected, "{query}");
    }
    let idle = watched.get("/connections?sort=idle").await.json(200);
    let seconds = |n: usize| idle[n]["idle"].as_f64().unwrap().round() as u64;
    // The clock of idle times ticks once a second.
    for (n, expected) in [(0, 15), (1, 10), (2, 5)] {
        assert!((expected..=expected + 1).contains(&seconds(n)), "{idle}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_fastest_come_first_by_rate() {
    let watched = Watched::new().await;
    let mut clients = Vec::new();
    // The first has moved the most, but no longer moves.
    for (n, bytes) in [(1, 3000), (2, 10), (3, 20)] {
        clients.push(watched.client(&format!("192.0.2.{n}:4000"), bytes).await);
    }
    advance(5 * SECOND).await;
    tokio::time::sleep(SECOND / 2).await;
    assert!(echoes(&mut clients[1].0, &"x".repeat(200)).await);
    assert!(echoes(&mut clients[2].0, &"x".repeat(100)).await);
    let json = watched.get("/connections?sort=rate").await.json(200);
    let [a, b, c] = [0, 1, 2].map(|n: usize| clients[n].1.id());
    assert_eq!(ids(&json), [b, c, a]);
    let rate = |n: usize| {
        (
            json[n]["rate_read"].as_u64(),
            json[n]["rate_written"].as_u64(),
        )
    };
    let [(read, written), _, last] = [0, 1, 2].map(rate);
    assert!((100..=200).contains(&read.unwrap()), "{json}");
    assert_eq!(written, read);
    assert_eq!(last, (Some(0), Some(0)));
}

#[tokio::test]
async fn pages_follow_each_other_and_leave_nothing_out() {
    let watched = Watched::new().await;
    let mut clients = Vec::new();
    for n in 0..7 {
        // Some carry the same number of bytes.
        clients.push(
            watched
                .client(&format!("192.0.2.1:{}", 4000 + n), n / 2)
                .await,
        );
    }
    for sort in ["age", "bytes", "idle", "rate"] {
        let mut path = format!("/connections?sort={sort}&limit=3&client=192.0.2.1");
        let mut seen = Vec::new();
        for (page, expected) in [3, 3, 1].into_iter().enumerate() {
            let answer = watched.get(&path).await;
            assert_eq!(answer.header("x-total-count"), Some("7"));
            let ids = ids(&answer.json(200));
            assert_eq!(ids.len(), expected, "page {page} by {sort}");
            seen.extend(ids);
            let link = answer.header("link");
            assert_eq!(link.is_some(), page < 2);
            if let Some(link) = link {
                let query = link
                    .strip_prefix("<")
                    .and_then(|link| link.strip_suffix(">; rel=\"next\""));
                path = format!("/connections{}", query.unwrap());
            }
        }
        seen.sort_unstable();
        let all: Vec<_> = clients.iter().map(|(_, handle)| handle.id()).collect();
        assert_eq!(seen, all, "{sort}");
    }
}

#[tokio::test]
async fn a_client_or_a_network_narrows_the_list() {
    let watched = Watched::new().await;
    let (_one, one) = watched.client("192.0.2.1:4000", 0).await;
    let (_two, two) = watched.client("192.0.2.200:4000", 0).await;
    let (_six, six) = watched.client("[2001:db8::1]:4000", 0).await;
    let [one, two, six] = [one.id(), two.id(), six.id()];
    for (client, expected) in [
        ("192.0.2.1", vec![one]),
        ("192.0.2.0/24", vec![one, two]),
        ("192.0.2.128%2F25", vec![two]),
        ("2001:db8::/32", vec![six]),
        ("::ffff:192.0.2.1", vec![one]),
        ("198.51.100.1", vec![]),
    ] {
        let json = watched
            .get(&format!("/connections?client={client}"))
            .await
            .json(200);
        assert_eq!(ids(&json), expected, "{client}");
    }
}

#[tokio::test]
async fn counters_limits_listeners_bans_and_certificates_are_shown() {
    let bans = Bans::new();
    bans.ban("192.0.2.7".parse().unwrap(), Duration::from_secs(600));
    bans.ban("2001:db8::7".parse().unwrap(), Duration::from_secs(60));
    let not_after = SystemTime::UNIX_EPOCH + Duration::from_secs(1000);
    let admin = Admin::new().bans(bans).certificates(move || {
        let name = Some("example.org".to_owned());
        let not_after = Some(not_after);
        vec![Certificate { name, not_after }]
    });
    admin.set_limit("rate", "connections/s", || None, |_| Ok(()));
    admin.set_limit("gone", "connections", || Some(1), |_| Ok(()));
    assert!(admin.remove_limit("gone") && !admin.remove_limit("gone"));
    let watched = Watched::with(admin).await;
    watched.server.set_max_connections(10);
    let (client, ended) = watched.client("192.0.2.1:4000", 100).await;
    drop(client);
    ended.closed().await;
    let (_client, _) = watched.client("192.0.2.1:4001", 10).await;

    let stats = watched.get("/stats").await.json(200);
    for (key, value) in [
        ("status", json!("running")),
        ("open", json!(1)),
        ("max_connections", json!(10)),
        ("acceptors", json!(1)),
        ("accepted", json!(2)),
        ("completed", json!(1)),
        ("failed", json!(0)),
        // Of the one that is open and of the one that has ended.
        ("bytes_read", json!(110)),
        ("bytes_written", json!(110)),
    ] {
        assert_eq!(stats[key], value, "{key}");
    }
    let limits = json!([
        { "name": "max-connections", "max": 10, "unit": "connections", "used": 1 },
        { "name": "rate", "max": null, "unit": "connections/s" },
    ]);
    assert_eq!(watched.get("/limits").await.json(200), limits);
    assert_eq!(watched.get("/limits/rate").await.json(200), limits[1]);
    assert_eq!(
        watched.get("/limits/max-connections").await.json(200),
        limits[0]
    );
    assert!(
        watched
            .get("/limits/none")
            .await
            .error(404)
            .contains("no limit \"none\"")
    );
    let listeners = watched.get("/listeners").await.json(200);
    assert_eq!(
        listeners[0]["addr"],
        watched.server.local_addr().to_string()
    );
    for (key, value) in [
        ("label", Value::Null),
        ("paused", json!(false)),
        ("lost", Value::Null),
        ("open", json!(1)),
        ("max_connections", Value::Null),
        ("reserved", json!(0)),
        ("accepted", json!(2)),
    ] {
        assert_eq!(listeners[0][key], value, "{key}");
    }
    assert_eq!(listeners[0]["ended"]["completed"], 1);
    assert_eq!(listeners[0]["ended"]["failed"], 0);
    let bans = watched.get("/bans").await.json(200);
    assert_eq!(bans[0]["client"], "192.0.2.7");
    assert_eq!(bans[1]["client"], "2001:db8::");
    assert!((59.0..=60.0).contains(&bans[1]["ends_in"].as_f64().unwrap()));
    let certificates = watched.get("/certificates").await.json(200);
    assert_eq!(certificates[0]["name"], "example.org");
    assert_eq!(certificates[0]["not_after"], 1000.0);
    assert!(certificates[0]["expires_in"].as_f64().unwrap() < 0.0);
}

#[tokio::test]
async fn the_first_clients_are_shown_by_connections_bytes_or_refusals() {
    let watched = Watched::with(Admin::new().top(TopClients::new())).await;
    let _open = [
        watched.client("192.0.2.1:4000", 10).await,
        watched.client("192.0.2.1:4001", 10).await,
        watched.client("[2001:db8::1]:4000", 100).await,
    ];
    let view = |client: &str, count: u64| json!({ "client": client, "count": count, "error": 0 });
    let (one, other) = ("192.0.2.1", "2001:db8::");
    for (query, expected) in [
        ("", json!([view(one, 2), view(other, 1)])),
        ("?by=connections&limit=1", json!([view(one, 2)])),
        ("?by=bytes", json!([view(other, 200), view(one, 40)])),
        ("?by=refusals", json!([])),
    ] {
        let top = watched.get(&format!("/top{query}")).await.json(200);
        assert_eq!(top, expected, "{query}");
    }
    for (query, expected) in [
        (
            "?by=age",
            "invalid by \"age\": expected connections, bytes or refusals",
        ),
        (
            "?limit=0",
            "invalid limit \"0\": expected a number from 1 to 1000",
        ),
        ("?sort=bytes", "unknown query key \"sort\""),
        ("?limit=1&limit=1", "limit is given twice"),
    ] {
        let error = watched.get(&format!("/top{query}")).await.error(400);
        assert_eq!(error, expected);
    }
}

#[tokio::test]
async fn a_server_without_certificates_and_bans_says_so() {
    let watched = Watched::new().await;
    assert_eq!(watched.get("/certificates").await.json(200), json!([]));
    assert_eq!(
        watched.get("/bans").await.error(404),
        "this server has no ban list"
    );
    assert_eq!(
        watched.get("/top").await.error(404),
        "this server has no ranking of clients"
    );
    assert_eq!(
        watched.get("/upstreams").await.error(404),
        "this server has no upstreams"
    );
}

#[tokio::test]
async fn upstreams_are_shown_as_they_are_now() {
    let set = Upstreams::new([Upstream::new("one", ()).weight(2), Upstream::new("two", ())]);
    let shown = set.clone();
    let admin = Admin::new().upstreams(move || {
        let infos = shown.stats().into_iter().map(|stats| UpstreamInfo {
            set: "db".to_owned(),
            name: stats.name.to_string(),
            weight: stats.weight,
            open: stats.open,
            total: stats.total,
            failures: stats.failures,
            is_available: stats.state.is_available(),
            state: stats.state.to_string(),
            since: Duration::from_secs(5),
            last_error: stats.last_error.map(|error| error.to_string()),
        });
        infos.collect()
    });
    let watched = Watched::with(admin).await;
    let refused = || std::future::ready(Err::<(), _>("refused"));
    set.connect(Key::none(), |()| refused()).await.unwrap_err();
    set.drain("two");
    let connected = set.connect(Key::none(), |()| std::future::ready(Ok::<_, &str>(())));
    let _connected = connected.await.unwrap();
    let view = |name, weight, open, state, available| {
        json!({
            "set": "db", "name": name, "weight": weight, "open": open, "total": open, "failures": 1,
            "state": state, "available": available, "since": 5.0, "last_error": "refused",
            "changeable": false,
        })
    };
    let expected = json!([
        view("one", 2, 1, "up", true),
        view("two", 1, 0, "drained", false)
    ]);
    assert_eq!(watched.get("/upstreams").await.json(200), expected);
}

#[tokio::test]
async fn probes_follow_the_status_of_the_server() {
    let admin = Admin::new();
    let watched = Watched::with(admin).await;
    let probe = async |path, status, word| {
        let json = watched.get(path).await.json(status);
        let expected = match status {
            200 => json!({ "status": word }),
            _ => json!({ "status": word, "reason": word }),
        };
        assert_eq!(json, expected, "{path}");
    };
    probe("/ready", 200, "running").await;
    probe("/live", 200, "running").await;
    watched.server.pause();
    probe("/ready", 503, "paused").await;
    probe("/live", 200, "paused").await;
    watched.server.resume();
    probe("/ready", 200, "running").await;
    let hold = watched.server.readiness().hold("no database");
    let json = watched.get("/ready").await.json(503);
    assert_eq!(
        json,
        json!({ "status": "running", "reason": "no database" })
    );
    drop(hold);
    watched.server.drain(Duration::ZERO).await;
    probe("/ready", 503, "stopped").await;
    probe("/live", 503, "stopped").await;
}

#[tokio::test]
async fn a_list_of_many_connections_has_as_many_as_were_asked_for() {
    let watched = Watched::new().await;
    let mut clients = Vec::new();
    for _ in 0..3000 {
        clients.push(watched.clients.connect().await.unwrap());
    }
    crate::support::until("all are accepted", || {
        watched.server.connection_count() == 3000
    })
    .await;
    let answer = watched.get("/connections?limit=1000").await;
    assert_eq!(answer.json(200).as_array().unwrap().len(), 1000);
    assert_eq!(answer.header("x-total-count"), Some("3000"));
}

#[tokio::test]
async fn listeners_are_shown_as_the_program_describes_them() {
    let described = |_: &reagent::Addr| {
        Some(ListenerInfo {
            label: Some("web".to_owned()),
            max_connections: Some(7),
        })
    };
    let watched = Watched::with(Admin::new().listeners(described)).await;
    let (_client, _) = watched.client("192.0.2.1:4000", 1).await;
    let listeners = watched.get("/listeners").await.json(200);
    assert_eq!(listeners[0]["label"], "web");
    assert_eq!(listeners[0]["max_connections"], 7);
    let connections = watched.get("/connections").await.json(200);
    assert_eq!(connections[0]["listener_label"], "web");
}

#[tokio::test]
async fn the_probes_succeed_after_a_hand_over() {
    let watched = Watched::new().await;
    watched.admin.handed_over();
    let _ = watched.server.drain(std::time::Duration::ZERO).await;
    for path in ["/ready", "/live"] {
        let answer = watched.get(path).await.json(200);
        assert_eq!(answer["status"], "handed_over", "{path}");
    }
    assert_eq!(watched.get("/stats").await.json(200)["status"], "stopped");
}
