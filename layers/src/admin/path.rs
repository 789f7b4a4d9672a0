//! The resources of the interface, and their paths.

use super::{Problem, page::Asset, upstreams::UpstreamAction};
use http::Method;
use percent_encoding::percent_decode_str;

/// A resource.
#[derive(Debug, PartialEq)]
pub(super) enum Resource {
    Asset(&'static Asset),
    Ready,
    Live,
    Stats,
    Connections,
    Connection(u64),
    ConnectionAction(u64, ConnectionAction),
    Listeners,
    ListenerAction(String, ListenerAction),
    Limits,
    Limit(String),
    Bans,
    Ban(String),
    Certificates,
    Top,
    Upstreams,
    /// The set, the name, and the action.
    UpstreamAction(String, String, UpstreamAction),
    Drain,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum ConnectionAction {
    Abort,
    Drain,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum ListenerAction {
    Pause,
    Resume,
    Close,
}

impl Resource {
    /// Returns the resource at a path. Each segment is decoded by itself, so that a name may contain `/`.
    pub(super) fn find(path: &str) -> Option<Self> {
        let segments = path.strip_prefix('/').unwrap_or(path).split('/');
        let decode = |segment| percent_decode_str(segment).decode_utf8().ok();
        let segments: Vec<_> = segments.map(decode).collect::<Option<_>>()?;
        let segments: Vec<&str> = segments.iter().map(|segment| &**segment).collect();
        Some(match segments[..] {
            ["ready"] => Resource::Ready,
            ["live"] => Resource::Live,
            ["stats"] => Resource::Stats,
            ["connections"] => Resource::Connections,
            ["connections", id] => Resource::Connection(number(id)?),
            ["connections", id, action] => {
                let action = match action {
                    "abort" => ConnectionAction::Abort,
                    "drain" => ConnectionAction::Drain,
                    _ => return None,
                };
                Resource::ConnectionAction(number(id)?, action)
            }
            ["listeners"] => Resource::Listeners,
            ["listeners", addr, action] => {
                let action = match action {
                    "pause" => ListenerAction::Pause,
                    "resume" => ListenerAction::Resume,
                    "close" => ListenerAction::Close,
                    _ => return None,
                };
                Resource::ListenerAction(addr.to_owned(), action)
            }
            ["limits"] => Resource::Limits,
            ["limits", name] => Resource::Limit(name.to_owned()),
            ["bans"] => Resource::Bans,
            ["bans", client] => Resource::Ban(client.to_owned()),
            ["certificates"] => Resource::Certificates,
            ["top"] => Resource::Top,
            ["upstreams"] => Resource::Upstreams,
            ["upstreams", set, name, action] => {
                let action = match action {
                    "drain" => UpstreamAction::Drain,
                    "resume" => UpstreamAction::Resume,
                    "weight" => UpstreamAction::Weight,
                    _ => return None,
                };
                Resource::UpstreamAction(set.to_owned(), name.to_owned(), action)
            }
            ["drain"] => Resource::Drain,
            [name] => Resource::Asset(Asset::find(name)?),
            _ => return None,
        })
    }

    /// Returns whether it is served without the token: the page, which asks for the token, and the
    /// probes.
    pub(super) fn is_open(&self) -> bool {
        matches!(self, Resource::Asset(_) | Resource::Ready | Resource::Live)
    }

    /// Returns whether it is a probe of a load balancer.
    pub(super) fn is_probe(&self) -> bool {
        matches!(self, Resource::Ready | Resource::Live)
    }

    /// Returns whether a request with this method changes something.
    pub(super) fn is_write(&self, method: &Method) -> Result<bool, Problem> {
        let (reads, write, allowed) = match self {
            Resource::ConnectionAction(..)
            | Resource::ListenerAction(..)
            | Resource::UpstreamAction(..)
            | Resource::Drain => (false, Some(Method::POST), "POST"),
            Resource::Ban(_) => (false, Some(Method::DELETE), "DELETE"),
            Resource::Limit(_) | Resource::Bans => (true, Some(Method::POST), "GET, HEAD, POST"),
            _ => (true, None, "GET, HEAD"),
        };
        if write.as_ref() == Some(method) {
            return Ok(true);
        }
        match reads && (method == Method::GET || method == Method::HEAD) {
            true => Ok(false),
            false => Err(Problem::not_allowed(allowed)),
        }
    }

    /// Returns whether a write has a body.
    pub(super) fn takes_body(&self) -> bool {
        matches!(
            self,
            Resource::Limit(_)
                | Resource::Bans
                | Resource::Drain
                | Resource::UpstreamAction(_, _, UpstreamAction::Weight)
        )
    }
}

/// Reads a number without a sign.
fn number(text: &str) -> Option<u64> {
    let is_number = text.bytes().all(|digit| digit.is_ascii_digit());
    text.parse().ok().filter(|_| is_number)
}
