//! Routing by the server names that TLS clients ask for.

use crate::{net::names::Names, sniff::Sniffed};
use reagent::Connection;
use std::{error::Error, fmt};

/// Matches TLS clients that ask for one of `names` (SNI, RFC 6066), as detected by a
/// [`SniffLayer`](crate::sniff::SniffLayer) further out.
///
/// The wildcard `*.example.org` matches exactly one label: `a.example.org`, but not `example.org`
/// or `a.b.example.org`. Routes are checked in order, so add the route of an exact name before the
/// route of a wildcard that matches it too. The cost of a lookup does not depend on the number of
/// names.
///
/// # Errors
///
/// Returns [`InvalidServerName`] for the first of `names` that is neither a host name nor `*.`
/// followed by a host name.
///
/// # Example
///
/// ```
/// use reagent::{Connection, Server, testing::MemoryListener};
/// use reagent_layers::{route::{Router, server_name}, sniff::SniffLayer};
/// use std::io;
/// use tokio::io::{AsyncReadExt, AsyncWriteExt};
///
/// async fn exact(mut conn: Connection) -> io::Result<()> {
///     conn.write_all(b"exact").await
/// }
///
/// async fn wildcard(mut conn: Connection) -> io::Result<()> {
///     conn.write_all(b"wildcard").await
/// }
///
/// # /// A ClientHello that asks for `name`.
/// # fn client_hello(name: &str) -> Vec<u8> {
/// #     fn block(bytes: &[u8]) -> Vec<u8> {
/// #         [&u16::try_from(bytes.len()).unwrap().to_be_bytes(), bytes].concat()
/// #     }
/// #     let names = block(&[&[0], &block(name.as_bytes())[..]].concat());
/// #     let extensions = block(&[&[0, 0], &block(&names)[..]].concat());
/// #     let body = [&[3, 3], &[7; 32][..], &[0, 0, 2, 0x13, 1, 1, 0], &extensions].concat();
/// #     let message = [&[1, 0], &block(&body)[..]].concat();
/// #     [&[22, 3, 1], &block(&message)[..]].concat()
/// # }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), reagent::BoxError> {
/// let router = Router::new()
///     .route(server_name(["example.org", "www.example.org"])?, reagent::handle(exact))
///     .route(server_name(["*.example.org"])?, reagent::handle(wildcard));
/// let (listener, clients) = MemoryListener::new();
/// let server = Server::new(listener).layer(SniffLayer::new()).start(router).await?;
///
/// for (name, expected) in [
///     ("www.example.org", "exact"),
///     ("mail.example.org", "wildcard"),
///     ("example.net", ""),
/// ] {
///     let mut client = clients.connect().await?;
///     client.write_all(&client_hello(name)).await?;
///     let mut answer = String::new();
///     client.read_to_string(&mut answer).await?;
///     assert_eq!(answer, expected);
/// }
/// # Ok(())
/// # }
/// ```
pub fn server_name<Io: 'static>(
    names: impl IntoIterator<Item: AsRef<str>>,
) -> Result<impl Fn(&Connection<Io>) -> bool + Clone + Send + Sync + 'static, InvalidServerName> {
    let mut known = Names::default();
    for name in names {
        let name = name.as_ref();
        known.insert(name, ()).map_err(|_| InvalidServerName {
            name: name.to_owned(),
        })?;
    }
    Ok(move |conn: &Connection<Io>| {
        let sniffed = conn.extensions().get::<Sniffed>();
        let name = sniffed.and_then(Sniffed::server_name);
        name.is_some_and(|name| known.get(name).is_some())
    })
}

/// The error of a text that is not a valid server name.
#[derive(Clone, PartialEq, Eq)]
pub struct InvalidServerName {
    name: String,
}

impl InvalidServerName {
    /// Returns the text as it was passed.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl fmt::Display for InvalidServerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "invalid server name {:?}: expected a host name such as example.org or *.example.org",
            self.name
        )
    }
}

/// Prints the message, since that is what the user of a program sees when `main` returns the error.
impl fmt::Debug for InvalidServerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Error for InvalidServerName {}
