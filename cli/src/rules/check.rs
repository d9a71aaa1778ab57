use std::path::PathBuf;

use super::file::RuleFile;
use crate::terminal::say;
use crate::{CliError, DONE, FAILED};

/// `catena rules check`: checks every file, even after an error in another.
pub fn check(files: &[PathBuf]) -> Result<u8, CliError> {
    let mut code = DONE;
    for path in files {
        let problem = match RuleFile::read(path) {
            Ok(file) => file.problem().or_else(|| file.examples().err().map(|failure| failure.message)),
            Err(failure) => Some(failure.message),
        };
        match problem {
            None => say!("{}: ok", path.display())?,
            Some(problem) => {
                eprintln!("catena: {problem}");
                code = FAILED;
            }
        }
    }
    Ok(code)
}
