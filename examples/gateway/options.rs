//! The options, which are also the keys of a configuration file.

use crate::listener::Listener;
use crate::values::{Seconds, Secret};
use clap::{
    Args, Command, CommandFactory, FromArgMatches, Parser,
    builder::{PathBufValueParser, TypedValueParser},
    parser::ValueSource,
};
use reagent::{BoxError, Shutdown};
use serde::{Deserialize, Serialize};
use std::{
    num::NonZeroUsize,
    path::{Path, PathBuf},
};
use toml::Table;

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

/// The options of the whole gateway.
#[derive(Args, Clone, Debug, Deserialize, Serialize)]
#[command(next_help_heading = "Options of the gateway")]
#[serde(default, rename_all = "kebab-case")]
pub struct Global {
    /// Maximum number of open connections [default: unlimited]
    #[arg(long, value_name = "N")]
    pub max_connections: Option<NonZeroUsize>,
    /// Address to serve Prometheus metrics on: http://ADDR/metrics
    #[arg(long, value_name = "ADDR")]
    pub metrics: Option<String>,
    /// Address of the admin page: HOST:PORT or the path of a Unix socket. Other machines can reach
    /// it only with a token
    #[arg(long, value_name = "ADDR")]
    pub admin: Option<String>,
    /// Token that the admin page requires. The environment variable GATEWAY_ADMIN_TOKEN keeps it
    /// out of the list of processes
    #[arg(long, value_name = "TOKEN")]
    pub admin_token: Option<Secret>,
    /// Path of the Unix socket by which a gateway that is started later, with the same option,
    /// takes over the addresses. This one then drains and exits
    #[arg(long, value_name = "PATH", value_parser = path())]
    pub handover: Option<PathBuf>,
    /// Number of worker threads [default: number of cores]
    #[arg(long, value_name = "N")]
    pub threads: Option<NonZeroUsize>,
    /// Time limit of a drain in seconds. Connections are closed once neither side has sent anything
    /// for a second; those that remain at the limit are reset on both sides
    #[arg(long, value_name = "SECONDS", default_value = "10")]
    pub drain: Seconds,
    /// Time in seconds between SIGTERM and the drain. Clients are still accepted, while /ready of
    /// the pages answers 503, so that a load balancer sends them elsewhere
    #[arg(long, value_name = "SECONDS", default_value = "0")]
    pub lame_duck: Seconds,
    /// Time in seconds over which a drain reaches all connections, so that their clients do not
    /// reconnect at the same time
    #[arg(long, value_name = "SECONDS", default_value = "0")]
    pub spread: Seconds,
}

impl Global {
    pub fn shutdown(&self) -> Shutdown {
        Shutdown::new(self.drain.0)
            .lame_duck(self.lame_duck.0)
            .spread(self.spread.0)
    }

    /// Returns the token of the admin page. The environment is not part of the configuration, so a
    /// token from there is not in a dump.
    pub fn admin_token(&self) -> Option<String> {
        let from_environment = || std::env::var("GATEWAY_ADMIN_TOKEN").ok();
        let token = self.admin_token.as_ref().map(|Secret(token)| token.clone());
        token
            .or_else(from_environment)
            .filter(|token| !token.is_empty())
    }
}

impl Default for Global {
    fn default() -> Self {
        defaults()
    }
}

/// Returns the defaults of the command line, which are also those of a file.
pub fn defaults<T: Args>() -> T {
    let command = T::augment_args(Command::new("gateway"));
    let matches = command.get_matches_from([""]);
    T::from_arg_matches(&matches).expect("no option is required")
}

impl CommandLine {
    /// Parses the arguments of the program. Exits if they are invalid, or for `--help`.
    pub fn read() -> Result<Self, BoxError> {
        let required = |arg: clap::Arg| arg.required_unless_present("config");
        let command = CommandLine::command()
            .mut_arg("listen", required)
            .mut_arg("to", required);
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
