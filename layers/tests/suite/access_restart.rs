//! Bans that survive a restart.

use crate::support::check;
use proptest::prelude::*;
use reagent::Carried;
use reagent_layers::access::Bans;
use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tokio::time::advance;

/// More than the time that passes, by the wall clock, between saving and restoring.
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

/// The bytes before the bans: version, time, count and prefixes.
const HEADER: usize = 1 + 8 + 4 + 2;
const COUNT: std::ops::Range<usize> = 9..13;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// Returns a list as a successor has it.
fn handed_over(bans: &Bans) -> Bans {
    let successor = Bans::new();
    successor.restore(&bans.save()).unwrap();
    successor
}

#[tokio::test(start_paused = true)]
async fn a_ban_lasts_as_long_as_it_would_have_without_a_restart() {
    let bans = Bans::new();
    let (v4, v6) = (ip("192.0.2.1"), ip("2001:db8:1:2::1"));
    bans.ban(v4, HOUR);
    bans.ban(v6, 2 * HOUR);
    bans.ban(ip("192.0.2.2"), MINUTE);
    advance(HOUR / 2).await;
    let bans = handed_over(&handed_over(&bans));
    assert_eq!(bans.len(), 2, "one is over");
    advance(HOUR / 2 - MINUTE).await;
    assert!(bans.is_banned(v4) && bans.is_banned(v6));
    assert!(bans.is_banned(ip("2001:db8:1:2:ffff::9")) && !bans.is_banned(ip("192.0.2.2")));
    advance(2 * MINUTE).await;
    assert!(!bans.is_banned(v4) && bans.is_banned(v6));
    advance(HOUR).await;
    assert!(!bans.is_banned(v6) && bans.is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_time_between_saving_and_restoring_counts() {
    let bans = Bans::new();
    bans.ban(ip("192.0.2.1"), HOUR);
    bans.ban(ip("192.0.2.2"), 3 * HOUR);
    let mut saved = bans.save();
    let restored = |saved: &[u8]| {
        let bans = Bans::new();
        bans.restore(saved).unwrap();
        bans
    };
    let at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap() - 2 * HOUR;
    let at = u64::try_from(at.as_millis()).unwrap();
    saved[1..9].copy_from_slice(&at.to_be_bytes());
    let late = restored(&saved);
    assert_eq!(late.len(), 1);
    // A clock that is set back makes no ban longer.
    saved[1..9].fill(0xff);
    let early = restored(&saved);
    assert_eq!(early.len(), 2);
    advance(HOUR + MINUTE).await;
    assert!(!late.is_banned(ip("192.0.2.2")) && early.is_banned(ip("192.0.2.2")));
    assert!(!early.is_banned(ip("192.0.2.1")));
}

#[tokio::test(start_paused = true)]
async fn restored_bans_are_added_and_the_longer_of_two_applies() {
    let old = Bans::new();
    old.ban(ip("192.0.2.1"), HOUR);
    old.ban(ip("192.0.2.2"), MINUTE);
    let new = Bans::new();
    new.ban(ip("192.0.2.1"), MINUTE);
    new.ban(ip("192.0.2.2"), HOUR);
    new.ban(ip("192.0.2.3"), HOUR);
    new.restore(&old.save()).unwrap();
    assert_eq!(new.len(), 3);
    advance(HOUR / 2).await;
    assert!((1..=3).all(|n| new.is_banned(Ipv4Addr::new(192, 0, 2, n).into())));
}

#[tokio::test(start_paused = true)]
async fn a_ban_without_an_end_is_restored() {
    let bans = Bans::new();
    bans.ban(ip("192.0.2.1"), Duration::MAX);
    let bans = handed_over(&bans);
    advance(24 * HOUR).await;
    assert!(bans.is_banned(ip("192.0.2.1")));
}

#[tokio::test(start_paused = true)]
async fn a_smaller_list_keeps_the_bans_that_end_last() {
    let bans = Bans::new();
    for n in 0..1000_u32 {
        bans.ban(IpAddr::V4(n.into()), MINUTE * (n + 1));
    }
    let small = Bans::with_capacity(10);
    small.restore(&bans.save()).unwrap();
    assert_eq!(small.len(), 10);
    assert!((990..1000_u32).all(|n| small.is_banned(IpAddr::V4(n.into()))));
}

#[tokio::test(start_paused = true)]
async fn of_a_long_list_those_that_end_last_are_saved() {
    let (saved, more) = (131_072, 10);
    let bans = Bans::with_capacity(1_000_000);
    for n in 0..saved + more {
        bans.ban(
            Ipv6Addr::from(u128::from(n) << 64).into(),
            MINUTE + n * MINUTE / 1000,
        );
    }
    let bytes = bans.save();
    assert_eq!(bytes.len(), HEADER + saved as usize * (1 + 16 + 8));
    let restored = Bans::with_capacity(1_000_000);
    restored.restore(&bytes).unwrap();
    assert_eq!(restored.len(), saved as usize);
    let is_banned = |n: u32| restored.is_banned(Ipv6Addr::from(u128::from(n) << 64).into());
    assert!((0..more).all(|n| !is_banned(n)) && is_banned(more) && is_banned(saved + more - 1));
}

#[tokio::test(start_paused = true)]
async fn other_prefixes_widen_a_ban_or_drop_it() {
    let restored = |from: (u8, u8), to: (u8, u8)| {
        let bans = Bans::new().prefixes(from.0, from.1);
        bans.ban(ip("192.0.2.7"), HOUR);
        bans.ban(ip("2001:db8:1:2::7"), HOUR);
        let successor = Bans::new().prefixes(to.0, to.1);
        successor.restore(&bans.save()).unwrap();
        successor
    };
    let wider = restored((32, 64), (24, 48));
    assert!(wider.is_banned(ip("192.0.2.99")) && wider.is_banned(ip("2001:db8:1:99::1")));
    assert_eq!(wider.len(), 2);
    assert!(restored((24, 48), (32, 64)).is_empty());
    assert_eq!(restored((24, 64), (32, 64)).len(), 1);
    assert_eq!(
        restored((32, 64), (200, 64)).len(),
        2,
        "both are whole addresses"
    );
}

#[tokio::test(start_paused = true)]
async fn saved_bans_that_are_damaged_are_an_error_and_change_nothing() {
    let other = Bans::new();
    other.ban(ip("192.0.2.1"), HOUR);
    other.ban(ip("2001:db8::1"), HOUR);
    let whole = other.save();
    let bans = Bans::new();
    bans.ban(ip("192.0.2.2"), HOUR);
    let is_refused = |saved: &[u8]| {
        let is_refused = bans.restore(saved).is_err();
        assert_eq!(bans.len(), 1);
        is_refused
    };
    for len in 0..whole.len() {
        assert!(is_refused(&whole[..len]), "cut at {len}");
    }
    assert!(is_refused(&[&whole[..], &[0]].concat()));
    for count in [0, 1, 3, u32::MAX] {
        let mut lying = whole.clone();
        lying[COUNT].copy_from_slice(&count.to_be_bytes());
        assert!(is_refused(&lying), "{count}");
    }
    for kind in (0..=u8::MAX).filter(|kind| ![4, 6].contains(kind)) {
        let mut lying = whole.clone();
        lying[HEADER] = kind;
        assert!(is_refused(&lying), "{kind}");
    }
    let too_many = 131_073_u32;
    let header = [&whole[..COUNT.start], &too_many.to_be_bytes(), &[32, 64]].concat();
    let tail = [4, 192, 0, 2, 3, 0, 0, 0, 0, 1, 0, 0, 0].repeat(too_many as usize);
    assert!(is_refused(&[header, tail].concat()));
}

#[tokio::test(start_paused = true)]
async fn a_format_of_another_version_is_ignored() {
    let other = Bans::new();
    other.ban(ip("192.0.2.1"), HOUR);
    let mut saved = other.save();
    let bans = Bans::new();
    for version in (0..=u8::MAX).filter(|version| *version != 1) {
        saved[0] = version;
        bans.restore(&saved).unwrap();
        bans.restore(&[version]).unwrap();
        assert!(bans.is_empty());
    }
}

#[test]
fn no_bytes_make_restoring_panic() {
    let byte = prop_oneof![Just(0_u8), Just(4), Just(6), any::<u8>()];
    let any_bytes = prop::collection::vec(byte, 0..100);
    let likely = (0..4_u8, any_bytes.clone()).prop_map(|(count, tail)| {
        let header = [&[1][..], &[0; 11], &[count]].concat();
        [header, tail].concat()
    });
    let ban = (
        prop_oneof![Just(4_u8), Just(6)],
        any::<[u8; 16]>(),
        any::<[u8; 8]>(),
    );
    let ban = ban.prop_map(|(kind, ip, left)| {
        let ip = if kind == 4 { &ip[..4] } else { &ip };
        [&[kind], ip, &left].concat()
    });
    let whole = (
        any::<[u8; 8]>(),
        any::<[u8; 2]>(),
        prop::collection::vec(ban, 0..20),
    )
        .prop_map(|(at, prefixes, bans)| {
            let header = [&[1][..], &at, &[0, 0, 0, bans.len() as u8], &prefixes].concat();
            [header, bans.concat()].concat()
        });
    check(500, prop_oneof![any_bytes, likely, whole], |saved| {
        let bans = Bans::with_capacity(10);
        let _ = bans.restore(&saved);
        prop_assert!(bans.len() <= 10);
        prop_assert!(Bans::new().restore(&bans.save()).is_ok());
        Ok(())
    });
}

#[tokio::test]
async fn each_list_can_have_a_name() {
    let bans = Bans::new();
    assert_eq!(Carried::name(&bans), "bans");
    assert_eq!(Carried::name(&bans.clone().named("inside")), "inside");
}
