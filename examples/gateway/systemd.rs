//! Notifications for a service manager that understands `sd_notify(3)`, such as systemd with
//! `Type=notify-reload`. Without the environment variable `NOTIFY_SOCKET`, nothing is sent.

use reagent::{Observer, ServerHandle, ServerStatus, event};
use sd_notify::NotifyState;
use std::{
    sync::{
        LazyLock,
        mpsc::{SyncSender, sync_channel},
    },
    thread,
    time::Duration,
};

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

/// Names the successor as the main process. It does so itself once it is ready, but a manager that
/// sees the predecessor end before that would take the service for dead.
pub struct MainProcess;

impl Observer for MainProcess {
    fn handed_over(&self, event: &event::HandedOver) {
        if let Some(process) = event.process {
            notify(&[NotifyState::MainPid(process)]);
        }
    }
}

enum Message {
    Text(String),
    /// Dropped once everything before it has been sent.
    Mark {
        _done: SyncSender<()>,
    },
}

/// The messages of a thread that sends them, since a service manager that does not read must not
/// hold up the gateway.
static MESSAGES: LazyLock<SyncSender<Message>> = LazyLock::new(|| {
    let (sender, messages) = sync_channel(WAITING);
    thread::spawn(move || {
        for message in messages {
            let Message::Text(text) = message else {
                continue;
            };
            if let Err(error) = sd_notify::notify(&[NotifyState::Custom(&text)]) {
                tracing::warn!(%error, "the service manager was not notified");
            }
        }
    });
    sender
});

/// Waits until the service manager has got every message, if it reads.
pub fn flush() {
    if std::env::var_os("NOTIFY_SOCKET").is_none() {
        return;
    }
    let (done, sent) = sync_channel(0);
    if MESSAGES.try_send(Message::Mark { _done: done }).is_ok() {
        let _ = sent.recv_timeout(PATIENCE);
    }
}

/// How long the service manager may take for the last messages.
const PATIENCE: Duration = Duration::from_secs(1);

/// How many messages may wait for the service manager.
const WAITING: usize = 64;

fn notify(states: &[NotifyState<'_>]) {
    if std::env::var_os("NOTIFY_SOCKET").is_none() {
        return;
    }
    let lines: Vec<_> = states.iter().map(ToString::to_string).collect();
    let text = Message::Text(lines.join("\n"));
    if MESSAGES.try_send(text).is_err() {
        tracing::warn!("the service manager was not notified, since it does not read");
    }
}
