//! A batch that is under way.

use super::{
    ledger::Ledger,
    store::{Answer, Batch, Store},
};
use futures_util::FutureExt;
use reagent::BoxError;
use std::{
    future::Future, net::IpAddr, panic::AssertUnwindSafe, pin::Pin, sync::Arc, time::Duration,
};
use tokio::time::{Instant, timeout};

pub(super) type Flying = Pin<Box<dyn Future<Output = Landed> + Send>>;

/// A batch, and to whom its answer goes.
pub(super) struct Flight {
    pub(super) batch: Batch,
    /// The client of each claim.
    pub(super) clients: Vec<IpAddr>,
    /// `None` if the batch has no claims.
    pub(super) ledger: Option<Arc<dyn Ledger>>,
    pub(super) sent: Instant,
}

/// A batch that was answered or has failed.
pub(super) struct Landed {
    pub(super) flight: Flight,
    pub(super) answer: Result<Answer, BoxError>,
}

impl Flight {
    /// Sends the batch. It has failed if it is not answered within `late`.
    pub(super) fn fly(self, store: Arc<dyn Store>, late: Duration) -> Flying {
        Box::pin(async move {
            // The store is foreign code. After a panic it is asked again, as after any failure.
            let claimed = AssertUnwindSafe(async { store.claim(&self.batch).await });
            let answer = match timeout(late, claimed.catch_unwind()).await {
                Ok(Err(_)) => Err("the store has panicked".into()),
                Ok(Ok(Ok(answer))) if answer.granted.len() != self.clients.len() => {
                    Err("the store did not answer all claims".into())
                }
                Ok(Ok(answer)) => answer,
                Err(_) => Err(format!("the store did not answer within {late:?}").into()),
            };
            Landed {
                flight: self,
                answer,
            }
        })
    }

    /// Passes on what was granted for each claim, or that it is unknown.
    pub(super) fn settle(self, granted: Option<&[Option<u32>]>) {
        let Some(ledger) = self.ledger else { return };
        for (at, (client, claim)) in self.clients.into_iter().zip(&self.batch.claims).enumerate() {
            let granted = granted.and_then(|granted| granted[at]);
            // A store that grants more than was asked for would be asked to take it back, again and
            // again.
            let granted = granted.map(|granted| granted.min(claim.most()));
            ledger.clone().settle(client, self.sent, granted);
        }
    }
}
