//! All state that survives a hand-over.

use super::fields::{Fields, invalid, once, put, text};
use crate::{
    BoxError, Carried,
    panic::{Panic, catch},
};
use std::{fmt, io, sync::Arc};

/// The most bytes of all states of a server.
pub(super) const MOST_BYTES: usize = 16 * 1024 * 1024;
const MOST_NAME: usize = 256;
const MOST_STATES: usize = 1024;

/// The field of a state, and the fields in it.
const ITEM: u16 = 1;
const NAME: u16 = 1;
const VALUE: u16 = 2;

/// All states of a server, with their names.
#[derive(Clone, Default)]
pub(crate) struct Carrier {
    states: Vec<Arc<dyn Carried>>,
}

impl Carrier {
    pub(super) fn add(&mut self, state: impl Carried) {
        self.states.push(Arc::new(state));
    }

    /// Returns the reason why the names are unusable, if they are.
    pub(super) fn check(&self) -> Result<(), String> {
        let mut names = Vec::new();
        if self.states.len() > MOST_STATES {
            return Err(format!("there are more than {MOST_STATES} states"));
        }
        for state in &self.states {
            let name = name(&**state)?;
            if name.len() > MOST_NAME {
                return Err(format!(
                    "the name of a state has {} bytes; expected at most {MOST_NAME}",
                    name.len()
                ));
            }
            if names.contains(&name) {
                return Err(format!(
                    "two states are named {name:?}; give one of them another name"
                ));
            }
            names.push(name);
        }
        Ok(())
    }

    /// Returns all states as bytes, or the reason why they cannot be saved.
    pub(super) fn save(&self) -> Result<Vec<u8>, String> {
        let mut out = Vec::new();
        for state in &self.states {
            let name = name(&**state)?;
            let value = catch(|| state.save())
                .map_err(|panic| format!("saving the state {name:?} {}", panicked(&panic)))?;
            let mut item = Vec::new();
            put(&mut item, NAME, name.as_bytes());
            put(&mut item, VALUE, &value);
            put(&mut out, ITEM, &item);
            if out.len() > MOST_BYTES {
                return Err(format!(
                    "the states up to {name:?} have more than {MOST_BYTES} bytes"
                ));
            }
        }
        Ok(out)
    }

    /// Restores the states that this server knows. An error names the state.
    pub(super) fn restore(&self, bytes: &[u8]) -> Result<(), (String, BoxError)> {
        let items = decode(bytes).map_err(|error| ("of the server".to_owned(), error.into()))?;
        for state in &self.states {
            let name = name(&**state).map_err(|error| (String::new(), error.into()))?;
            if let Some((_, value)) = items.iter().find(|(known, _)| *known == name) {
                catch(|| state.restore(value))
                    .unwrap_or_else(|panic| Err(panic.into()))
                    .map_err(|error| (format!("{name:?}"), error))?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Carrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.states.iter().map(|state| name(&**state));
        f.debug_set().entries(names.flatten()).finish()
    }
}

fn name(state: &dyn Carried) -> Result<String, String> {
    catch(|| state.name().to_owned())
        .map_err(|panic| format!("asking a state for its name {}", panicked(&panic)))
}

fn panicked(panic: &Panic) -> String {
    format!("panicked: {}", panic.message())
}

/// Returns the names and values of all states.
pub(super) fn decode(bytes: &[u8]) -> io::Result<Vec<(String, &[u8])>> {
    let mut items: Vec<(String, &[u8])> = Vec::new();
    for field in Fields(bytes) {
        let (ITEM, item) = field? else {
            continue;
        };
        let (mut name, mut value) = (None, None);
        for field in Fields(item) {
            match field? {
                (NAME, bytes) => once(&mut name, text(bytes, MOST_NAME)?)?,
                (VALUE, bytes) => once(&mut value, bytes)?,
                _ => {}
            }
        }
        if items.len() == MOST_STATES {
            return Err(invalid(format!("there are more than {MOST_STATES} states")));
        }
        match (name, value) {
            (Some(name), Some(value)) if !items.iter().any(|(known, _)| *known == name) => {
                items.push((name, value));
            }
            (Some(name), Some(_)) => {
                return Err(invalid(format!(
                    "there are two states of the name {name:?}"
                )));
            }
            _ => return Err(invalid("a state has no name or no value")),
        }
    }
    Ok(items)
}
