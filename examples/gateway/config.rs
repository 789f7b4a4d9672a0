//! The configuration: the options of the command line over those of a file.

use crate::{
    file::File,
    options::{CommandLine, Global, Listener, Source, folder},
};
use reagent::BoxError;
use serde::Serialize;
use std::{collections::HashSet, path::PathBuf};
use toml::{Table, Value};

/// The keys at the top of a file that are not defaults of the `[[listener]]` tables.
const NOT_INHERITED: [&str; 3] = ["label", "listen", "max-connections"];

/// A configuration that was read, but not yet checked against the system.
#[derive(Clone, Debug, Serialize)]
pub struct Config {
    #[serde(flatten)]
    pub global: Global,
    #[serde(rename = "listener")]
    pub listeners: Vec<Listener>,
    /// The file that it was read from.
    #[serde(skip)]
    pub file: Option<PathBuf>,
}

impl Config {
    /// Reads the file, if there is one, and checks that the options agree with one another.
    pub fn read(line: &CommandLine) -> Result<Self, BoxError> {
        let (mut top, mut lines) = (Table::new(), Vec::new());
        let mut base = std::env::current_dir()?;
        if let Some(path) = &line.config {
            let file = File::read(path)?;
            lines = file.check()?;
            top = file.table()?;
            base = folder(path)?;
        }
        let tables = match top.remove("listener") {
            Some(Value::Array(tables)) => tables,
            _ => Vec::new(),
        };
        top.extend(line.set.clone());
        let mut global = Global::read(&top)?;
        let handover = &mut global.server.handover;
        *handover = handover.take().map(|path| base.join(path));
        global.acme.complete(&base);
        let mut defaults = top.clone();
        defaults.retain(|key, _| !NOT_INHERITED.contains(&key));
        let mut listeners: Vec<Listener> = Vec::new();
        if top.contains_key("listen") {
            top.remove("max-connections");
            listeners.push(top.read()?);
        }
        for (table, line) in tables.into_iter().zip(lines) {
            let mut merged = defaults.clone();
            merged.extend(table.try_into::<Table>()?);
            let mut listener: Listener = merged.read()?;
            listener.line = Some(line);
            listeners.push(listener);
        }
        let mut labels = HashSet::new();
        for listener in &mut listeners {
            listener.complete(&base);
            listener.set_label(|label| labels.contains(label));
            labels.insert(listener.label.clone());
        }
        let config = Config {
            global,
            listeners,
            file: line.config.clone(),
        };
        config.validate()?;
        Ok(config)
    }

    /// Returns whether clients can be banned: on the admin page, or by their score.
    pub fn has_bans(&self) -> bool {
        self.global.pages.admin.is_some() || self.global.abuse.ban_score.is_some()
    }

    /// Returns whether the bans of scores are only tried: on all listeners, which share them.
    pub fn tries_bans(&self) -> bool {
        let mut listeners = self.listeners.iter();
        listeners.all(|listener| listener.tries("ban-score"))
    }

    /// Returns the configuration as a file that means the same.
    pub fn dump(&self) -> Result<String, BoxError> {
        Ok(toml::to_string(self)?)
    }
}
