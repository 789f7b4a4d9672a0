//! The header that describes a connection of this server.

use super::{Addresses, Command, Header, ProxyInfo, Tlv, Version};
use reagent::{Addr, Connection};
use std::{
    hash::{BuildHasher, RandomState},
    sync::LazyLock,
};

impl Header {
    /// Creates a header of version 2 that describes a connection of this server, for a proxy that
    /// passes it on.
    ///
    /// The addresses are [`peer_addr`](Connection::peer_addr) and
    /// [`local_addr`](Connection::local_addr), which are those of a received header if there was
    /// one. The TLVs are:
    ///
    /// | TLV | value |
    /// |---|---|
    /// | `Ssl` | after TLS: version, cipher suite under its OpenSSL name, the common name of a client certificate, and the signature and key algorithms of the certificate of this server |
    /// | `Alpn`, `Authority` | after TLS: the negotiated protocol and the server name (SNI) |
    /// | `UniqueId` | that of a received header, or 32 hexadecimal digits, the same for each call on this connection |
    ///
    /// The other TLVs of a received header are not passed on: this server vouches only for what it
    /// knows itself. To pass one on, add it with [`tlv`](Self::tlv). For a header of version 1, use
    /// [`into_v1`](Self::into_v1).
    ///
    /// # Example
    ///
    /// ```
    /// use reagent::{BoxError, Connection, Server};
    /// use reagent_layers::proxy_protocol::Header;
    /// use tokio::{io::{AsyncReadExt, AsyncWriteExt}, net::TcpStream};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), BoxError> {
    /// let server = Server::bind("127.0.0.1:0")
    ///     .start(reagent::handle(|mut conn: Connection| async move {
    ///         // A proxy would send it to its upstream.
    ///         let header = Header::of(&conn).into_v1().encode()?;
    ///         Ok::<_, BoxError>(conn.write_all(&header).await?)
    ///     }))
    ///     .await?;
    ///
    /// let mut client = TcpStream::connect(server.local_addr().to_string()).await?;
    /// let mut header = String::new();
    /// client.read_to_string(&mut header).await?;
    /// assert!(header.starts_with("PROXY TCP4 127.0.0.1 127.0.0.1 "), "{header}");
    /// # Ok(())
    /// # }
    /// ```
    pub fn of<Io>(conn: &Connection<Io>) -> Self {
        let header = match conn.local_addr() {
            Ok(local) => Header::v2(conn.peer_addr().clone(), local),
            Err(_) => Header::v2_unknown(),
        };
        #[cfg(feature = "tls_no_provider")]
        let header = match conn.extensions().get::<crate::tls::TlsInfo>() {
            Some(tls) => super::of_tls::describe(header, tls),
            None => header,
        };
        let received = conn.extensions().get::<ProxyInfo>();
        let received = received.and_then(|received| received.unique_id());
        let id = received.map_or_else(|| unique_id(conn).into_bytes(), <[u8]>::to_vec);
        header.tlv(Tlv::UniqueId(id))
    }

    /// Converts to version 1, which has only the addresses. A header without IP addresses becomes
    /// `UNKNOWN`.
    pub fn into_v1(self) -> Self {
        let addresses = match self.addresses() {
            addresses @ Addresses::Ip { .. } => addresses.clone(),
            _ => Addresses::Unknown,
        };
        Header::new(Version::V1, Command::Proxy, addresses)
    }
}

/// Returns an ID of the connection that no other one has, in this process or another.
fn unique_id<Io>(conn: &Connection<Io>) -> String {
    // Their random keys differ between processes.
    static HALVES: LazyLock<[RandomState; 2]> = LazyLock::new(Default::default);
    let handle = conn.handle();
    let listener: &Addr = conn.listener_addr();
    let [high, low] = HALVES
        .each_ref()
        .map(|half| half.hash_one((handle.id(), handle.accepted_at(), listener)));
    format!("{high:016x}{low:016x}")
}
