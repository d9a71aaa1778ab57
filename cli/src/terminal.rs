//! Standard output of the commands that only tell something.

use std::fmt;
use std::io::{self, Write};

use super::CliError;

/// Prints a line on standard output.
macro_rules! say {
    ($($argument:tt)*) => {
        $crate::terminal::print(format_args!("{}\n", format_args!($($argument)*)))
    };
}
pub(crate) use say;

/// Prints text on standard output.
pub fn print(text: fmt::Arguments<'_>) -> Result<(), CliError> {
    io::stdout().lock().write_fmt(text).map_err(|error| cannot_write(&error))
}

/// The error for a standard output that cannot be written. If its reader has closed it, it has what it wanted.
pub fn cannot_write(error: &io::Error) -> CliError {
    match error.kind() {
        io::ErrorKind::BrokenPipe => CliError::reader_gone(),
        _ => CliError::new(format!("cannot write to standard output: {error}")),
    }
}
