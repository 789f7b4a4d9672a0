//! The checks of a request: its host, its origin, its client and its token.

use super::{Problem, path::Resource};
use crate::http::HttpConnection;
use http::{
    HeaderMap, HeaderValue, StatusCode, Uri,
    header::{AUTHORIZATION, HOST, ORIGIN},
    request::Parts,
    uri::Authority,
};
use reagent::Addr;
use std::net::IpAddr;
use subtle::ConstantTimeEq;

/// The header that every write needs. A form cannot send it, and a script of another origin cannot
/// either, because no CORS header allows it.
const WRITE: &str = "x-reagent-admin";

/// The settings of the checks.
#[derive(Clone, Default)]
pub(super) struct Guard {
    pub(super) token: Option<Box<[u8]>>,
    /// The names by which the page may be reached.
    pub(super) hosts: Vec<String>,
}

impl Guard {
    /// Checks a request. An unknown path has no resource.
    pub(super) fn admit(
        &self,
        request: &Parts,
        resource: Option<&Resource>,
    ) -> Result<(), Problem> {
        let is_open = resource.is_some_and(Resource::is_open);
        self.check_host(request, resource.is_some_and(Resource::is_probe))?;
        check_origin(request)?;
        let Some(token) = &self.token else {
            return check_peer(request);
        };
        match is_open || is_authorized(&request.headers, token) {
            true => Ok(()),
            false => Err(Problem::unauthorized()),
        }
    }

    /// Refuses unknown names: another site may have pointed its own name at this address (DNS
    /// rebinding). With an IP address as the host, that is impossible. A browser names a host
    /// always, and the probes of load balancers that speak HTTP/1.0 often none.
    fn check_host(&self, request: &Parts, is_probe: bool) -> Result<(), Problem> {
        let named: Vec<_> = named_hosts(&request.uri, &request.headers).collect();
        let names_enough = is_probe || !named.is_empty();
        if names_enough && named.iter().all(|host| self.is_known(host.as_ref())) {
            return Ok(());
        }
        Err(Problem::new(
            StatusCode::MISDIRECTED_REQUEST,
            "the host must be localhost, an IP address, or a name from the configuration",
        ))
    }

    fn is_known(&self, host: Option<&Authority>) -> bool {
        let Some(host) = host.filter(|host| !host.as_str().contains('@')) else {
            return false;
        };
        let name = host.host();
        let ip = name.strip_prefix('[').and_then(|ip| ip.strip_suffix(']'));
        let name = name.strip_suffix('.').unwrap_or(name);
        ip.unwrap_or(name).parse::<IpAddr>().is_ok()
            || name.eq_ignore_ascii_case("localhost")
            || self
                .hosts
                .iter()
                .any(|known| known.eq_ignore_ascii_case(name))
    }
}

/// Returns every host that the request names; `None` for one that is malformed.
fn named_hosts(uri: &Uri, headers: &HeaderMap) -> impl Iterator<Item = Option<Authority>> {
    let in_uri = uri.authority().cloned().map(Some).into_iter();
    let in_headers = headers.get_all(HOST).iter();
    in_uri.chain(in_headers.map(|host| Authority::try_from(host.as_bytes()).ok()))
}

/// Refuses requests of other sites. Browsers name the site of a script or form in `Origin`.
fn check_origin(request: &Parts) -> Result<(), Problem> {
    let mut origins = request.headers.get_all(ORIGIN).iter();
    let is_same = |origin: &[u8]| {
        let origin = std::str::from_utf8(origin).ok()?;
        let (_, origin) = origin.split_once("://")?;
        let host = named_hosts(&request.uri, &request.headers).next()??;
        Some(host.as_str().eq_ignore_ascii_case(origin))
    };
    match origins.all(|origin| is_same(origin.as_bytes()) == Some(true)) {
        true => Ok(()),
        false => Err(Problem::forbidden("the request comes from another origin")),
    }
}

/// Without a token, only local clients are served. This finds those that the address of the
/// listener did not keep out.
fn check_peer(request: &Parts) -> Result<(), Problem> {
    let Some(connection) = request.extensions.get::<HttpConnection>() else {
        return Ok(());
    };
    let handle = connection.handle();
    match is_local(handle.socket_addr()) && is_local(handle.peer_addr()) {
        true => Ok(()),
        false => Err(Problem::forbidden(
            "without a token, only clients of this machine are served",
        )),
    }
}

fn is_authorized(headers: &HeaderMap, token: &[u8]) -> bool {
    let sent = headers.get(AUTHORIZATION).map(HeaderValue::as_bytes);
    let Some((scheme, sent)) = sent.and_then(|value| value.split_at_checked(7)) else {
        return false;
    };
    scheme.eq_ignore_ascii_case(b"bearer ") && bool::from(sent.ct_eq(token))
}

/// Checks that a write was not sent by a page of another site (CSRF).
pub(super) fn check_write(headers: &HeaderMap) -> Result<(), Problem> {
    match headers.get(WRITE).is_some_and(|value| value == "1") {
        true => Ok(()),
        false => Err(Problem::forbidden(
            "a write needs the header `x-reagent-admin: 1`",
        )),
    }
}

/// Returns whether an address belongs to this machine and cannot be reached from others.
pub(super) fn is_local(addr: &Addr) -> bool {
    match addr {
        Addr::Tcp(addr) => addr.ip().to_canonical().is_loopback(),
        Addr::Unix(_) => true,
        _ => false,
    }
}
