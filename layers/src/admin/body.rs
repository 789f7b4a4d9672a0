//! The bodies of requests.

use super::Problem;
use bytes::Bytes;
use http::StatusCode;
use http_body::Body;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use reagent::BoxError;
use serde::de::DeserializeOwned;
use std::time::Duration;
use tokio::time::timeout;

/// The longest body that is read, in bytes.
const LONGEST: usize = 4096;

/// How long a client may take to send a body.
const TIME: Duration = Duration::from_secs(10);

pub(super) async fn read<B>(body: B) -> Result<Bytes, Problem>
where
    B: Body,
    B::Error: Into<BoxError>,
{
    let read = timeout(TIME, Limited::new(body, LONGEST).collect()).await;
    let too_slow = |_| Problem::new(StatusCode::REQUEST_TIMEOUT, "the body came too slowly");
    match read.map_err(too_slow)? {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("the body is longer than {LONGEST} bytes"),
        )),
        Err(error) => Err(Problem::bad_request(format!(
            "could not read the body: {error}"
        ))),
    }
}

pub(super) fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    // An array would be taken for the fields of an object.
    if body.trim_ascii_start().first() != Some(&b'{') {
        return Err(Problem::bad_request("invalid body: expected a JSON object"));
    }
    serde_json::from_slice(body)
        .map_err(|error| Problem::bad_request(format!("invalid body: {error}")))
}
