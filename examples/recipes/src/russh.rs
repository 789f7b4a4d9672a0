//! SSH: russh.

use reagent::{Addr, Connection, Server, ServerHandle, handle};
use reagent_layers::timeout::TimeoutsLayer;
use russh::{
    Channel, ChannelId, Disconnect, Error,
    keys::PrivateKey,
    server::{self, Auth, ChannelOpenHandle, Config, Msg, Session, run_stream},
};
use std::sync::Arc;

/// Starts a server that answers each command with the client's address and the command.
///
/// # Errors
///
/// Returns the error of [`Server::start`].
pub async fn serve(host_key: PrivateKey) -> Result<ServerHandle, reagent::Error> {
    let config = Arc::new(Config {
        keys: vec![host_key],
        ..Config::default()
    });
    Server::bind("127.0.0.1:0")
        .max_connections(10_000)
        .layer(TimeoutsLayer::new())
        .start(handle(move |conn| ssh(conn, config.clone())))
        .await
}

async fn ssh(conn: Connection, config: Arc<Config>) -> Result<(), Error> {
    let shell = Shell(conn.peer_addr().clone());
    let mut draining = conn.draining();
    let mut session = tokio::select! {
        session = run_stream(config, conn, shell) => session?,
        () = &mut draining => return Ok(()),
    };
    tokio::select! {
        ended = &mut session => return ended,
        () = draining => {}
    }
    let (reason, text) = (Disconnect::ByApplication, "the server is draining");
    let _ = session
        .handle()
        .disconnect(reason, text.into(), "en".into())
        .await;
    session.await
}

/// What a session does with its client.
struct Shell(Addr);

impl server::Handler for Shell {
    type Error = Error;

    async fn auth_none(&mut self, _: &str) -> Result<Auth, Error> {
        Ok(Auth::Accept)
    }

    async fn channel_open_session(
        &mut self,
        _: Channel<Msg>,
        reply: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Error> {
        reply.accept().await;
        Ok(())
    }

    async fn exec_request(
        &mut self,
        channel: ChannelId,
        command: &[u8],
        session: &mut Session,
    ) -> Result<(), Error> {
        let command = String::from_utf8_lossy(command);
        session.channel_success(channel)?;
        session.data(channel, format!("{}: {command}", self.0))?;
        session.eof(channel)?;
        session.close(channel)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::support;
    use reagent::OutcomeKind;
    use russh::{
        ChannelMsg,
        client::{self, DisconnectReason},
        keys::{PublicKeyOrCertificate, ssh_key::private::Ed25519Keypair},
    };
    use std::time::Duration;
    use tokio::{sync::oneshot, time::timeout};

    fn host_key() -> PrivateKey {
        PrivateKey::from(Ed25519Keypair::from_seed(&[7; 32]))
    }

    /// Sends on the reason of the disconnect.
    struct Client(Option<oneshot::Sender<Disconnect>>);

    impl client::Handler for Client {
        type Error = Error;

        async fn check_server_key(&mut self, _: &PublicKeyOrCertificate) -> Result<bool, Error> {
            Ok(true)
        }

        async fn disconnected(&mut self, reason: DisconnectReason<Error>) -> Result<(), Error> {
            match reason {
                DisconnectReason::ReceivedDisconnect(info) => {
                    let _ = self.0.take().unwrap().send(info.reason_code);
                    Ok(())
                }
                DisconnectReason::Error(error) => Err(error),
            }
        }
    }

    #[tokio::test]
    async fn a_drain_disconnects_an_idle_client() {
        let server = serve(host_key()).await.unwrap();
        let (stream, addr) = support::connect(&server).await;
        let (told, reason) = oneshot::channel();
        let client = client::connect_stream(Arc::default(), stream, Client(Some(told)));
        let mut client = client.await.unwrap();
        assert!(client.authenticate_none("ada").await.unwrap().success());

        let mut channel = client.channel_open_session().await.unwrap();
        channel.exec(true, "hello").await.unwrap();
        let mut answer = Vec::new();
        while let Some(message) = channel.wait().await {
            if let ChannelMsg::Data { data } = message {
                answer.extend_from_slice(&data);
            }
        }
        assert_eq!(answer, format!("{addr}: hello").into_bytes());

        let ((), reason) = tokio::join!(support::drain(&server), reason);
        assert!(matches!(reason, Ok(Disconnect::ByApplication)));
    }

    #[tokio::test]
    async fn a_drain_does_not_wait_for_a_silent_client() {
        let server = serve(host_key()).await.unwrap();
        let _silent = support::connect(&server).await;
        support::drain(&server).await;
    }

    #[tokio::test]
    async fn an_idle_session_is_ended_by_the_timeouts_layer() {
        let config = Arc::new(Config {
            keys: vec![host_key()],
            ..Config::default()
        });
        let server = Server::bind("127.0.0.1:0")
            .layer(TimeoutsLayer::new().idle(Duration::from_secs(1)))
            .start(handle(move |conn| ssh(conn, config.clone())))
            .await
            .unwrap();
        let (stream, _) = support::connect(&server).await;
        let (told, _) = oneshot::channel();
        let client = client::connect_stream(Arc::default(), stream, Client(Some(told)));
        let _client = client.await;
        let handle = server.connection(1).unwrap();
        let outcome = timeout(Duration::from_secs(30), handle.closed()).await;
        assert_eq!(outcome.unwrap().kind(), OutcomeKind::TimedOut);
    }
}
