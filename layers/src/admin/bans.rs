//! The ban list.

use super::{
    Problem,
    response::{self, AdminResponse},
};
use crate::{access::Bans, net::Network};
use serde::{Deserialize, Serialize};
use std::{net::IpAddr, time::Duration};

/// The number of bans that are listed.
const LISTED: usize = 1000;

/// The longest ban, which is ten years.
const LONGEST: f64 = 10.0 * 365.0 * 24.0 * 3600.0;

#[derive(Serialize)]
struct BanView {
    client: String,
    /// Seconds until it ends.
    ends_in: f64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewBan {
    client: String,
    seconds: f64,
}

pub(super) fn list(bans: Option<&Bans>) -> Result<AdminResponse, Problem> {
    let bans = known(bans)?.longest(LISTED).into_iter();
    let views = bans.map(|(client, left)| BanView {
        client: client.to_string(),
        ends_in: left.as_secs_f64(),
    });
    Ok(response::ok(&views.collect::<Vec<_>>()))
}

pub(super) fn ban(bans: Option<&Bans>, body: &[u8]) -> Result<AdminResponse, Problem> {
    let bans = known(bans)?;
    let NewBan { client, seconds } = super::body::parse(body)?;
    let client = address(&client)?;
    if !(seconds > 0.0 && seconds <= LONGEST) {
        let message = format!("invalid seconds {seconds}: expected a number from 0 to {LONGEST}");
        return Err(Problem::bad_request(message));
    }
    bans.ban(client, Duration::from_secs_f64(seconds));
    Ok(response::ok(&BanView {
        client: client.to_string(),
        ends_in: seconds,
    }))
}

pub(super) fn unban(bans: Option<&Bans>, client: &str) -> Result<AdminResponse, Problem> {
    let bans = known(bans)?;
    match bans.unban(address(client)?) {
        true => Ok(response::ok(&BanView {
            client: client.to_owned(),
            ends_in: 0.0,
        })),
        false => Err(Problem::not_found(format!("{client} is not banned"))),
    }
}

/// Reads the address of a client.
fn address(text: &str) -> Result<IpAddr, Problem> {
    text.parse().map_err(|_| {
        let expected = match text.parse::<Network>() {
            Ok(_) => {
                "a ban is for one client, by its address; to refuse a network, use the rules of \
                 the server, such as a deny list"
            }
            Err(_) => "expected an IP address",
        };
        Problem::bad_request(format!("invalid client {text:?}: {expected}"))
    })
}

fn known(bans: Option<&Bans>) -> Result<&Bans, Problem> {
    bans.ok_or_else(|| Problem::not_found("this server has no ban list"))
}
