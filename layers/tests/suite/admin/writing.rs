//! What can be changed.

use super::{AnswerExt, Watched};
use crate::{
    capture::{Capture, field},
    http::in_time,
    support::{echoes, until},
};
use reagent::{Bind, Outcome, ServerStatus, testing::MemoryListener};
use reagent_layers::{
    access::Bans,
    admin::{Admin, UpstreamChange, UpstreamInfo},
    limit::PerClient,
    upstream::{Upstream, UpstreamState, Upstreams},
};
use serde_json::{Value, json};
use tracing::Level;

#[tokio::test]
async fn an_abort_ends_one_connection_and_no_other() {
    let watched = Watched::new().await;
    let (mut client, handle) = watched.client("192.0.2.1:4000", 1).await;
    let (mut other, _) = watched.client("192.0.2.1:4001", 1).await;
    let path = format!("/connections/{}/abort", handle.id());
    let signed = format!("/connections/+{}/abort", handle.id());
    watched.write("POST", &signed, "").await.error(404);
    assert!(echoes(&mut client, "still here").await);
    let json = watched.write("POST", &path, "").await.json(202);
    assert_eq!(json["client"], "192.0.2.1:4000");
    assert!(matches!(in_time(handle.closed()).await, Outcome::Aborted));
    assert!(echoes(&mut other, "still here").await);
    assert!(
        watched
            .write("POST", &path, "")
            .await
            .error(404)
            .contains("no open connection")
    );
}

#[tokio::test]
async fn a_connection_is_asked_to_finish() {
    let watched = Watched::new().await;
    let (_client, handle) = watched.client("192.0.2.1:4000", 1).await;
    let path = format!("/connections/{}/drain", handle.id());
    watched.write("POST", &path, "").await.json(202);
    assert!(matches!(in_time(handle.closed()).await, Outcome::Drained));
}

#[tokio::test]
async fn a_listener_is_paused_resumed_and_closed() {
    let watched = Watched::new().await;
    let (listener, clients) = MemoryListener::new();
    let bind = Bind::new(listener).label("second");
    let addr = watched.server.listen(bind).await.unwrap().remove(0);
    let mut first = clients.connect().await.unwrap();
    assert!(echoes(&mut first, "hello").await);
    let connection = watched.get("/connections").await.json(200);
    assert_eq!(connection[0]["listener_label"], "second");

    let act = async |verb: &str| {
        let addr = addr.to_string().replace(':', "%3A");
        watched
            .write("POST", &format!("/listeners/{addr}/{verb}"), "")
            .await
    };
    assert_eq!(act("pause").await.json(200)["state"], "paused");
    let listeners = watched.get("/listeners").await.json(200);
    assert_eq!(
        (&listeners[0]["paused"], &listeners[1]["paused"]),
        (&json!(false), &json!(true))
    );
    assert_eq!(listeners[1]["label"], "second");
    watched.server.settled().await;
    let mut waiting = clients.connect().await.unwrap();
    assert_eq!(act("resume").await.json(200)["state"], "listening");
    assert!(echoes(&mut waiting, "hello").await);

    assert_eq!(act("close").await.json(200)["state"], "closed");
    assert!(clients.connect().await.is_err());
    assert!(echoes(&mut first, "still here").await);
    for verb in ["pause", "resume", "close"] {
        assert!(
            act(verb).await.error(404).contains("does not listen on"),
            "{verb}"
        );
    }
    act("open").await.error(404);
}

/// Shows upstreams under a name that has to be encoded.
fn shows(set: &Upstreams<()>) -> Admin {
    let shown = set.clone();
    Admin::new().upstreams(move || {
        let infos = shown.stats().into_iter().map(|stats| UpstreamInfo {
            set: "db, tls:a/b".to_owned(),
            name: stats.name.to_string(),
            weight: stats.weight,
            open: stats.open,
            total: stats.total,
            failures: stats.failures,
            is_available: stats.state.is_available(),
            state: stats.state.to_string(),
            since: stats.since,
            last_error: None,
        });
        infos.collect()
    })
}

