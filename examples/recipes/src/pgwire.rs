//! The wire protocol of PostgreSQL: pgwire.

use async_trait::async_trait;
use futures_util::{SinkExt, StreamExt, stream};
use pgwire::{
    api::{
        ClientInfo, ClientPortalStore, DefaultClient, PgWireConnectionState, PgWireServerHandlers,
        Type,
        auth::{StartupHandler, noop::NoopStartupHandler},
        query::SimpleQueryHandler,
        results::{DataRowEncoder, FieldFormat, FieldInfo, QueryResponse, Response, Tag},
    },
    error::{ErrorInfo, PgWireResult},
    messages::{
        PgWireBackendMessage as Reply, PgWireFrontendMessage as Message,
        SslNegotiationMetaMessage as Negotiation,
        response::{GssEncResponse, SslResponse, TransactionStatus},
    },
    tokio::server::{PgWireMessageServerCodec, process_error, process_message},
};
use reagent::{Connection, Server, ServerHandle, handle};
use reagent_layers::timeout::TimeoutsLayer;
use std::sync::Arc;
use tokio_util::codec::Framed;

/// Starts a server that answers each query with a row: the client's address and the query. It knows
/// `BEGIN` and `COMMIT`.
///
/// # Errors
///
/// Returns the error of [`Server::start`].
pub async fn serve() -> Result<ServerHandle, reagent::Error> {
    Server::bind("127.0.0.1:0")
        .max_connections(10_000)
        .layer(TimeoutsLayer::new())
        .start(handle(postgres))
        .await
}

async fn postgres(conn: Connection) -> PgWireResult<()> {
    let peer = conn
        .peer_addr()
        .socket_addr()
        .expect("the listener is an IP socket");
    let client = DefaultClient::new(peer, conn.is_secure());
    let mut draining = conn.draining();
    let mut socket = Framed::new(conn, PgWireMessageServerCodec::new(client));
    loop {
        let is_idle = matches!(socket.transaction_status(), TransactionStatus::Idle);
        let message = tokio::select! {
            message = socket.next() => message.transpose()?,
            // A transaction is finished first.
            () = &mut draining, if is_idle => {
                let (severity, code) = ("FATAL".into(), "57P01".into()); // admin_shutdown
                let bye = ErrorInfo::new(severity, code, "the server is draining".into());
                return Ok(socket.send(Reply::ErrorResponse(bye.into())).await?);
            }
        };
        let message = match message {
            None | Some(Message::Terminate(_)) => return Ok(()),
            Some(Message::SslNegotiation(asked)) => {
                match asked {
                    Negotiation::PostgresSsl(_) => {
                        socket.send(Reply::SslResponse(SslResponse::Refuse)).await?
                    }
                    Negotiation::PostgresGss(_) => {
                        socket
                            .send(Reply::GssEncResponse(GssEncResponse::Refuse))
                            .await?
                    }
                    Negotiation::None => socket.set_state(PgWireConnectionState::AwaitingStartup),
                }
                continue;
            }
            Some(message) => message,
        };
        let is_extended = message.is_extended_query();
        let processed = process_message(
            message,
            &mut socket,
            Queries.startup_handler(),
            Queries.simple_query_handler(),
            Queries.extended_query_handler(),
            Queries.copy_handler(),
            Queries.cancel_handler(),
        );
        if let Err(error) = processed.await {
            let is_fatal = error.is_fatal();
            process_error(&mut socket, error, is_extended).await?;
            if is_fatal {
                return Ok(());
            }
        }
    }
}

/// What queries are answered with.
struct Queries;

impl NoopStartupHandler for Queries {}

impl PgWireServerHandlers for Queries {
    fn simple_query_handler(&self) -> Arc<impl SimpleQueryHandler> {
        Arc::new(Queries)
    }

    fn startup_handler(&self) -> Arc<impl StartupHandler> {
        Arc::new(Queries)
    }
}

#[async_trait]
impl SimpleQueryHandler for Queries {
    async fn do_query<C>(&self, client: &mut C, query: &str) -> PgWireResult<Vec<Response>>
    where
        C: ClientInfo + ClientPortalStore + Unpin + Send + Sync,
    {
        match query {
            "BEGIN" => return Ok(vec![Response::TransactionStart(Tag::new(query))]),
            "COMMIT" => return Ok(vec![Response::TransactionEnd(Tag::new(query))]),
            _ => {}
        }
        let column =
            |name: &str| FieldInfo::new(name.into(), None, None, Type::TEXT, FieldFormat::Text);
        let columns = Arc::new(vec![column("peer"), column("query")]);
        let mut row = DataRowEncoder::new(columns.clone());
        row.encode_field(&client.socket_addr().to_string())?;
        row.encode_field(&query)?;
        let rows = stream::iter([Ok(row.take_row())]);
        Ok(vec![Response::Query(QueryResponse::new(columns, rows))])
    }
}

#[cfg(test)]
mod tests {
    use super::serve;
    use crate::support;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio_postgres::{Config, NoTls, SimpleQueryMessage, error::SqlState};

    const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];

    #[tokio::test]
    async fn a_drain_waits_for_the_end_of_a_transaction() {
        let server = serve().await.unwrap();
        let (stream, _) = support::connect(&server).await;
        let connected = Config::new().user("ada").connect_raw(stream, NoTls).await;
        let (client, connection) = connected.unwrap();
        let connection = tokio::spawn(connection);
        client.batch_execute("BEGIN").await.unwrap();
        let handle = server.connection(1).unwrap();
        let transaction = async {
            handle.draining().await;
            client.simple_query("hello").await.unwrap();
            client.batch_execute("COMMIT").await.unwrap();
        };
        tokio::join!(support::drain(&server), transaction);
        let error = connection.await.unwrap().unwrap_err();
        assert_eq!(error.code(), Some(&SqlState::ADMIN_SHUTDOWN));
    }

    #[tokio::test]
    async fn a_drain_ends_an_idle_client_with_admin_shutdown() {
        let server = serve().await.unwrap();
        let (mut stream, addr) = support::connect(&server).await;
        // As psql begins.
        stream.write_all(&SSL_REQUEST).await.unwrap();
        assert_eq!(stream.read_u8().await.unwrap(), b'N');
        let connected = Config::new().user("ada").connect_raw(stream, NoTls).await;
        let (client, connection) = connected.unwrap();
        let connection = tokio::spawn(connection);
        let answer = client.simple_query("hello").await.unwrap();
        let Some(row) = answer.iter().find_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some(row),
            _ => None,
        }) else {
            panic!("expected a row, got {answer:?}");
        };
        assert_eq!(row.get("peer"), Some(addr.to_string().as_str()));
        assert_eq!(row.get("query"), Some("hello"));

        let ((), end) = tokio::join!(support::drain(&server), connection);
        let error = end.unwrap().unwrap_err();
        assert_eq!(error.code(), Some(&SqlState::ADMIN_SHUTDOWN));
    }
}
