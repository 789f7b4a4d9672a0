//! Notifications for a service manager that understands `sd_notify(3)`, such as systemd with
//! `Type=notify-reload`. Without the environment variable `NOTIFY_SOCKET`, nothing is sent.

use reagent::{ServerHandle, ServerStatus};
use sd_notify::NotifyState;

/// Tells the service manager about the state of the gateway.
#[derive(Debug, Default)]
pub struct Notifier {
    status: String,
    is_stopping: bool,
}

impl Notifier {
    /// The gateway is listening. Its process is named, because it may have taken over from another.
    pub fn ready(&self) {
        notify(&[NotifyState::Ready, NotifyState::MainPid(std::process::id())]);
    }

    /// A reload has begun. It ends with [`ready`](Self::ready), even if it fails.
    pub fn reloading(&self) {
        match NotifyState::monotonic_usec_now() {
            Ok(now) => notify(&[NotifyState::Reloading, now]),
            Err(error) => tracing::warn!(%error, "the clock cannot be read"),
        }
    }

    /// A drain has begun.
    pub fn stopping(&mut self) {
        self.is_stopping = true;
        notify(&[NotifyState::Stopping]);
    }

    /// Shows the number of connections, if it has changed. A server that has handed over drains,
    /// and leaves this to its successor.
    pub fn counts(&mut self, server: &ServerHandle) {
        let stats = server.stats();
        let has_successor = !self.is_stopping && stats.status == ServerStatus::Draining;
        if std::env::var_os("NOTIFY_SOCKET").is_none() || has_successor {
            return;
        }
        let status = format!(
            "{} connections open, {} accepted",
            stats.open, stats.accepted
        );
        if status != self.status {
            notify(&[NotifyState::Status(&status)]);
            self.status = status;
        }
    }
}

fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "the service manager was not notified");
    }
}
