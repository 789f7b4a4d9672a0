//! Bans that survive a restart.

use super::Bans;
use crate::carried::{self, Damaged, Saved, put_duration};
use reagent::{BoxError, Carried};
use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    time::Duration,
};
use tokio::time::Instant;

/// The version of the format of saved bans.
const VERSION: u8 = 1;

/// The maximum number of bans that are saved.
const MAX_SAVED: usize = 131_072;

/// The maximum length of a saved ban: the kind and the octets of the address, and the time left.
const MAX_LEN: usize = 1 + 16 + 8;

/// The kind of an address.
const V4: u8 = 4;
const V6: u8 = 6;

impl Carried for Bans {
    fn name(&self) -> &str {
        &self.name
    }

    fn save(&self) -> Vec<u8> {
        let now = Instant::now();
        self.with(|ends| {
            let count = ends.in_order.len().min(MAX_SAVED);
            let mut saved = carried::save(VERSION, count, 2 + count * MAX_LEN);
            saved.extend([self.prefixes.v4, self.prefixes.v6]);
            // Those that end last come first.
            for (until, client) in ends.in_order.iter().rev().take(count) {
                match client {
                    IpAddr::V4(ip) => {
                        saved.push(V4);
                        saved.extend(ip.octets());
                    }
                    IpAddr::V6(ip) => {
                        saved.push(V6);
                        saved.extend(ip.octets());
                    }
                }
                put_duration(&mut saved, until.saturating_duration_since(now));
            }
            saved
        })
    }

    fn restore(&self, saved: &[u8]) -> Result<(), BoxError> {
        let Some(mut saved) = Saved::read(VERSION, MAX_SAVED, saved)? else {
            return Ok(());
        };
        let &[v4, v6] = saved.take()?;
        let is_v4_wider = v4.min(32) < self.prefixes.v4.min(32);
        let is_v6_wider = v6.min(128) < self.prefixes.v6.min(128);
        let mut bans = Vec::new();
        for _ in 0..saved.count {
            let (client, is_wider) = match saved.take()? {
                [V4] => (Ipv4Addr::from(*saved.take()?).into(), is_v4_wider),
                [V6] => (Ipv6Addr::from(*saved.take()?).into(), is_v6_wider),
                _ => return Err(Damaged.into()),
            };
            let left = saved.take_duration()?.saturating_sub(saved.age);
            if !is_wider && left > Duration::ZERO {
                bans.push((self.prefixes.of(client), left));
            }
        }
        saved.end()?;
        let now = Instant::now();
        self.with(|ends| {
            for (client, left) in bans {
                ends.ban(client, now, left);
            }
        });
        self.shared.watchers.recheck_all();
        Ok(())
    }
}
