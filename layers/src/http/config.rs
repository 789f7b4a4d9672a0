//! The settings of an `HttpLayer`.

use super::{LAYER, StreamExecutor, stall::StallLimits, version::Version};
use crate::{DryRun, dry_run::Trial, time::FAR};
use http::Extensions;
use hyper::server::conn::{http1, http2};
use reagent::{ConnectionHandle, ConnectionParts};
use std::{sync::Arc, time::Duration};

/// hyper's own limit for a head, and that of `TimeoutsLayer` for the first byte.
const HEADER: Duration = Duration::from_secs(30);

/// nginx's `keepalive_timeout`.
const KEEP_ALIVE: Duration = Duration::from_secs(75);

/// nginx's `client_body_timeout` and `send_timeout`: also between two reads or writes.
const STREAM_IDLE: Duration = Duration::from_secs(60);

/// The value of HAProxy's manual in the examples of `timeout tunnel`. A silent WebSocket is not at
/// fault, and TCP keepalive finds clients that are gone.
const UPGRADED_IDLE: Duration = Duration::from_secs(3600);

/// The bytes that h2 buffers of a stream's answer, beside one piece: the default size of a window
/// in the protocol.
const SEND_BUFFER: usize = 64 * 1024;

/// The total of nginx's `large_client_header_buffers`.
const HEADER_BYTES: u32 = 32 * 1024;

/// hyper's default. RFC 9113, section 5.1.2, recommends no fewer than 100.
const CONCURRENT_STREAMS: u32 = 200;

/// The streams that a client may reset before the service has seen them: h2's own limit against
/// rapid resets (CVE-2023-44487).
const PENDING_RESETS: usize = 20;

/// The streams that may be reset for errors of the client: hyper's own limit (RUSTSEC-2024-0003).
const LOCAL_RESETS: usize = 1024;

/// The interval of pings to HTTP/2 clients, and the time to answer one.
const PING: Duration = Duration::from_secs(60);
const PONG: Duration = Duration::from_secs(20);

type Http2Options = dyn Fn(&mut http2::Builder<StreamExecutor>) + Send + Sync;
type AddExtensions = dyn Fn(&ConnectionParts, &mut Extensions) + Send + Sync;

#[derive(Clone)]
pub(super) struct Config {
    pub(super) version: Version,
    pub(super) first_byte: Option<Duration>,
    pub(super) header: Option<Duration>,
    pub(super) keep_alive: Option<Duration>,
    pub(super) stalls: StallLimits,
    /// `None` unless set, so that connections need no handle to it.
    pub(super) dry_run: Option<DryRun>,
    pub(super) http1: http1::Builder,
    pub(super) http2: Vec<Arc<Http2Options>>,
    pub(super) parallel_streams: bool,
    pub(super) extensions: Vec<Arc<AddExtensions>>,
}

impl Default for Config {
    fn default() -> Self {
        let mut http1 = http1::Builder::new();
        // This layer has its own time limits.
        http1
            .max_header_size(HEADER_BYTES as usize)
            .header_read_timeout(None);
        Config {
            version: Version::Any,
            first_byte: Some(HEADER),
            header: Some(HEADER),
            keep_alive: Some(KEEP_ALIVE),
            stalls: StallLimits {
                stream: Some(STREAM_IDLE),
                upgraded: Some(UPGRADED_IDLE),
            },
            dry_run: None,
            http1,
            http2: Vec::new(),
            parallel_streams: false,
            extensions: Vec::new(),
        }
    }
}

impl Config {
    /// Returns the shortest time after which something that begins now can exceed a limit.
    pub(super) fn shortest(&self) -> Duration {
        [
            self.header,
            self.keep_alive,
            self.stalls.stream,
            self.stalls.upgraded,
        ]
        .into_iter()
        .flatten()
        .fold(FAR, Duration::min)
    }

    /// Returns the dry run of the limits of a connection, if there may be one.
    pub(super) fn trial(&self, connection: &ConnectionHandle) -> Option<Trial> {
        self.dry_run.as_ref().map(|dry_run| Trial {
            dry_run: dry_run.clone(),
            connection: connection.clone(),
            layer: LAYER,
        })
    }

    pub(super) fn configure_http2(&self, builder: &mut http2::Builder<StreamExecutor>) {
        builder
            .max_header_list_size(HEADER_BYTES)
            .max_concurrent_streams(CONCURRENT_STREAMS)
            .max_send_buf_size(SEND_BUFFER)
            .max_pending_accept_reset_streams(PENDING_RESETS)
            .max_local_error_reset_streams(LOCAL_RESETS)
            .keep_alive_interval(PING)
            .keep_alive_timeout(PONG)
            // WebSockets over HTTP/2 (RFC 8441).
            .enable_connect_protocol();
        for option in &self.http2 {
            option(builder);
        }
    }
}
