use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Finds attack chains in cloud audit logs.
///
/// Catena reads AWS CloudTrail records as they stream past, recognises the creation of cloud instances (MITRE ATT&CK
/// T1578.002), joins the calls of one identity into chains (a volume created, a snapshot of it taken, an instance launched
/// from it, within 15 minutes), and passes the stream on, enriched or filtered. The engine runs as a WebAssembly component
/// in a sandbox.
#[derive(Debug, Parser)]
#[command(
    name = "catena",
    version,
    max_term_width = 100,
    after_help = "Exit codes:
  0    everything was done, whether or not anything was found
  1    an input could not be read, an output not written, or the component failed
  2    the arguments or the configuration cannot be used
  130  ended by SIGINT, 143 by SIGTERM, 141 because the reader of the output has gone;
       everything read until then is accounted for"
)]
pub struct Arguments {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    Run(Run),
    Inspect(Inspect),
    /// Check, list, explain and try rules
    #[command(subcommand)]
    Rules(Rules),
    Bench(Bench),
    Sample(Sample),
    /// Print completions for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print the man page: `catena man > catena.1`, `catena man run > catena-run.1`
    Man {
        /// Of this command
        command: Option<String>,
    },
}

#[derive(Debug, Subcommand)]
pub enum Rules {
    /// Check rule files: every error with its file, line and reason
    Check {
        /// Rule files, as YAML
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
    /// List the built-in rules and exceptions
    List,
    /// Say in words what a rule sees
    Explain {
        /// The id of a built-in rule, or a rule file
        rule: String,
    },
    /// Try rules on the examples in their files
    Test {
        /// Rule files, as YAML
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
    /// Print the JSON Schema of rule files, for editors
    Schema,
}

/// Correlate the records of files, folders or a pipe.
///
/// Inputs are records of AWS CloudTrail, Azure Activity and GCP audit logs: NDJSON, files ({"Records":[...]},
/// {"records":[...]}) or JSON arrays, on one line or pretty-printed, plain, gzip or zstd, as they come or in the envelopes of
/// EventBridge, CloudWatch Logs, Firehose, Event Hubs, Pub/Sub, Sentinel, Elastic and others. Each is recognised by its
/// content. CloudTrail digest and insight files are skipped and counted. In folders, all files
/// are read whose names end in .json, .jsonl, .ndjson, .log, .gz or .zst, or so and in a number, as which they are rotated.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  catena run --mode findings trail/              what is in these files?
  tail -F audit.ndjson | catena run | shipper    annotate a live stream
  catena run --mode filter -o hits.ndjson --findings findings.ndjson logs/*.json.gz
  catena run --follow --state state/ -o out.ndjson --findings findings.ndjson /var/log/cloudtrail/
                                                 beside a shipper, for ever")]
pub struct Run {
    /// Files and folders; - is the standard input, which is also the default
    pub inputs: Vec<PathBuf>,
    /// What becomes of the stream [default: what the configuration says, else enrich]
    #[arg(long, value_enum)]
    pub mode: Option<Mode>,
    /// Configuration, as YAML or JSON
    #[arg(short, long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Where the stream goes [default: -, the standard output]
    #[arg(short, long, value_name = "FILE|-")]
    pub output: Option<PathBuf>,
    /// Where findings go [default: - in mode findings, else to the standard error in words]
    #[arg(long, value_name = "FILE|-")]
    pub findings: Option<PathBuf>,
    /// How findings are written [default: text to a terminal, else what the configuration says, else ocsf]
    #[arg(long, value_enum)]
    pub findings_format: Option<Format>,
    /// Where records go that cannot be read, each with the reason, as JSON lines
    #[arg(long, value_name = "FILE")]
    pub rejects: Option<PathBuf>,
    /// How many bytes are read and processed at a time
    #[arg(long, value_name = "BYTES", default_value_t = 1 << 20, value_parser = clap::value_parser!(u32).range(1..=1 << 28))]
    pub batch_bytes: u32,
    /// The longest record, or document of several lines, but not less than --batch-bytes; longer ones are rejected unread
    #[arg(long, value_name = "BYTES", default_value_t = 64 << 20, value_parser = clap::value_parser!(u32).range(1..=1 << 28))]
    pub max_record_bytes: u32,
    /// On how many cores: so many correlators share the records by identity. The order of the stream is kept, that of
    /// findings only for each identity
    #[arg(short, long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub jobs: u16,
    /// Keep in this folder what is needed to go on after any end, a crash too: nothing is found, written or rejected
    /// twice or not at all. Inputs and outputs have to be files
    #[arg(long, value_name = "FOLDER")]
    pub state: Option<PathBuf>,
    /// With --state: how often it is saved, and how much is done again after a crash
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = duration, requires = "state")]
    pub save_every: Duration,
    /// Go on reading what comes to be in the files, and new files in the folders, until a signal ends it
    #[arg(short, long)]
    pub follow: bool,
    /// Serve Prometheus metrics at /metrics and the state of health at /health; a port alone is one of the loopback
    #[arg(long, value_name = "[ADDRESS:]PORT", value_parser = address)]
    pub metrics: Option<SocketAddr>,
    /// How messages are written on the standard error
    #[arg(long, value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
    /// The least important messages that are written
    #[arg(long, value_name = "LEVEL", default_value = "info")]
    pub log_level: tracing::Level,
    /// Compile the component anew instead of taking it from the cache
    #[arg(long)]
    pub no_cache: bool,
    /// End with a line of JSON on the standard error: records, passed, dropped, rejected, findings, bytes, seconds, files,
    /// skipped
    #[arg(long)]
    pub summary: bool,
    /// Only errors on the standard error
    #[arg(short, long)]
    pub quiet: bool,
    /// Another component than the one that is built in
    #[arg(long, value_name = "FILE")]
    pub component: Option<PathBuf>,
}

/// How messages are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people
    Text,
    /// One JSON object a line
    Json,
}

/// A duration, written as in configurations.
fn duration(text: &str) -> Result<Duration, catena::ParseError> {
    text.parse::<catena::Duration>().map(Duration::from)
}

/// An address to listen at; a port alone is one of the loopback.
fn address(text: &str) -> Result<SocketAddr, String> {
    let text = text.strip_prefix(':').unwrap_or(text);
    match text.parse::<u16>() {
        Ok(port) => Ok(SocketAddr::from(([127, 0, 0, 1], port))),
        Err(_) => text.parse().map_err(|_| "expected a port, or an IP address and a port".to_owned()),
    }
}

/// What becomes of the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    /// Everything passes; records that match a rule are annotated
    Enrich,
    /// Only records that match a rule pass, annotated
    Filter,
    /// Nothing passes; only findings are written
    Findings,
}

impl Mode {
    /// The name in configurations.
    pub fn name(self) -> &'static str {
        match self {
            Self::Enrich => "enrich",
            Self::Filter => "filter",
            Self::Findings => "findings",
        }
    }
}

impl From<Mode> for catena_host::Mode {
    fn from(mode: Mode) -> Self {
        match mode {
            Mode::Enrich => Self::Enrich,
            Mode::Filter => Self::Filter,
            Mode::Findings => Self::Findings,
        }
    }
}

/// How findings are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// OCSF Detection Findings, one JSON object a line
    Ocsf,
    /// Alerts of the Elastic Common Schema
    Ecs,
    /// Flat rows for Microsoft Sentinel
    Sentinel,
    /// For people
    Text,
}

/// Show what a component is: its world, exports, imports, size and rules.
#[derive(Debug, Args)]
pub struct Inspect {
    /// A component [default: the one that is built in]
    pub component: Option<PathBuf>,
}

/// Measure the component beside the native engine and a bare search for line ends, in one run.
///
/// Each combination of batch size and share of records that matter is measured in turns, so that a busy machine disturbs
/// all alike. The table gives the medians; what to compare is the ratios.
#[derive(Debug, Args)]
pub struct Bench {
    /// A file of NDJSON to measure with [default: made-up CloudTrail records of 1.3 KB]
    pub input: Option<PathBuf>,
    /// Sizes of batches, in KiB
    #[arg(long, value_delimiter = ',', default_values_t = [64, 256, 1024, 4096])]
    pub batch_kib: Vec<u32>,
    /// Shares of the made-up records that matter, in percent
    #[arg(long, value_delimiter = ',', default_values_t = [0.0, 0.1, 1.0, 10.0])]
    pub shares: Vec<f64>,
    /// For how long each combination is measured
    #[arg(long, value_name = "DURATION", default_value = "2s", value_parser = duration)]
    pub time: Duration,
    /// Draw the throughput over the share of records that matter, as SVG
    #[arg(long, value_name = "FILE")]
    pub plot: Option<PathBuf>,
    /// Another component than the one that is built in
    #[arg(long, value_name = "FILE")]
    pub component: Option<PathBuf>,
}

/// Write synthetic CloudTrail records to the standard output.
///
/// A chain is hidden among noise, the order is disturbed as deliveries disturb it, and some records come twice. The same
/// arguments give the same bytes.
#[derive(Debug, Args)]
pub struct Sample {
    /// How many records of noise
    #[arg(long, default_value_t = 100_000)]
    pub records: usize,
    /// How many chains are hidden in them
    #[arg(long, default_value_t = 1)]
    pub chains: usize,
    /// How many of 10,000 records are calls that rules name without making a chain
    #[arg(long, default_value_t = 0)]
    pub of_interest: u32,
    /// How many percent of the records come twice
    #[arg(long, alias = "doubled", default_value_t = 5)]
    pub duplicates: usize,
    /// How much later than its event a record comes at most, in seconds
    #[arg(long, default_value_t = 300)]
    pub disorder: u64,
    /// What the ids are made from
    #[arg(long, default_value_t = 7)]
    pub seed: u64,
}
