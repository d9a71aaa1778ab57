//! `catena rules`: checks, lists, explains and tests rules.

mod check;
mod explain;
mod file;
mod list;
mod trial;

use super::terminal::say;
use super::{CliError, cli};

/// `catena rules`.
pub fn rules(command: &cli::Rules) -> Result<u8, CliError> {
    match command {
        cli::Rules::Check { files } => check::check(files),
        cli::Rules::List => list::list(),
        cli::Rules::Explain { rule } => explain::explain(rule),
        cli::Rules::Test { files } => trial::test(files),
        cli::Rules::Schema => {
            say!("{}", include_str!("../../../docs/rule.schema.json").trim_end())?;
            Ok(super::DONE)
        }
    }
}

pub use file::RuleFile;
