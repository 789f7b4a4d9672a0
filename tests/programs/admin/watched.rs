//! A server and its admin page.

use reagent::{Connection, Server, ServerHandle};
use reagent_layers::{
    access::{Access, AccessLayer, Bans, Rules},
    admin::{Admin, Certificate},
    http::HttpLayer,
    limit::{PerClient, PerClientLayer},
    top::TopClients,
};
use std::{
    io,
    time::{Duration, SystemTime},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// A server name such as a hostile client might send.
pub const HOSTILE: &str = "<img src=x onerror='document.title=1'>";

async fn echo(mut conn: Connection) -> io::Result<()> {
    conn.label("server.address", HOSTILE);
    let mut buf = [0; 16 * 1024];
    loop {
        match conn.read(&mut buf).await? {
            0 => return Ok(()),
            n => conn.write_all(&buf[..n]).await?,
        }
    }
}

/// A server, and its admin page on another one.
pub struct Watched {
    pub server: ServerHandle,
    pub page: ServerHandle,
    pub per_client: PerClient,
    pub bans: Bans,
}

impl Watched {
    pub async fn start(admin: Admin) -> Self {
        let per_client = PerClient::new(2000);
        let bans = Bans::new();
        let top = TopClients::new();
        let server = Server::bind("127.0.0.1:0")
            .max_connections(5000)
            .observe(top.clone())
            .layer(AccessLayer::new(
                Access::new(Rules::new()).with_bans(bans.clone()),
            ))
            .layer(PerClientLayer::new(per_client.clone()))
            .start(reagent::handle(echo))
            .await
            .unwrap();
        let day = Duration::from_secs(24 * 3600);
        let certificate = move |name: Option<&str>, days| Certificate {
            name: name.map(str::to_owned),
            not_after: Some(SystemTime::now() + day * days),
        };
        let admin = admin.bans(bans.clone()).top(top).certificates(move || {
            vec![
                certificate(None, 80),
                certificate(Some("db.example.org"), 9),
            ]
        });
        let (get, set) = (per_client.clone(), per_client.clone());
        admin.set_limit(
            "per-client",
            "connections",
            move || u64::try_from(get.max()).ok(),
            move |max| {
                set.set_max(usize::try_from(max.ok_or("this limit cannot be lifted")?)?);
                Ok(())
            },
        );
        let page = Server::bind("127.0.0.1:0")
            .layer(HttpLayer::new())
            .start(admin.clone())
            .await
            .unwrap();
        admin.check_addr(page.local_addr()).unwrap();
        admin.attach(&server);
        Watched {
            server,
            page,
            per_client,
            bans,
        }
    }

    pub fn url(&self) -> String {
        format!("http://{}/", self.page.local_addr())
    }

    pub async fn connect(&self) -> TcpStream {
        let addr = self.server.local_addr().socket_addr().unwrap();
        TcpStream::connect(addr).await.unwrap()
    }

    pub async fn stop(self) {
        self.page.drain(Duration::ZERO).await;
        self.server.drain(Duration::ZERO).await;
    }
}
