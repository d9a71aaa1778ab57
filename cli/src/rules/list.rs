use crate::{CliError, DONE};

/// `catena rules list`.
pub fn list() -> Result<u8, CliError> {
    let fail = |error: catena::Error| CliError::new(error.to_string());
    println!("rules:");
    for rule in catena::built_in().map_err(fail)? {
        println!("  {:<30} {:<8} {}", rule.id, rule.severity, rule.title);
    }
    println!("exceptions, off unless listed in `built_in_exceptions`:");
    for exception in catena::built_in_exceptions().map_err(fail)? {
        println!("  {:<30} {}", exception.id, exception.reason);
    }
    Ok(DONE)
}
