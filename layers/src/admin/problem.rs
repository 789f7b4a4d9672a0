//! The reason why a request is not served.

use http::{
    HeaderName, HeaderValue, StatusCode,
    header::{ALLOW, WWW_AUTHENTICATE},
};
use std::fmt::Display;

/// A status and a message.
#[derive(Debug)]
pub(super) struct Problem {
    pub(super) status: StatusCode,
    pub(super) message: String,
    /// A header that the status calls for.
    pub(super) header: Option<(HeaderName, HeaderValue)>,
}

impl Problem {
    pub(super) fn new(status: StatusCode, message: impl Display) -> Self {
        Problem {
            status,
            message: message.to_string(),
            header: None,
        }
    }

    pub(super) fn bad_request(message: impl Display) -> Self {
        Problem::new(StatusCode::BAD_REQUEST, message)
    }

    pub(super) fn forbidden(message: impl Display) -> Self {
        Problem::new(StatusCode::FORBIDDEN, message)
    }

    pub(super) fn not_found(message: impl Display) -> Self {
        Problem::new(StatusCode::NOT_FOUND, message)
    }

    pub(super) fn unauthorized() -> Self {
        let mut problem = Problem::new(
            StatusCode::UNAUTHORIZED,
            "this request needs the header `authorization: Bearer TOKEN`",
        );
        let challenge = HeaderValue::from_static("Bearer realm=\"reagent admin\"");
        problem.header = Some((WWW_AUTHENTICATE, challenge));
        problem
    }

    pub(super) fn not_allowed(allowed: &'static str) -> Self {
        let message = format!("the method must be one of these: {allowed}");
        let mut problem = Problem::new(StatusCode::METHOD_NOT_ALLOWED, message);
        problem.header = Some((ALLOW, HeaderValue::from_static(allowed)));
        problem
    }
}
