//! Levels that are chosen at run time, although `tracing` expects them at compile time.

/// `at_level!(level, event!(target: T,) (fields, "message"))` invokes the macro with `level`
/// inserted after the contents of its first parentheses.
macro_rules! at_level {
    ($level:expr, $what:ident!($($before:tt)*) ($($after:tt)*)) => {
        match $level {
            tracing::Level::ERROR => tracing::$what!($($before)* tracing::Level::ERROR, $($after)*),
            tracing::Level::WARN => tracing::$what!($($before)* tracing::Level::WARN, $($after)*),
            tracing::Level::INFO => tracing::$what!($($before)* tracing::Level::INFO, $($after)*),
            tracing::Level::DEBUG => tracing::$what!($($before)* tracing::Level::DEBUG, $($after)*),
            tracing::Level::TRACE => tracing::$what!($($before)* tracing::Level::TRACE, $($after)*),
        }
    };
}

pub(super) use at_level;