#[tokio::test]
async fn an_upstream_is_drained_resumed_and_weighted() {
    let set = Upstreams::new([Upstream::new("[::1]:5432", ()), Upstream::new("two", ())]);
    let changed = set.clone();
    let admin = shows(&set).change_upstreams(move |set, name, change| match change {
        _ if set != "db, tls:a/b" => false,
        UpstreamChange::Drain => changed.drain(name),
        UpstreamChange::Resume => changed.resume(name),
        UpstreamChange::SetWeight(weight) => changed.set_weight(name, weight),
        _ => false,
    });
    let watched = Watched::with(admin).await;
    let path = "/upstreams/db,%20tls%3Aa%2Fb/%5B%3A%3A1%5D%3A5432";
    let act = async |action: &str, body: &str| {
        let path = format!("{path}/{action}");
        watched.write("POST", &path, body).await
    };
    let drained = act("drain", "").await.json(200);
    assert_eq!(drained["state"], "drained");
    assert_eq!(drained["changeable"], true);
    assert_eq!(set.stats()[0].state, UpstreamState::Drained);
    assert_eq!(set.stats()[1].state, UpstreamState::Up);
    assert_eq!(act("resume", "").await.json(200)["state"], "up");
    assert_eq!(set.stats()[0].state, UpstreamState::Up);

    let weighted = act("weight", r#"{"weight": 7}"#).await.json(200);
    assert_eq!(weighted["weight"], 7);
    assert_eq!((set.stats()[0].weight, set.stats()[1].weight), (7, 1));
    for body in ["", "{}", "7", r#"{"weight": -1}"#, r#"{"weight": 1.5}"#] {
        act("weight", body).await.error(400);
    }
    assert_eq!(set.stats()[0].weight, 7);

    for path in ["/upstreams/db/two", "/upstreams/db,%20tls%3Aa%2Fb/three"] {
        for action in ["drain", "resume"] {
            let path = format!("{path}/{action}");
            let error = watched.write("POST", &path, "").await.error(404);
            assert!(error.starts_with("there is no upstream \"t"), "{error}");
        }
    }
    act("close", "").await.error(404);
}

#[tokio::test]
async fn an_upstream_without_a_function_is_not_changed() {
    let set = Upstreams::new([Upstream::new("one", ())]);
    let watched = Watched::with(shows(&set)).await;
    let path = "/upstreams/db,%20tls%3Aa%2Fb/one/drain";
    let error = watched.write("POST", path, "").await.error(404);
    assert_eq!(error, "this server has no upstreams to change");
    let shown = watched.get("/upstreams").await.json(200);
    assert_eq!(shown[0]["changeable"], false);
}

#[tokio::test]
async fn limits_are_changed_lifted_and_refused() {
    let admin = Admin::new();
    let per_client = PerClient::new(3);
    let (get, set) = (per_client.clone(), per_client.clone());
    admin.set_limit(
        "per client/é",
        "connections",
        move || u64::try_from(get.max()).ok(),
        move |max| {
            set.set_max(usize::try_from(max.ok_or("it cannot be lifted")?)?);
            Ok(())
        },
    );
    let watched = Watched::with(admin).await;
    let json = watched
        .write("POST", "/limits/max-connections", r#"{"max": 5}"#)
        .await;
    assert_eq!(json.json(200)["max"], 5);
    assert_eq!(watched.server.stats().max_connections, Some(5));
    let json = watched
        .write("POST", "/limits/max-connections", r#"{"max": null}"#)
        .await;
    assert_eq!(json.json(200)["max"], Value::Null);
    assert_eq!(watched.server.stats().max_connections, None);

    let path = "/limits/per%20client%2F%C3%A9";
    let json = watched.write("POST", path, r#"{"max": 9}"#).await.json(200);
    assert_eq!(
        json,
        json!({ "name": "per client/é", "max": 9, "unit": "connections" })
    );
    assert_eq!(per_client.max(), 9);
    let refused = watched.write("POST", path, r#"{"max": null}"#).await;
    assert_eq!(refused.error(422), "it cannot be lifted");

    // The program may set the limit of the server in its own way.
    let server = watched.server.clone();
    let double = move |max: Option<u64>| {
        server.set_max_connections(max.map(|max| 2 * max as usize));
        Ok(())
    };
    watched
        .admin
        .set_limit("max-connections", "pairs", || Some(7), double);
    let json = watched
        .write("POST", "/limits/max-connections", r#"{"max": 7}"#)
        .await;
    let expected = json!({ "name": "max-connections", "max": 7, "unit": "pairs", "used": 0 });
    assert_eq!(json.json(200), expected);
    assert_eq!(watched.server.stats().max_connections, Some(14));
    assert_eq!(
        watched
            .get("/limits")
            .await
            .json(200)
            .as_array()
            .unwrap()
            .len(),
        2
    );

    // A limit is never lifted by mistake.
    for body in [
        "",
        "{}",
        "null",
        "5",
        "[5]",
        r#"{"max": -1}"#,
        r#"{"max": 1.5}"#,
        r#"{"max": "5"}"#,
        r#"{"max": 5, "min": 1}"#,
        r#"{"max": 5} x"#,
        r#"{"max": 1e30}"#,
        r#"{"max": 5, "max": 6}"#,
    ] {
        let error = watched.write("POST", path, body).await.error(400);
        assert!(error.starts_with("invalid body"), "{body}: {error}");
    }
    assert_eq!(per_client.max(), 9);
    watched
        .write("POST", "/limits/none", r#"{"max": 1}"#)
        .await
        .error(404);
}

#[tokio::test]
async fn clients_are_banned_and_pardoned() {
    let bans = Bans::new();
    let watched = Watched::with(Admin::new().bans(bans.clone())).await;
    for client in ["192.0.2.1", "2001:db8::1"] {
        let body = json!({ "client": client, "seconds": 60 }).to_string();
        let json = watched.write("POST", "/bans", &body).await.json(200);
        assert_eq!(json, json!({ "client": client, "ends_in": 60.0 }));
        assert!(bans.is_banned(client.parse().unwrap()));
        let path = format!("/bans/{}", client.replace(':', "%3A"));
        watched.write("DELETE", &path, "").await.json(200);
        assert!(!bans.is_banned(client.parse().unwrap()));
        let error = watched.write("DELETE", &path, "").await.error(404);
        assert_eq!(error, format!("{client} is not banned"));
    }
    for body in [
        r#"{"client": "192.0.2.1"}"#,
        r#"{"client": "192.0.2.1", "seconds": 0}"#,
        r#"{"client": "192.0.2.1", "seconds": -1}"#,
        r#"{"client": "192.0.2.1", "seconds": 1e300}"#,
        r#"{"client": "example.org", "seconds": 1}"#,
    ] {
        watched.write("POST", "/bans", body).await.error(400);
    }
    watched.write("DELETE", "/bans/nobody", "").await.error(400);
    // A list of bans holds clients.
    let body = r#"{"client": "10.0.0.0/8", "seconds": 60}"#;
    for error in [
        watched.write("POST", "/bans", body).await.error(400),
        watched
            .write("DELETE", "/bans/10.0.0.0%2F8", "")
            .await
            .error(400),
    ] {
        let expected = "invalid client \"10.0.0.0/8\": a ban is for one client";
        assert!(error.starts_with(expected), "{error}");
    }
    assert!(bans.is_empty());
}

#[tokio::test]
async fn the_server_drains_and_the_answer_does_not_wait_for_it() {
    let watched = Watched::new().await;
    for body in [
        r#"{"deadline": -1}"#,
        r#"{"deadline": 1e400}"#,
        r#"{"lame_duck": -1}"#,
        r#"{"spread": 1e300}"#,
        r#"{"seconds": 1}"#,
    ] {
        watched.write("POST", "/drain", body).await.error(400);
    }
    assert_eq!(watched.server.status(), ServerStatus::Running);
    let (_client, handle) = watched.client("192.0.2.1:4000", 1).await;
    let json = watched
        .write("POST", "/drain", r#"{"deadline": 1000}"#)
        .await
        .json(202);
    assert_eq!(json, json!({ "status": "draining", "deadline": 1000.0 }));
    assert!(matches!(in_time(handle.closed()).await, Outcome::Drained));
    assert_eq!(watched.server.wait().await.unwrap().finished, 1);
    // The deadline has a default.
    assert_eq!(
        watched.write("POST", "/drain", "").await.json(202)["deadline"],
        10.0
    );
}

#[tokio::test]
async fn a_lame_duck_comes_before_the_drain() {
    let watched = Watched::new().await;
    let body = r#"{"deadline": 1, "lame_duck": 1000, "spread": 1}"#;
    let json = watched.write("POST", "/drain", body).await.json(202);
    assert_eq!(json["status"], "lame_duck");
    assert_eq!(watched.get("/ready").await.json(503)["reason"], "lame_duck");
    assert_eq!(watched.get("/live").await.json(200)["status"], "lame_duck");
    // A later request without that stage ends it.
    let (_client, handle) = watched.client("192.0.2.1:4000", 1).await;
    watched.write("POST", "/drain", "").await.json(202);
    assert!(matches!(in_time(handle.closed()).await, Outcome::Drained));
}

#[tokio::test]
async fn every_write_is_recorded_without_the_token() {
    let (capture, _guard) = Capture::up_to(Level::INFO);
    let watched = Watched::with(Admin::new().token("hush")).await;
    let headers = "authorization: Bearer hush\r\nx-reagent-admin: 1\r\n";
    watched
        .send("POST", "/limits/max-connections", headers, r#"{"max": 5}"#)
        .await
        .json(200);
    watched.send("GET", "/stats", headers, "").await.json(200);
    let headers = "authorization: Bearer hush\r\n";
    watched
        .send("POST", "/connections/1/abort", headers, "")
        .await
        .error(403);
    watched
        .send("POST", "/drain", "authorization: Bearer guess\r\n", "")
        .await
        .error(401);
    until("all are recorded", || capture.events().len() >= 3).await;

    let [done] = &capture.named("admin write")[..] else {
        panic!("{:?}", capture.events());
    };
    assert_eq!(done.target, "reagent_layers::admin");
    let of = |name| field(&done.fields, name);
    assert_eq!(of("method"), Some("POST"));
    assert_eq!(of("path"), Some("\"/limits/max-connections\""));
    assert_eq!(of("client"), Some("127.0.0.1:5000"));
    assert_eq!(of("by_token"), Some("true"));
    assert!(of("result").unwrap().contains(r#""max":5"#), "{done:?}");
    let refused = capture.named("admin write refused");
    let of = |n: usize, name| field(&refused[n].fields, name).unwrap().to_owned();
    assert_eq!(
        (of(0, "status"), of(0, "by_token")),
        ("403".into(), "true".into())
    );
    assert_eq!(
        (of(1, "status"), of(1, "by_token")),
        ("401".into(), "false".into())
    );
    assert_eq!(of(1, "path"), "\"/drain\"");
    let all = format!("{:?}", capture.events());
    assert!(!all.contains("hush") && !all.contains("guess"), "{all}");
}

#[tokio::test]
async fn writes_can_be_refused_for_a_while() {
    let bans = Bans::new();
    let watched = Watched::with(Admin::new().bans(bans.clone())).await;
    let addr = watched.server.local_addr().to_string().replace(':', "%3A");
    let ban = r#"{"client": "192.0.2.1", "seconds": 60}"#;
    let writes = [
        ("POST", "/bans", ban, 200),
        ("DELETE", "/bans/192.0.2.1", "", 200),
        ("POST", "/limits/max-connections", r#"{"max": 5}"#, 200),
        ("POST", &format!("/listeners/{addr}/pause"), "", 200),
        ("POST", "/connections/1/abort", "", 404),
        ("POST", "/drain", "", 202),
    ];
    watched.admin.refuse_writes("it is being replaced");
    for (method, path, body, _) in writes {
        let refused = watched.write(method, path, body).await.error(503);
        assert_eq!(refused, "it is being replaced", "{path}");
    }
    assert!(bans.longest(1).is_empty());
    watched.get("/bans").await.json(200);
    watched.admin.allow_writes();
    for (method, path, body, expected) in writes {
        let answer = watched.write(method, path, body).await;
        assert_eq!(answer.status, expected, "{path}");
    }
}

#[tokio::test]
async fn numbers_that_are_out_of_range_are_explained() {
    let watched = Watched::with(Admin::new().bans(Bans::new())).await;
    for (path, body, expected) in [
        (
            "/limits/max-connections",
            r#"{"max": -1}"#,
            "`max` must be a whole number of at least 0, or null",
        ),
        (
            "/bans",
            r#"{"client": "192.0.2.1", "seconds": 0}"#,
            "expected a number above 0",
        ),
    ] {
        let refused = watched.write("POST", path, body).await.error(400);
        assert!(refused.contains(expected), "{refused}");
    }
}
