//! Pressure: its sources, and what follows from it.

mod actions;
mod adaptive;
mod closing;
mod costs;
mod plant;
mod protocols;
mod sources;
mod tower_acc;

use reagent::{Connection, ServerHandle};
use reagent_layers::pressure::{SourceFn, source_fn};
use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

pub const SECOND: Duration = Duration::from_secs(1);

/// A pressure that a test sets.
#[derive(Clone, Debug, Default)]
pub struct Knob(Arc<AtomicU64>);

impl Knob {
    pub fn set(&self, value: f64) {
        self.0.store(value.to_bits(), SeqCst);
    }

    pub fn value(&self) -> f64 {
        f64::from_bits(self.0.load(SeqCst))
    }

    pub fn source(&self) -> SourceFn {
        let knob = self.clone();
        source_fn("knob", move || knob.value())
    }
}

/// Echoes bytes until the connection is asked to finish, and says that it is idle in between.
pub async fn echo(mut conn: Connection) -> io::Result<()> {
    let handle = conn.handle();
    let mut draining = conn.draining();
    loop {
        handle.set_busy(false);
        let byte = tokio::select! {
            byte = conn.read_u8() => byte?,
            () = &mut draining => return conn.shutdown().await,
        };
        handle.set_busy(true);
        conn.write_u8(byte).await?;
    }
}

/// Waits until as many connections are open.
pub async fn open(server: &ServerHandle, count: usize) {
    crate::support::until("connections are open", || {
        server.connection_count() == count
    })
    .await;
}
