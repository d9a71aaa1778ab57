//! The arguments of `catena cluster`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use catena_cluster::LONGEST_RECORD;
use clap::{Args, Subcommand, ValueEnum};
use tracing::Level;

use crate::cli::{LogFormat, address, duration};
use crate::listen::Address;
use crate::send::Destination;

/// Run a fleet of correlators on NATS JetStream, which no single machine can stop
///
/// `init` makes the streams, `ingest` puts records in, `route` and `work` process them on any number of machines, `read` takes out
/// what was found. See docs/cluster.md.
#[derive(Debug, Subcommand)]
pub enum Cluster {
    /// Create the streams and store the configuration
    Init(Init),
    /// Put records into the fleet, from files, from standard input, or over the network (--listen)
    ///
    /// Examples:
    ///   catena cluster ingest --source trail-1 /logs
    ///   catena cluster ingest --source front-1 --listen http://127.0.0.1:8088
    ///   tail -F audit.log | catena cluster ingest --source tail-1
    #[command(verbatim_doc_comment)]
    Ingest(IngestArguments),
    /// Route records to partitions; all routers share the work
    Route(Role),
    /// Correlate a fair share of the partitions
    Work(Work),
    /// Change the configuration or the rules of a running fleet
    Apply(Apply),
    /// Show how the fleet is doing
    Status(StatusArguments),
    /// Print findings, records or rejected records
    Read(Read),
    /// Deliver findings to other systems, each at least once
    Send(SendArguments),
}

/// How to reach the servers.
#[derive(Debug, Args)]
pub struct Reach {
    /// URLs of some servers, separated by commas: nats://HOST:PORT or tls://HOST:PORT
    ///
    /// USER:PASSWORD@ or TOKEN@ may come before the host. Others see it in the list of processes, so it is better in CATENA_NATS.
    #[arg(
        long,
        value_name = "URLS",
        env = "CATENA_NATS",
        hide_env_values = true,
        default_value = "nats://127.0.0.1:4222"
    )]
    pub nats: String,
    /// Credentials file of NATS
    #[arg(long, value_name = "FILE")]
    pub creds: Option<PathBuf>,
    /// Certificates of authorities for TLS (PEM)
    #[arg(long, value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// Certificate of this client (PEM)
    #[arg(long, value_name = "FILE", requires = "key")]
    pub cert: Option<PathBuf>,
    /// Key of this client (PEM)
    #[arg(long, value_name = "FILE", requires = "cert")]
    pub key: Option<PathBuf>,
    /// Format of log messages on standard error
    #[arg(long, value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
    /// Least severe messages to log: error, warn, info, debug or trace
    #[arg(long, value_name = "LEVEL", default_value = "info")]
    pub log_level: Level,
}

/// The component that a process works with.
#[derive(Debug, Args)]
pub struct Versioned {
    /// Component to run instead of the built-in one; all processes need the same
    #[arg(long, value_name = "FILE")]
    pub component: Option<PathBuf>,
}

/// What a process of a fleet tells about itself.
#[derive(Debug, Args)]
pub struct Metered {
    /// Serve Prometheus metrics at /metrics and a health check at /health; a port alone means the loopback interface
    #[arg(long, value_name = "[ADDRESS:]PORT", value_parser = address)]
    pub metrics: Option<SocketAddr>,
}

#[derive(Debug, Args)]
pub struct Init {
    #[command(flatten)]
    pub reach: Reach,
    #[command(flatten)]
    pub versioned: Versioned,
    /// Configuration (YAML or JSON) [default: built-in rules, mode enrich]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Number of partitions, 1 to 256; cannot be changed later
    #[arg(long, default_value_t = 64)]
    pub partitions: u32,
    /// Copies of each message, on servers of their own [default: as it is, or 3]
    #[arg(long)]
    pub replicas: Option<u8>,
    /// Bytes of records that may wait for the routers, compressed; producers wait when there are more [default: as it is, or 64GiB]
    ///
    /// Each server must have as much free. Sizes may end in KiB, MiB, GiB or TiB.
    #[arg(long, value_name = "BYTES", value_parser = size)]
    pub waiting_bytes: Option<u64>,
    /// Bytes of outputs in each stream, compressed; when there are more, the fleet waits. 0: as many as there is room for [default: as it
    /// is, or 0]
    #[arg(long, value_name = "BYTES", value_parser = size)]
    pub output_bytes: Option<u64>,
    /// Seconds that outputs and findings are kept for their readers [default: as it is, or a week]
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    pub output_seconds: Option<u64>,
    /// Show what would change, and change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Monitoring addresses of the servers, such as http://host:8222, to check their settings
    #[arg(long, value_name = "URL")]
    pub monitor: Vec<String>,
}

