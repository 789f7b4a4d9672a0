//! The settings of a connector.

use super::{
    resolve::{AnyResolve, System},
    socket::Options,
};
use std::{sync::Arc, time::Duration};

#[cfg(feature = "connect_tls")]
use super::tls::TlsClient;

/// What connections are made with.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) resolver: Arc<dyn AnyResolve>,
    pub(super) timeout: Duration,
    pub(super) attempt_timeout: Duration,
    pub(super) attempt_delay: Duration,
    pub(super) max_addresses: usize,
    pub(super) options: Options,
    #[cfg(feature = "connect_tls")]
    pub(super) tls: Option<TlsClient>,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            resolver: Arc::new(System::new()),
            timeout: Duration::from_secs(10),
            attempt_timeout: Duration::from_secs(5),
            attempt_delay: Duration::from_millis(250),
            max_addresses: 16,
            options: Options::default(),
            #[cfg(feature = "connect_tls")]
            tls: None,
        }
    }
}
