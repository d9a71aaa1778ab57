use std::io::{self, BufWriter, Write};

use catena_synthetic::Stream;

use super::{CliError, DONE, cli};

/// Writes synthetic records. A closed pipe is not an error: the reader has what it wanted.
pub fn sample(arguments: &cli::Sample) -> Result<u8, CliError> {
    let stream = Stream {
        seed: arguments.seed,
        records: arguments.records,
        of_interest_per_10_000: arguments.of_interest,
        chains: arguments.chains,
        duplicate_percent: arguments.duplicates,
        disorder_seconds: arguments.disorder,
        ..Stream::default()
    };
    let mut output = BufWriter::with_capacity(1 << 16, io::stdout().lock());
    let written = stream.lines().iter().try_for_each(|line| writeln!(output, "{line}")).and_then(|()| output.flush());
    match written {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(CliError::new(format!("cannot write to standard output: {error}")))
        }
        _ => Ok(DONE),
    }
}
