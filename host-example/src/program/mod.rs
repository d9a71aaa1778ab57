//! The program `catena`, on top of the library.

mod cli;
mod describe;
mod framing;
mod input;
mod inspect;
mod output;
mod rules;
mod run;
mod sample;
mod stop;
mod summary;

use std::process::ExitCode;

use clap::Parser;

/// Everything was done.
const DONE: u8 = 0;
/// Something could not be read or written, or the component failed.
const FAILED: u8 = 1;
/// The arguments or the configuration cannot be used.
const USAGE: u8 = 2;

/// Why the program gives up.
#[derive(Debug)]
pub struct Failure {
    code: u8,
    message: String,
}

impl Failure {
    fn new(message: impl Into<String>) -> Self {
        Self { code: FAILED, message: message.into() }
    }

    fn usage(message: impl Into<String>) -> Self {
        Self { code: USAGE, message: message.into() }
    }
}

/// Runs the program with the arguments of the process.
pub fn main() -> ExitCode {
    let result = match cli::Arguments::parse().command {
        cli::Command::Run(arguments) => run::run(&arguments),
        cli::Command::Inspect(arguments) => inspect::inspect(&arguments),
        cli::Command::Rules(command) => rules::rules(&command),
        cli::Command::Sample(arguments) => sample::sample(&arguments),
    };
    match result {
        Ok(code) => ExitCode::from(code),
        Err(failure) => {
            eprintln!("catena: {}", failure.message);
            ExitCode::from(failure.code)
        }
    }
}
