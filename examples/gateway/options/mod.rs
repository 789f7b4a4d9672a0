//! The options, which are also the keys of a configuration file.
//!
//! Each theme has a file. To add one, write a struct like those, and add it to [`Global`].

mod abuse;
mod acme;
mod cluster;
mod listener;
mod pages;
mod server;
mod shutdown;
mod starttls;
mod upstream;

pub use abuse::AbuseOptions;
pub use acme::AcmeOptions;
use clap::{
    Arg, Args, Command, CommandFactory, FromArgMatches, Parser,
    builder::{PathBufValueParser, TypedValueParser},
    parser::ValueSource,
};
pub use cluster::ClusterOptions;
pub use listener::{ApplyTo, Listener, ProxyIn, ProxyOut, Route, RouteTls};
pub use pages::PageOptions;
use reagent::BoxError;
use serde::{Serialize, de::DeserializeOwned};
use server::ServerOptions;
use shutdown::ShutdownOptions;
pub use starttls::{Plaintext, StartTls};
use std::path::{Path, PathBuf};
use toml::Table;
pub use upstream::{Balance, HealthCheck};

const ABOUT: &str = "Relays TCP connections, plain or TLS, to other servers";

const AFTER_HELP: &str = "\
A configuration file is TOML. Its keys are the names of the options without the dashes. Each
[[listener]] table has addresses and a stack of its own, from the options of a listener. Those
options at the top of the file are the defaults of all listeners, except that `listen` there adds
one more listener and `max-connections` there limits all of them together. Options on the command
line replace those at the top of the file. Relative paths in the file are relative to its folder.

SIGHUP reads the file and the certificates again, and applies what has changed; if anything is
wrong, nothing changes. SIGTERM and Ctrl-C drain: no more clients are admitted, and open connections
may finish; a second signal stops the gateway at once. RUST_LOG=debug logs every connection.";

/// The command line.
#[derive(Clone, Debug, Parser)]
#[command(about = ABOUT, after_help = AFTER_HELP)]
pub struct CommandLine {
    /// File to read options from
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Check the configuration without listening, print the addresses and layers, and exit
    #[arg(long)]
    pub check: bool,
    /// Print the configuration that is in effect, with all defaults, and exit
    #[arg(long, conflicts_with = "check")]
    pub dump: bool,
    #[command(flatten)]
    pub global: Global,
    #[command(flatten, next_help_heading = "Options of a listener")]
    pub listener: Listener,
    /// The options that were set, as they would be at the top of a file.
    #[arg(skip)]
    pub set: Table,
}

/// The options of the whole gateway, by theme.
#[derive(Args, Clone, Debug, Serialize)]
#[command(next_help_heading = "Options of the gateway")]
pub struct Global {
    #[command(flatten)]
    #[serde(flatten)]
    pub server: ServerOptions,
    #[command(flatten)]
    #[serde(flatten)]
    pub pages: PageOptions,
    #[command(flatten)]
    #[serde(flatten)]
    pub abuse: AbuseOptions,
    #[command(flatten)]
    #[serde(flatten)]
    pub acme: AcmeOptions,
    #[command(flatten)]
    #[serde(flatten)]
    pub cluster: ClusterOptions,
    #[command(flatten)]
    #[serde(flatten)]
    pub shutdown: ShutdownOptions,
}

/// A table from which the options of one theme are read. It has other keys too.
pub trait Source {
    fn read<T: DeserializeOwned>(&self) -> Result<T, BoxError>;
}

impl Source for Table {
    fn read<T: DeserializeOwned>(&self) -> Result<T, BoxError> {
        Ok(self.clone().try_into()?)
    }
}

impl Global {
    pub fn read(from: &impl Source) -> Result<Self, BoxError> {
        Ok(Global {
            server: from.read()?,
            pages: from.read()?,
            abuse: from.read()?,
            acme: from.read()?,
            cluster: from.read()?,
            shutdown: from.read()?,
        })
    }
}

/// Implements `Default` with the defaults of the command line, which are also those of a file.
macro_rules! default {
    ($($options:ty),+) => {$(
        impl Default for $options {
            fn default() -> Self {
                let command = Self::augment_args(Command::new("gateway"));
                let matches = command.get_matches_from([""]);
                Self::from_arg_matches(&matches).expect("no option is required")
            }
        }
    )+};
}

default!(
    AcmeOptions,
    ClusterOptions,
    ServerOptions,
    PageOptions,
    AbuseOptions,
    ShutdownOptions,
    Listener
);

/// Returns the keys of a file that are options of `T`.
pub fn keys<T: Args>() -> Vec<String> {
    let command = T::augment_args(Command::new("gateway"));
    let names = command.get_arguments().map(Arg::get_long);
    names.flatten().map(str::to_owned).collect()
}

impl CommandLine {
    /// Parses the arguments of the program. Exits if they are invalid, or for `--help`.
    pub fn read() -> Result<Self, BoxError> {
        let required = |arg: Arg| arg.required_unless_present("config");
        let command = CommandLine::command()
            .mut_arg("listen", required)
            .mut_arg("to", required)
            // So that the message about a negative number says what is expected.
            .mut_args(|arg| match arg.get_action().takes_values() {
                true => arg.allow_negative_numbers(true),
                false => arg,
            });
        let matches = command.get_matches();
        let mut line = CommandLine::from_arg_matches(&matches)?;
        let is_set = |key: &str| {
            let id = key.replace('-', "_");
            // Some keys are not options.
            matches!(matches.try_contains_id(&id), Ok(true))
                && matches.value_source(&id) == Some(ValueSource::CommandLine)
        };
        line.set = Table::try_from(&line.global)?;
        line.set.extend(Table::try_from(&line.listener)?);
        line.set.retain(|key, _| is_set(key));
        Ok(line)
    }
}

/// Makes a path of the command line absolute, so that a dump means the same wherever it is read.
pub fn path() -> impl TypedValueParser<Value = PathBuf> {
    PathBufValueParser::new().try_map(std::path::absolute)
}

/// Returns the folder that the paths in a file are relative to.
pub fn folder(file: &Path) -> std::io::Result<PathBuf> {
    let mut folder = std::path::absolute(file)?;
    folder.pop();
    Ok(folder)
}
