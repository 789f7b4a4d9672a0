//! A batch that is under way.

use super::{
    ledger::Ledger,
    store::{Answer, Batch, Store},
};
use reagent::BoxError;
use std::{future::Future, net::IpAddr, pin::Pin, sync::Arc, time::Duration};
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
            let answer = match timeout(late, store.claim(&self.batch)).await {
                Ok(Ok(answer)) if answer.granted.len() != self.clients.len() => {
                    Err("the store did not answer all claims".into())
                }
                Ok(answer) => answer,
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
        for (at, client) in self.clients.into_iter().enumerate() {
            let granted = granted.and_then(|granted| granted[at]);
            ledger.clone().settle(client, self.sent, granted);
        }
    }
}
