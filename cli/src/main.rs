//! `catena`, the command-line program. See `catena --help`.

#![deny(unsafe_code)]

mod bench;
mod cli;
mod cluster;
mod describe;
mod durable;
mod health;
mod inspect;
mod kind;
mod listen;
mod lock;
mod log;
mod metric;
mod monitor;
mod output;
mod pipeline;
mod place;
mod rules;
mod run;
mod sample;
mod send;
mod setup;
mod signals;
mod sink;
mod suggest;
mod summary;
mod terminal;
mod tls;
mod watch;
mod yaml;

use std::env;
use std::io;
use std::process::ExitCode;

use clap::{CommandFactory, Parser};
use serde_json::Map;
use terminal::{cannot_write, print};
use tracing::Level;

/// Success.
const DONE: u8 = 0;
/// An input could not be read, an output could not be written, or the component failed.
const FAILED: u8 = 1;
/// Invalid arguments or configuration.
const USAGE: u8 = 2;

/// Records were read, and none was recognised, or not all as asked for.
const UNRECOGNISED: u8 = 3;

/// A fatal error: the message to print and the exit code.
#[derive(Debug)]
pub struct CliError {
    code: u8,
    message: String,
}

impl CliError {
    fn new(message: impl Into<String>) -> Self {
        Self { code: FAILED, message: message.into() }
    }

    fn usage(message: impl Into<String>) -> Self {
        Self { code: USAGE, message: message.into() }
    }

    /// The reader of standard output has closed it, which is how it says that it has what it wanted.
    fn reader_gone() -> Self {
        Self { code: DONE, message: String::new() }
    }
}

fn main() -> ExitCode {
    let given: Vec<_> = env::args_os().collect();
    let json = log::wants_json(&given);
    let arguments = match cli::Arguments::try_parse_from(&given) {
        Ok(arguments) => arguments,
        Err(error) if json && error.use_stderr() => {
            let text = error.to_string();
            let text = text.strip_prefix("error: ").unwrap_or(&text);
            log::line(Level::ERROR, text.split("\n\nUsage:").next().unwrap_or(text).trim_end(), Map::new());
            return ExitCode::from(USAGE);
        }
        Err(error) => error.exit(),
    };
    let result = match arguments.command {
        cli::Command::Run(arguments) => run::run(&arguments),
        cli::Command::Health(arguments) => health::health(&arguments),
        cli::Command::Cluster(command) => cluster::cluster(&command),
        cli::Command::Inspect(arguments) => inspect::inspect(&arguments),
        cli::Command::Rules(command) => rules::rules(&command),
        cli::Command::Bench(arguments) => bench::bench(&arguments),
        cli::Command::Sample(arguments) => sample::sample(&arguments),
        cli::Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut cli::Arguments::command(), "catena", &mut script);
            print(format_args!("{}", String::from_utf8_lossy(&script))).map(|()| DONE)
        }
        cli::Command::Man { command } => man(command.as_deref()),
    };
    match result {
        Ok(code) => ExitCode::from(code),
        Err(failure) => {
            match &*failure.message {
                "" => {}
                message if json => log::line(Level::ERROR, message, Map::new()),
                message => eprintln!("catena: {message}"),
            }
            ExitCode::from(failure.code)
        }
    }
}

/// Prints the man page of the program or of one command.
fn man(name: Option<&str>) -> Result<u8, CliError> {
    let mut program = cli::Arguments::command();
    program.build();
    let command = match name {
        None => &program,
        Some(name) => {
            program.find_subcommand(name).ok_or_else(|| CliError::usage(format!("no such command: {name:?}")))?
        }
    };
    let written = clap_mangen::Man::new(command.clone()).render(&mut io::stdout());
    written.map(|()| DONE).map_err(|error| cannot_write(&error))
}
