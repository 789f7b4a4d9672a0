//! State that survives a restart.

use crate::BoxError;
use std::sync::Arc;

/// State that a server hands over to its successor when it is restarted without losing a client.
///
/// Both processes pass the same kinds of state, each under its own name. The predecessor calls
/// [`save`](Self::save) once it has stopped accepting, and the successor calls
/// [`restore`](Self::restore) with these bytes before it accepts its first client. State whose name
/// the successor does not know is dropped, and a successor that finds no state under a name keeps
/// what it has.
///
/// Use it for what clients would miss and what cannot be read from elsewhere: keys, bans, counters.
/// It is not a database. A crash loses the state, and if the successor fails before it serves, the
/// predecessor goes on with its own copy.
///
/// # Format
///
/// The two processes are often different versions of a program, and a rollback starts the older
/// one. So begin with the version of the format, and keep reading the previous one.
///
/// Save durations and wall-clock times. An [`Instant`](std::time::Instant) has no meaning in
/// another process.
///
/// The bytes of a succession are limited to 16 MiB in total. Limit your own share, and leave out
/// what is worth the least.
///
/// # Secrets
///
/// The bytes are sent over a Unix socket that only the user of the server can open, and are never
/// written to a file. Any process of that user can ask for them. In most systems, such a process
/// could also read them from the memory of the server.
///
/// # Example
///
/// A counter that continues where the predecessor's stopped:
///
/// ```
/// use reagent::{BoxError, Carried};
/// use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
///
/// #[derive(Default)]
/// struct Visits(AtomicU64);
///
/// const VERSION: u8 = 1;
///
/// impl Carried for Visits {
///     fn name(&self) -> &str {
///         "visits"
///     }
///
///     fn save(&self) -> Vec<u8> {
///         let mut saved = vec![VERSION];
///         saved.extend(self.0.load(Relaxed).to_be_bytes());
///         saved
///     }
///
///     fn restore(&self, saved: &[u8]) -> Result<(), BoxError> {
///         match saved.split_first() {
///             Some((&VERSION, count)) => {
///                 self.0.fetch_add(u64::from_be_bytes(count.try_into()?), Relaxed);
///                 Ok(())
///             }
///             // Saved by a later version of this program, before a rollback.
///             _ => Ok(()),
///         }
///     }
/// }
///
/// let (old, new) = (Visits::default(), Visits::default());
/// old.0.store(41, Relaxed);
/// new.restore(&old.save())?;
/// assert_eq!(new.0.load(Relaxed), 41);
/// assert!(new.restore(&[VERSION, 0]).is_err());
/// # Ok::<(), BoxError>(())
/// ```
///
/// Handlers usually share such state in an [`Arc`], which implements this trait too.
pub trait Carried: Send + Sync + 'static {
    /// Returns the name under which the state is handed over. It is unique within a server, and the
    /// same in every version of the program.
    fn name(&self) -> &str;

    /// Returns the state as it is now.
    ///
    /// Nobody accepts connections until this returns, so it must be quick. Connections that are
    /// open may still change the state afterwards, and the successor does not learn of that.
    fn save(&self) -> Vec<u8>;

    /// Takes over a state that another process has saved, possibly one with another version of the
    /// program.
    ///
    /// # Errors
    ///
    /// An error ends the restart: the successor does not start, and the predecessor goes on
    /// serving. If the server can also do without the state, ignore a version that you cannot read,
    /// and return `Ok(())`. On an error, leave the present state unchanged.
    fn restore(&self, saved: &[u8]) -> Result<(), BoxError>;
}

impl<T: Carried + ?Sized> Carried for Arc<T> {
    fn name(&self) -> &str {
        (**self).name()
    }

    fn save(&self) -> Vec<u8> {
        (**self).save()
    }

    fn restore(&self, saved: &[u8]) -> Result<(), BoxError> {
        (**self).restore(saved)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    struct Text(Mutex<Vec<u8>>);

    impl Carried for Text {
        fn name(&self) -> &str {
            "text"
        }

        fn save(&self) -> Vec<u8> {
            self.0.lock().unwrap().clone()
        }

        fn restore(&self, saved: &[u8]) -> Result<(), BoxError> {
            *self.0.lock().unwrap() = std::str::from_utf8(saved)?.into();
            Ok(())
        }
    }

    #[test]
    fn state_is_carried_through_an_arc() {
        let shared = Arc::new(Text(Mutex::default()));
        let carried: Arc<dyn Carried> = Arc::new(shared.clone());
        assert_eq!(carried.name(), "text");
        carried.restore(b"kept").unwrap();
        assert!(carried.restore(&[0xff]).is_err());
        assert_eq!(
            (shared.save(), carried.save()),
            (b"kept".to_vec(), b"kept".to_vec())
        );
    }
}
