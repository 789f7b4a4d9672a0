//! What the model expects of a listener.

use reagent::{Addr, Bind, Listener};
use std::sync::Arc;

/// The settings that a listener is added with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    pub max: usize,
    pub reserve: usize,
    pub is_labelled: bool,
}

impl Settings {
    pub const NONE: Settings = Settings {
        max: usize::MAX,
        reserve: 0,
        is_labelled: false,
    };
}

/// A listener, by its settings and what was done to it.
pub struct Listening {
    pub addr: Addr,
    pub label: Option<Arc<str>>,
    pub max: usize,
    pub reserve: usize,
    pub is_paused: bool,
    /// The number of connections it had accepted when its pause took effect.
    pub paused_at: Option<usize>,
    /// Whether it is lost permanently.
    pub is_doomed: bool,
    pub phase: Phase,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    Open,
    /// The server was asked to close it. It must still accept clients from its queue, until it has
    /// accepted `at_least` this many in all.
    Closing {
        at_least: usize,
    },
    /// It was closed, or could not be added.
    Closed,
}

impl Listening {
    pub fn new(addr: Addr, settings: Settings) -> Self {
        let label = settings.is_labelled.then(|| format!("label of {addr}"));
        Listening {
            label: label.map(Arc::from),
            addr,
            max: settings.max,
            reserve: settings.reserve,
            is_paused: false,
            paused_at: None,
            is_doomed: false,
            phase: Phase::Open,
        }
    }

    pub fn is_open(&self) -> bool {
        self.phase == Phase::Open
    }

    /// Returns the listener with its settings.
    pub fn bind(&self, listener: impl Listener) -> Bind {
        let mut bind = Bind::new(listener).reserve(self.reserve);
        if let Some(label) = &self.label {
            bind = bind.label(label.clone());
        }
        match self.max {
            usize::MAX => bind,
            max => bind.max_connections(max),
        }
    }
}
