//! Transactions: `MULTI`, and what comes of it.

use super::{
    commands::{Commands, Result},
    resp::{Reply, Request},
};

/// What a client has queued since it said `MULTI`.
#[derive(Debug, Default)]
pub struct Transaction {
    requests: Vec<Request>,
    /// One of them was refused, so none is to be run.
    is_spoiled: bool,
}

impl Commands {
    /// Queues a command of a transaction; `None` where there is none or the command ends it.
    pub(super) fn queue(&mut self, name: &[u8], request: &Request) -> Option<Result> {
        let transaction = self.transaction.as_mut()?;
        match name {
            b"EXEC" | b"QUIT" | b"RESET" => None,
            b"DISCARD" => {
                self.transaction = None;
                Some(Ok(Reply::Ok))
            }
            b"MULTI" => Some(Err(Reply::error("ERR MULTI calls can not be nested"))),
            // Their confirmations are pushed, and so cannot stand among the replies.
            b"SUBSCRIBE" | b"PSUBSCRIBE" | b"UNSUBSCRIBE" | b"PUNSUBSCRIBE" => {
                transaction.is_spoiled = true;
                Some(Err(Reply::error(
                    "ERR Command not allowed inside a transaction",
                )))
            }
            _ => {
                transaction.requests.push(request.clone());
                Some(Ok(Reply::Simple("QUEUED")))
            }
        }
    }

    /// Hands on the error of a command, after which a transaction is not run.
    pub(super) fn spoiled(&mut self, error: Reply) -> Reply {
        if let Some(transaction) = &mut self.transaction {
            transaction.is_spoiled = true;
        }
        error
    }

    pub(super) fn exec(&mut self) -> Result {
        let Some(transaction) = self.transaction.take() else {
            return Err(Reply::error("ERR EXEC without MULTI"));
        };
        if transaction.is_spoiled {
            return Err(Reply::error(
                "EXECABORT Transaction discarded because of previous errors.",
            ));
        }
        let server = self.server.clone();
        let _alone = server.transaction.write();
        let replies = transaction.requests.iter().map(|request| {
            let name = request.arg(0).to_ascii_uppercase();
            self.run_one(&name, request).unwrap_or_else(|error| error)
        });
        Ok(Reply::Array(replies.collect()))
    }
}
