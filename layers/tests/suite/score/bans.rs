//! When offences lead to a ban, and how long it lasts.

use crate::support::{check, echo, echoes};
use proptest::{collection::vec, prop_assert_eq};
use reagent::{
    Server, handle,
    testing::{Clients, MemoryListener},
};
use reagent_layers::{
    Network,
    access::{Access, AccessLayer, Bans, Rules},
    score::{Banned, Offence, Score},
};
use std::{
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{
    runtime::Builder,
    time::{advance, sleep},
};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const LOGIN: Offence = Offence::Custom("login");

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// Reports offences until the client is banned. Returns their number.
fn offend(score: &Score, client: &str) -> usize {
    (1..1000)
        .find(|_| score.report(ip(client), LOGIN))
        .expect("a ban")
}

/// A score, and the bans that it has decided on.
fn recorded(bans: &Bans) -> (Score, Arc<Mutex<Vec<Banned>>>) {
    let decided = Arc::<Mutex<Vec<_>>>::default();
    let record = decided.clone();
    let score = Score::new(bans.clone()).on_ban(move |ban| record.lock().unwrap().push(*ban));
    (score, decided)
}

#[tokio::test(start_paused = true)]
async fn too_many_offences_at_once_lead_to_a_ban_and_the_same_over_time_do_not() {
    let bans = Bans::new();
    let (score, decided) = recorded(&bans);
    let client = ip("192.0.2.1");
    for _ in 0..10 {
        for _ in 0..19 {
            assert!(!score.report(client, LOGIN));
        }
        assert_eq!(score.points_of(client), 19.0);
        advance(MINUTE).await;
        assert_eq!(score.points_of(client), 0.0);
    }
    assert!(bans.is_empty());
    assert_eq!(offend(&score, "192.0.2.1"), 20);
    assert!(bans.is_banned(client) && !bans.is_banned(ip("192.0.2.2")));
    let decided = decided.lock().unwrap();
    let ban = decided[0];
    assert_eq!(
        (ban.client, ban.offence, ban.lasts),
        (client, LOGIN, MINUTE)
    );
    assert!(!ban.dry_run && decided.len() == 1);
    let stats = score.stats();
    assert_eq!(
        (stats.bans, stats.dry_bans, stats.offences[&LOGIN]),
        (1, 0, 210)
    );
}

#[tokio::test(start_paused = true)]
async fn weights_and_points_decide_how_many_it_takes() {
    for (weight, max, expected) in [(1.0, 5.0, 5), (2.0, 5.0, 3), (5.0, 5.0, 1), (0.5, 5.0, 10)] {
        let score = Score::new(Bans::new())
            .points(max, MINUTE)
            .weight(LOGIN, weight);
        assert_eq!(offend(&score, "192.0.2.1"), expected);
    }
    let score = Score::new(Bans::new())
        .weight(LOGIN, 0.0)
        .weight(Offence::Slow, f64::NAN);
    for _ in 0..1000 {
        assert!(!score.report(ip("192.0.2.1"), LOGIN));
        assert!(!score.report(ip("192.0.2.1"), Offence::Slow));
    }
    assert_eq!(score.stats().clients, 0);
}

#[tokio::test(start_paused = true)]
async fn bans_grow_up_to_a_maximum_and_are_forgotten_in_time() {
    let bans = Bans::new();
    let (score, decided) = recorded(&bans);
    let score = score.ban_time(10 * SECOND, 60 * SECOND);
    let lengths = |count: usize| {
        let mut decided = decided.lock().unwrap();
        assert_eq!(decided.len(), count);
        decided
            .drain(..)
            .map(|ban| ban.lasts.as_secs())
            .collect::<Vec<_>>()
    };
    for _ in 0..6 {
        offend(&score, "192.0.2.1");
        while bans.is_banned(ip("192.0.2.1")) {
            advance(SECOND).await;
        }
    }
    assert_eq!(lengths(6), [10, 20, 40, 60, 60, 60]);
    advance(59 * SECOND).await;
    offend(&score, "192.0.2.1");
    assert_eq!(lengths(1), [60]);
    advance((60 + 60) * SECOND).await;
    offend(&score, "192.0.2.1");
    assert_eq!(lengths(1), [10]);
}

#[tokio::test(start_paused = true)]
async fn what_happens_during_a_ban_does_not_count_unless_the_ban_was_lifted() {
    let bans = Bans::new();
    let (score, decided) = recorded(&bans);
    offend(&score, "192.0.2.1");
    for _ in 0..1000 {
        assert!(!score.report(ip("192.0.2.1"), LOGIN));
    }
    advance(MINUTE).await;
    assert_eq!(offend(&score, "192.0.2.1"), 20);
    assert_eq!(decided.lock().unwrap().len(), 2);
    bans.unban(ip("192.0.2.1"));
    assert_eq!(offend(&score, "192.0.2.1"), 20);
}

#[tokio::test(start_paused = true)]
async fn an_ipv6_client_is_its_network() {
    let bans = Bans::new();
    let score = Score::new(bans.clone());
    for n in 0..20 {
        score.report(ip(&format!("2001:db8:1:2::{n:x}")), LOGIN);
    }
    assert!(bans.is_banned(ip("2001:db8:1:2:ffff::9")) && !bans.is_banned(ip("2001:db8:1:3::1")));
    let wide = Bans::new().prefixes(24, 48);
    let score = Score::new(wide.clone());
    for n in 0..20 {
        score.report(ip(&format!("192.0.2.{n}")), LOGIN);
    }
    assert!(wide.is_banned(ip("192.0.2.99")) && !wide.is_banned(ip("192.0.3.1")));
}

#[tokio::test(start_paused = true)]
async fn the_exempt_are_never_scored() {
    let bans = Bans::new();
    let network: Network = "10.0.0.0/8".parse().unwrap();
    let score = Score::new(bans.clone()).exempt(network);
    for _ in 0..1000 {
        for client in ["10.1.2.3", "::ffff:10.1.2.3"] {
            assert!(!score.report(ip(client), LOGIN));
        }
    }
    assert!(bans.is_empty() && score.stats().clients == 0);
    assert_eq!(offend(&score, "11.0.0.1"), 20);
}

#[tokio::test(start_paused = true)]
async fn the_table_of_offenders_is_bounded_and_empties_itself() {
    let score = Score::new(Bans::new()).capacity(100);
    for n in 0..10_000_u32 {
        score.report(IpAddr::V4(n.into()), LOGIN);
    }
    let stats = score.stats();
    assert_eq!((stats.clients, stats.overflowed), (100, 9_900));
    // Those in the table can be banned.
    for _ in 0..19 {
        score.report(IpAddr::V4(7.into()), LOGIN);
    }
    assert_eq!(score.stats().bans, 1);
    advance(MINUTE).await;
    for n in 0..200 {
        score.report(IpAddr::V4((20_000 + n).into()), LOGIN);
    }
    assert!(score.stats().overflowed < 10_050, "{:?}", score.stats());
}

#[tokio::test(start_paused = true)]
async fn a_dry_run_bans_nobody_and_can_be_ended() {
    let bans = Bans::new();
    let (score, decided) = recorded(&bans);
    let score = score.dry_run(true);
    for _ in 0..20 {
        assert!(!score.report(ip("192.0.2.1"), LOGIN));
    }
    assert!(bans.is_empty());
    let ban = decided.lock().unwrap()[0];
    assert_eq!((ban.lasts, ban.dry_run), (MINUTE, true));
    assert_eq!((score.stats().bans, score.stats().dry_bans), (0, 1));
    score.clone().set_dry_run(false);
    assert_eq!(offend(&score, "192.0.2.1"), 20);
    assert!(bans.is_banned(ip("192.0.2.1")));
}

/// Plays offences with pauses, and returns the bans. With bans in force, a banned client does
/// nothing.
fn play(offences: &[(u8, u8)], is_dry: bool) -> Vec<(IpAddr, Duration)> {
    let runtime = Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    let bans = Bans::new();
    let (score, decided) = recorded(&bans);
    let score = score
        .points(5.0, 10 * SECOND)
        .ban_time(4 * SECOND, 30 * SECOND)
        .dry_run(is_dry);
    runtime.block_on(async {
        for &(client, pause) in offences {
            let client = IpAddr::V4(u32::from(client).into());
            if !bans.is_banned(client) {
                score.report(client, LOGIN);
            }
            sleep(Duration::from_millis(u64::from(pause) * 10)).await;
        }
    });
    let decided = decided.lock().unwrap();
    assert!(decided.iter().all(|ban| ban.dry_run == is_dry));
    decided.iter().map(|ban| (ban.client, ban.lasts)).collect()
}

#[test]
fn a_dry_run_decides_as_the_bans_in_force_would() {
    check(100, vec((0_u8..4, 0_u8..60), 0..400), |offences| {
        prop_assert_eq!(play(&offences, true), play(&offences, false));
        Ok(())
    });
}

#[tokio::test(start_paused = true)]
async fn clients_that_are_refused_too_often_are_banned_and_others_are_served() {
    let bans = Bans::new();
    let rules = Rules::new().deny_all(["192.0.2.0/24"]).unwrap();
    let access = Access::new(rules).with_bans(bans.clone());
    let (listener, clients) = MemoryListener::new();
    let server = Server::new(listener)
        .observe(Score::new(bans.clone()).points(3.0, MINUTE))
        .layer(AccessLayer::new(access.clone()));
    let server = server.start(handle(echo)).await.unwrap();
    for _ in 0..3 {
        assert!(!bans.is_banned(ip("192.0.2.1")));
        assert!(!is_served(&clients, "192.0.2.1").await);
        crate::support::until("ended", || server.connection_count() == 0).await;
    }
    assert!(bans.is_banned(ip("192.0.2.1")));
    access.set(Rules::new());
    assert!(!is_served(&clients, "192.0.2.1").await);
    assert!(is_served(&clients, "192.0.2.2").await);
    advance(MINUTE).await;
    assert!(is_served(&clients, "192.0.2.1").await);
}

async fn is_served(clients: &Clients, client: &str) -> bool {
    let addr = SocketAddr::new(ip(client), 4000);
    let mut client = clients.connect_from(addr).await.unwrap();
    echoes(&mut client, "hello").await
}

#[tokio::test(start_paused = true)]
async fn bans_of_a_dry_run_do_not_lengthen_the_first_real_one() {
    let (score, decided) = recorded(&Bans::new());
    score.set_dry_run(true);
    for _ in 0..5 {
        for _ in 0..20 {
            score.report(ip("192.0.2.1"), LOGIN);
        }
        let lasts = decided.lock().unwrap().last().unwrap().lasts;
        sleep(lasts).await;
    }
    score.set_dry_run(false);
    for _ in 0..2 {
        offend(&score, "192.0.2.1");
        let lasts = decided.lock().unwrap().last().unwrap().lasts;
        sleep(lasts).await;
    }
    let lasts: Vec<_> = decided
        .lock()
        .unwrap()
        .iter()
        .map(|ban| ban.lasts)
        .collect();
    assert_eq!(
        lasts,
        [1, 2, 4, 8, 16, 1, 2].map(|minutes| minutes * MINUTE)
    );
}

#[tokio::test(start_paused = true)]
async fn points_that_are_not_a_number_are_those_of_the_default() {
    let score = Score::new(Bans::new()).points(f64::NAN, MINUTE);
    assert_eq!(offend(&score, "192.0.2.1"), 20);
}
