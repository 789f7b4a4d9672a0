//! An error and its sources as one line.

use std::{error::Error, fmt, iter};

/// Displays an error followed by its sources, as `message: source: source of the source`.
///
/// Errors of this library do not repeat their source in their message. Use this to log or print
/// them. The message of a source is left out if the message before it already ends with it, as with
/// libraries that repeat their sources.
///
/// # Example
///
/// ```
/// use reagent::{Connection, ErrorChain, Server};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// // No interface of this machine has an address of the documentation's network.
/// let server = Server::bind("192.0.2.1:80");
/// let error = server
///     .start(reagent::handle(async |_: Connection| std::io::Result::Ok(())))
///     .await
///     .unwrap_err();
/// println!("{}", ErrorChain(&error));
/// assert!(ErrorChain(&error).to_string().starts_with(&error.to_string()));
/// assert!(ErrorChain(&error).to_string().contains("os error"));
/// # }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct ErrorChain<'a>(pub &'a (dyn Error + 'static));

impl fmt::Display for ErrorChain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut before = self.0.to_string();
        f.write_str(&before)?;
        for source in iter::successors(self.0.source(), |&error| error.source()) {
            let message = source.to_string();
            if !before.ends_with(&message) {
                write!(f, ": {message}")?;
                before = message;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Layered(&'static str, Option<Box<Layered>>);

    impl fmt::Display for Layered {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }
    }

    impl Error for Layered {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            self.1.as_deref().map(|source| source as _)
        }
    }

    #[test]
    fn what_a_message_repeats_is_printed_once() {
        let error = |message, source| Layered(message, Some(Box::new(source)));
        let last = || Layered("broken pipe", None);
        let plain = error("cannot serve", error("cannot write", last()));
        let repeats = error(
            "cannot serve: cannot write: broken pipe",
            error("cannot write: broken pipe", last()),
        );
        for error in [plain, repeats] {
            assert_eq!(
                ErrorChain(&error).to_string(),
                "cannot serve: cannot write: broken pipe"
            );
        }
    }
}