#[derive(Debug, Args)]
pub struct IngestArguments {
    #[command(flatten)]
    pub reach: Reach,
    #[command(flatten)]
    pub metered: Metered,
    /// Name of the source: letters, digits, - and _; each process has its own
    ///
    /// A source remembers how far it has read which file, so each is read once, whenever and in whatever order files are given. Of two
    /// processes with the same source, the later one takes over, and the other ends with an error.
    #[arg(long)]
    pub source: String,
    /// Listen for records, as `catena run --listen`; may be given several times
    ///
    /// HTTP clients get their answer once the servers have their records. What other clients send is stored within moments; a kill
    /// loses what is not yet. docs/listening.md has all options.
    #[arg(long, value_name = "URL", conflicts_with = "files")]
    pub listen: Vec<Address>,
    /// Longest record in bytes
    #[arg(long, value_name = "BYTES", default_value_t = 64 << 20, value_parser = clap::value_parser!(u64).range(1..=LONGEST_RECORD as u64))]
    pub max_record_bytes: u64,
    /// Files and folders, plain or compressed [default: standard input, which cannot be read again]
    pub files: Vec<PathBuf>,
}

#[derive(Debug, Args)]
pub struct Role {
    #[command(flatten)]
    pub reach: Reach,
    #[command(flatten)]
    pub versioned: Versioned,
    #[command(flatten)]
    pub metered: Metered,
    /// Name of this process, unique in the fleet [default: made of the process]
    #[arg(long)]
    pub name: Option<String>,
}

#[derive(Debug, Args)]
pub struct Work {
    #[command(flatten)]
    pub role: Role,
    /// Most partitions to take
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=256))]
    pub most: u32,
    /// How old the last checkpoint of a partition may become
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = duration)]
    pub checkpoint_after: Duration,
}

#[derive(Debug, Args)]
pub struct Apply {
    #[command(flatten)]
    pub reach: Reach,
    #[command(flatten)]
    pub versioned: Versioned,
    /// Configuration (YAML or JSON)
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
}

#[derive(Debug, Args)]
pub struct StatusArguments {
    #[command(flatten)]
    pub reach: Reach,
    /// Print everything as JSON
    #[arg(long, conflicts_with = "prometheus")]
    pub json: bool,
    /// Print everything as metrics, for the textfile collector of Prometheus's node exporter
    #[arg(long)]
    pub prometheus: bool,
}

#[derive(Debug, Args)]
pub struct Read {
    #[command(flatten)]
    pub reach: Reach,
    /// What to print
    pub what: ReadWhat,
    /// Go on with what comes
    #[arg(long)]
    pub follow: bool,
}

#[derive(Debug, Args)]
pub struct SendArguments {
    #[command(flatten)]
    pub reach: Reach,
    #[command(flatten)]
    pub metered: Metered,
    /// Where to, as for `catena run --send`; may be given several times
    #[arg(long = "send", value_name = "URL", required = true)]
    pub destinations: Vec<Destination>,
    /// Folder for what waits, and for how far the fleet's findings were read
    #[arg(long, value_name = "FOLDER")]
    pub spool: PathBuf,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum ReadWhat {
    /// Findings, a JSON object each
    Findings,
    /// Records that stay in the stream
    Records,
    /// Records that could not be read, with the reason
    Rejected,
}

/// Parses a number of bytes, such as `64GiB`.
fn size(text: &str) -> Result<u64, String> {
    let units = [("KiB", 10), ("MiB", 20), ("GiB", 30), ("TiB", 40)];
    let (number, shift) =
        units.iter().find_map(|(unit, shift)| Some((text.strip_suffix(unit)?.trim_end(), *shift))).unwrap_or((text, 0));
    let bytes = number.parse::<u64>().ok().and_then(|number| number.checked_mul(1 << shift));
    bytes.ok_or_else(|| "expected a number of bytes, such as 1000000 or 64GiB".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units() {
        assert_eq!((size("7"), size("64GiB"), size("2 MiB")), (Ok(7), Ok(64 << 30), Ok(2 << 20)));
        assert!(size("GiB").is_err() && size("-1").is_err() && size("99999999TiB").is_err());
    }
}
