//! Places of the server's limit that only one listener may use.

use super::settings::{bind, server, two};
use crate::support::{connect_to, echo, echoes, settled, soon, stop, until};
use reagent::{Bind, Limit, handle};

#[tokio::test]
async fn reserved_places_are_for_its_clients_only() {
    let (server, [public, admin]) = two(
        server().max_connections(3),
        bind(),
        bind().reserve(1).label("admin"),
    )
    .await;
    let mut clients = Vec::new();
    for _ in 0..3 {
        clients.push(connect_to(&public).await);
    }
    for client in &mut clients[..2] {
        assert!(echoes(client, "hello").await);
    }
    settled().await;
    assert_eq!(server.connection_count(), 2, "the third place is reserved");
    assert_eq!(server.stats().listeners[1].reserved, 1);
    assert_eq!(server.stats().max_connections, Some(3));

    let mut one = connect_to(&admin).await;
    assert!(echoes(&mut one, "hello").await);
    let mut two = connect_to(&admin).await;
    settled().await;
    assert_eq!(server.connection_count(), 3, "the limit holds for all");
    // The client that has waited longest gets the free place.
    drop(clients.remove(0));
    assert!(echoes(&mut clients[1], "hello").await);
    drop(clients.remove(0));
    assert!(echoes(&mut two, "hello").await);
    assert_eq!(server.connection_count(), 3);
    // Whichever of its two connections ends, the other one has the reserved place.
    drop(one);
    until("the end", || server.connection_count() == 2).await;
    let mut fourth = connect_to(&public).await;
    assert!(echoes(&mut fourth, "hello").await);
    let mut waits = connect_to(&public).await;
    drop(two);
    settled().await;
    assert_eq!(server.connection_count(), 2, "one place is reserved");
    let mut two = connect_to(&admin).await;
    assert!(echoes(&mut two, "hello").await);

    // Without the listener, nothing is reserved any more, although handles are kept.
    let mut handles = Vec::new();
    server.for_each_connection(|connection| handles.push(connection.clone()));
    assert!(server.close_listener(&admin).await);
    drop(two);
    assert!(echoes(&mut waits, "hello").await);
    drop((clients, waits, fourth));
    stop(&server).await;
}

#[tokio::test]
async fn a_reserve_is_given_back_although_a_handle_of_its_connection_is_kept() {
    let (server, [public, admin]) =
        two(server().max_connections(1), bind(), bind().reserve(1)).await;
    let mut client = connect_to(&admin).await;
    assert!(echoes(&mut client, "hello").await);
    let handle = server.connection(server.connections()[0].id).unwrap();
    assert!(server.close_listener(&admin).await);
    drop(client);
    handle.closed().await;
    assert!(soon(async { echoes(&mut connect_to(&public).await, "hello").await }).await);
    drop(handle);
    stop(&server).await;
}

#[tokio::test]
async fn a_server_that_has_stopped_reserves_nothing_in_a_shared_limit() {
    let limit = Limit::new(1);
    let server_of = |bind| server().listen(bind).limit(limit.clone());
    let stopped = server_of(bind().reserve(1)).start(handle(echo)).await;
    let stopped = stopped.unwrap();
    stop(&stopped).await;
    let server = server_of(bind()).start(handle(echo)).await.unwrap();
    assert!(
        soon(async { echoes(&mut connect_to(server.local_addr()).await, "hello").await }).await
    );
    drop(stopped);
    stop(&server).await;
}

#[tokio::test]
async fn a_reserve_of_a_listener_that_could_not_be_added_is_given_back() {
    let server = server()
        .listen(bind())
        .max_connections(1)
        .start(handle(echo))
        .await
        .unwrap();
    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let bind = Bind::new(taken.local_addr().unwrap()).reserve(1);
    server.listen(bind).await.unwrap_err();
    assert!(echoes(&mut connect_to(server.local_addr()).await, "hello").await);
    stop(&server).await;
}

#[tokio::test]
async fn a_reserve_that_a_full_server_gets_takes_the_next_places() {
    let server = server()
        .listen(bind())
        .max_connections(2)
        .start(handle(echo))
        .await
        .unwrap();
    let public = server.local_addr().clone();
    let mut clients = Vec::new();
    for _ in 0..3 {
        clients.push(connect_to(&public).await);
    }
    assert!(echoes(&mut clients[1], "hello").await);
    let added = server.listen(bind().reserve(1)).await.unwrap();
    let mut admin = connect_to(&added[0]).await;
    settled().await;
    assert_eq!(server.connection_count(), 2, "the limit is not exceeded");

    drop(clients.remove(0));
    assert!(echoes(&mut admin, "hello").await);
    assert_eq!(server.connection_count(), 2, "the other client waits");
    drop(clients.remove(0));
    assert!(echoes(&mut clients[0], "hello").await);

    // An administrator gets in although nobody else does.
    drop(admin);
    server.set_max_connections(0);
    server.settled().await;
    let mut admin = connect_to(&added[0]).await;
    assert!(echoes(&mut admin, "hello").await);
    drop((admin, clients));
    stop(&server).await;
}

#[tokio::test]
async fn listeners_of_a_group_share_its_limit_within_that_of_the_server() {
    let limit = Limit::new(3);
    let group = limit.child(2);
    let grouped = || bind().limit(group.clone());
    let (server, [one, two]) = two(server().limit(limit.clone()), grouped(), grouped()).await;
    let other = server.listen(bind()).await.unwrap().remove(0);
    let mut clients = Vec::new();
    for addr in [&one, &two] {
        clients.push(connect_to(addr).await);
        assert!(echoes(clients.last_mut().unwrap(), "hello").await);
    }
    let mut waits = connect_to(&one).await;
    settled().await;
    assert_eq!((group.taken(), limit.taken()), (2, 2), "the group is full");
    let mut third = connect_to(&other).await;
    assert!(echoes(&mut third, "hello").await);

    drop(clients.remove(1));
    assert!(echoes(&mut waits, "hello").await);
    assert_eq!((group.taken(), server.limit().taken()), (2, 3));
    drop((clients, waits, third));
    until("all have left", || limit.taken() == 0).await;
    assert_eq!(group.taken(), 0);
    stop(&server).await;
}

#[tokio::test]
async fn a_listener_with_a_limit_outside_of_that_of_the_server_is_refused() {
    let expected = "its limit is not within the limit of the server; create it by `Limit::child`";
    let foreign = || Bind::new("127.0.0.1:0").limit(Limit::new(1).child(1));
    let refused = server().listen(foreign()).start(handle(echo)).await;
    assert!(refused.unwrap_err().to_string().contains(expected));

    let server = server().listen(bind()).start(handle(echo)).await.unwrap();
    let refused = server.listen(foreign()).await.unwrap_err();
    assert!(refused.to_string().contains(expected));
    let added = server.listen(bind().limit(server.limit().child(1))).await;
    assert_eq!(added.unwrap().len(), 1);
    stop(&server).await;
}
