//! Levels chosen at run time, which `tracing` wants to know when it is compiled.

/// `at_level!(level, event!(target: T,) (fields, "message"))`: the macro, with this level after what
/// comes in its first parentheses.
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
