//! Responses, and the headers that all of them have.

use super::{Problem, page::Asset};
use bytes::Bytes;
use http::{
    HeaderValue, Response, StatusCode,
    header::{
        CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, REFERRER_POLICY,
        X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
    },
};
use serde::Serialize;

pub(super) type AdminResponse = Response<Bytes>;

const HEADERS: [(HeaderName, &str); 5] = [
    (CACHE_CONTROL, "no-store"),
    // Scripts, styles and requests of the page itself, and nothing else.
    (
        CONTENT_SECURITY_POLICY,
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
         img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    (REFERRER_POLICY, "no-referrer"),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (X_FRAME_OPTIONS, "DENY"),
];

fn response(status: StatusCode, content_type: &'static str, body: Bytes) -> AdminResponse {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

pub(super) fn json(status: StatusCode, value: &impl Serialize) -> AdminResponse {
    // The serialization of these types cannot fail.
    let body = serde_json::to_vec(value).unwrap_or_default();
    response(status, "application/json", body.into())
}

pub(super) fn ok(value: &impl Serialize) -> AdminResponse {
    json(StatusCode::OK, value)
}

impl From<&'static Asset> for AdminResponse {
    fn from(asset: &'static Asset) -> Self {
        let body = Bytes::from_static(asset.content.as_bytes());
        response(StatusCode::OK, asset.content_type, body)
    }
}

impl From<Problem> for AdminResponse {
    fn from(problem: Problem) -> Self {
        let body = serde_json::json!({ "error": problem.message });
        let mut response = json(problem.status, &body);
        response.headers_mut().extend(problem.header);
        response
    }
}
