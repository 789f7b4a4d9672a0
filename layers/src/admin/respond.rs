//! From a request to its response.

use super::{
    Admin, Problem,
    audit::Audit,
    bans, certificates, connections, guard, listeners,
    path::Resource,
    query::{self, ConnectionQuery},
    response::AdminResponse,
    server, top, upstreams,
};
use crate::http::HttpConnection;
use bytes::Bytes;
use http::request::Parts;
use std::{future::Future, sync::atomic::Ordering::Relaxed};

type Answer = Result<AdminResponse, Problem>;

pub(super) async fn respond(
    admin: &Admin,
    head: Parts,
    body: impl Future<Output = Result<Bytes, Problem>>,
) -> AdminResponse {
    let Some(resource) = Resource::find(head.uri.path()) else {
        let unknown = || Problem::not_found("there is nothing at this path");
        let refused = admin.settings.guard.admit(&head, None).err();
        return refused.unwrap_or_else(unknown).into();
    };
    let is_write = resource.is_write(&head.method);
    let admitted = admin.settings.guard.admit(&head, Some(&resource));
    let is_admitted = admitted.is_ok();
    let (answer, audit) = match (admitted, is_write) {
        (Ok(()), Ok(true)) => {
            let answer = write(admin, &resource, &head, body).await;
            (answer, Some(Audit::new(&head)))
        }
        (Ok(()), Ok(false)) => (read(admin, &resource, &head).await, None),
        (Ok(()), Err(problem)) => (Err(problem), None),
        (Err(problem), is_write) => {
            let audit = matches!(is_write, Ok(true)).then(|| Audit::new(&head));
            (Err(problem), audit)
        }
    };
    if let Some(audit) = audit {
        let by_token = is_admitted && admin.settings.guard.token.is_some();
        audit.record(&answer, by_token);
    }
    answer.unwrap_or_else(AdminResponse::from)
}

async fn read(admin: &Admin, resource: &Resource, head: &Parts) -> Answer {
    let asked = head.uri.query().unwrap_or_default();
    let has_query = matches!(resource, Resource::Connections | Resource::Top);
    if !resource.is_open() && !has_query {
        query::refuse(asked)?;
    }
    let server = admin.server();
    Ok(match resource {
        Resource::Asset(asset) => (*asset).into(),
        Resource::Ready | Resource::Live if admin.shared.is_handed_over.load(Relaxed) => {
            server::handed_over()
        }
        Resource::Ready => server::readiness(server.ok()),
        Resource::Live => server::liveness(server.ok()),
        Resource::Stats => server::stats(server?).await,
        Resource::Connections => {
            let query = ConnectionQuery::parse(asked)?;
            connections::list(admin, server?, &query).await
        }
        Resource::Connection(id) => connections::show(admin, server?, *id)?,
        Resource::Listeners => listeners::list(admin, server?),
        Resource::Limits => admin.shared.limits.list(server?),
        Resource::Limit(name) => admin.shared.limits.show(server?, name)?,
        Resource::Bans => bans::list(admin.settings.bans.as_ref())?,
        Resource::Certificates => {
            let certificates = admin.settings.certificates.as_ref();
            certificates::list(certificates.map_or_else(Vec::new, |list| list()))
        }
        Resource::Top => top::list(admin.settings.top.as_ref(), server?, asked)?,
        Resource::Upstreams => upstreams::list(admin)?,
        // They are only written to.
        Resource::ConnectionAction(..)
        | Resource::ListenerAction(..)
        | Resource::UpstreamAction(..)
        | Resource::Ban(_)
        | Resource::Drain => {
            return Err(Problem::not_allowed(""));
        }
    })
}

async fn write(
    admin: &Admin,
    resource: &Resource,
    head: &Parts,
    body: impl Future<Output = Result<Bytes, Problem>>,
) -> Answer {
    guard::check_write(&head.headers)?;
    query::refuse(head.uri.query().unwrap_or_default())?;
    let body = match resource.takes_body() {
        true => body.await?,
        false => Bytes::new(),
    };
    match resource {
        // These begin at once, and the guard cannot be held while they go on.
        Resource::ListenerAction(addr, action) => {
            drop(admin.shared.writes.begin()?);
            let connection = head.extensions.get::<HttpConnection>();
            let client = connection.map(HttpConnection::handle);
            listeners::act(admin.server()?, addr, *action, client).await
        }
        Resource::Drain => {
            drop(admin.shared.writes.begin()?);
            server::drain(admin.server()?, &body).await
        }
        _ => apply(admin, resource, &body),
    }
}

fn apply(admin: &Admin, resource: &Resource, body: &[u8]) -> Answer {
    let _guard = admin.shared.writes.begin()?;
    let bans = admin.settings.bans.as_ref();
    match resource {
        Resource::ConnectionAction(id, action) => connections::act(admin.server()?, *id, *action),
        Resource::Limit(name) => admin.shared.limits.change(admin.server()?, name, body),
        Resource::UpstreamAction(set, name, action) => {
            upstreams::act(admin, set, name, *action, body)
        }
        Resource::Bans => bans::ban(bans, body),
        Resource::Ban(client) => bans::unban(bans, client),
        // The rest is only read.
        _ => Err(Problem::not_allowed("GET, HEAD")),
    }
}
