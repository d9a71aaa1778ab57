use crate::terminal::say;
use crate::{CliError, DONE};

/// `catena rules list`.
pub fn list() -> Result<u8, CliError> {
    let fail = |error: catena::Error| CliError::new(error.to_string());
    say!("rules:")?;
    for rule in catena::built_in().map_err(fail)? {
        say!("  {:<31} {:<13} {}", rule.id, rule.severity, rule.title)?;
    }
    say!("exceptions, off unless listed in `built_in_exceptions`:")?;
    for exception in catena::built_in_exceptions().map_err(fail)? {
        say!("  {:<30} {}", exception.id, exception.reason)?;
    }
    Ok(DONE)
}
