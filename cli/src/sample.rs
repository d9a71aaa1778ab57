use std::io::{self, BufWriter, Write};

use catena_synthetic::Stream;

use super::terminal::cannot_write;
use super::{CliError, DONE, cli};

/// Writes synthetic records.
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
    written.map(|()| DONE).map_err(|error| cannot_write(&error))
}
