use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use super::listen::Address;
use super::send::Destination;

/// Find attack chains in streams of cloud audit logs.
///
/// Catena reads AWS CloudTrail, Azure Activity and GCP audit logs. It detects the creation of cloud instances (MITRE
/// ATT&CK T1578.002), correlates the calls of each identity into chains (a volume created, a snapshot of it taken, an
/// instance launched from the snapshot, within 15 minutes), and passes the stream on, annotated or filtered. The engine
/// runs as a WebAssembly component in a sandbox.
#[derive(Debug, Parser)]
#[command(
    name = "catena",
    version,
    max_term_width = 100,
    after_help = "Exit codes:
  0    success, whether or not there are findings
  1    an input could not be read, an output could not be written, findings could not be
       sent, the component failed, or a rule file failed its check or test
  2    invalid arguments or configuration
  3    records were read, and none of them is one of a known cloud; see --unrecognised
  130  stopped by SIGINT; 143 by SIGTERM; 141 because the reader of an output closed the pipe.
       Every record read before the stop is accounted for"
)]
pub struct Arguments {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    Run(Run),
    Health(Health),
    Inspect(Inspect),
    #[command(subcommand)]
    Cluster(super::cluster::Cluster),
    /// Check, list, explain and test rules
    #[command(subcommand)]
    Rules(Rules),
    Bench(Bench),
    Sample(Sample),
    /// Print shell completions
    Completions {
        /// Shell to generate completions for
        shell: clap_complete::Shell,
    },
    /// Print a man page: `catena man > catena.1`, `catena man run > catena-run.1`
    Man {
        /// Command to document [default: catena itself]
        command: Option<String>,
    },
}

#[derive(Debug, Subcommand)]
pub enum Rules {
    /// Check rule files; errors are reported with file, line and reason
    Check {
        /// Rule files (YAML)
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
    /// List built-in rules and exceptions
    List,
    /// Explain in plain English what a rule matches
    Explain {
        /// Id of a built-in rule, or path of a rule file
        rule: String,
    },
    /// Run rules on the examples in their files and compare the findings
    Test {
        /// Rule files (YAML)
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
    /// Print the JSON Schema of rule files, for editor support
    Schema,
}

/// Correlate the records of files, folders or a pipe.
///
/// Inputs hold AWS CloudTrail, Azure Activity and GCP audit records: NDJSON, JSON arrays or containers
/// ({"Records":[...]}, {"records":[...]}), on one line or pretty-printed, plain or compressed with gzip, zstd, bzip2 or xz,
/// in UTF-8 or UTF-16, bare, in known envelopes or in any other wrapper, with or without a time or a syslog header before
/// them. Formats are detected from the content and may be mixed; what is not recognised is counted and shown once.
/// CloudTrail digest and Insights files are skipped and counted.
///
/// Folders are searched recursively for files whose names end in .json, .jsonl, .ndjson, .log, .gz, .zst, .bz2 or .xz,
/// optionally followed by the number of a rotation (audit.log.1). Other files are skipped and named.
#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:
  Report the findings in a folder:
      catena run --mode findings trail/
  Annotate a live stream:
      tail -F audit.ndjson | catena run | shipper
  Keep only the records that match a rule, and the findings in a file of their own:
      catena run --mode filter -o hits.ndjson --findings findings.ndjson logs/*.json.gz
  Run as a service that survives restarts and crashes:
      catena run --follow --state state/ -o out.ndjson --findings findings.ndjson /var/log/cloudtrail/

Signals:
  SIGINT, SIGTERM  stop at the end of a record; a second one ends the run at once
  SIGHUP           reopen outputs, and reload the configuration and its rules
  SIGUSR1          log all counters")]
pub struct Run {
    /// Files and folders to read; - is standard input [default: -]
    pub inputs: Vec<PathBuf>,
    /// What to do with the stream [default: as configured, else enrich]
    #[arg(long, value_enum)]
    pub mode: Option<Mode>,
    /// Configuration file, YAML or JSON
    ///
    /// See docs/configuration.md for the settings. --mode and --findings-format take precedence over the file.
    #[arg(short, long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Where to write the stream; - is standard output [default: -]
    ///
    /// An output file is appended to, unless --overwrite is given, and may be rotated while it is written.
    #[arg(short, long, value_name = "FILE|-")]
    pub output: Option<PathBuf>,
    /// Where to write findings [default: standard output in mode findings, else standard error as text]
    #[arg(long, value_name = "FILE|-")]
    pub findings: Option<PathBuf>,
    /// Format of findings [default: text on a terminal, else as configured, else ocsf]
    #[arg(long, value_enum)]
    pub findings_format: Option<Format>,
    /// Add the text of the record that completed it to each finding
    ///
    /// Findings name the file and line of that record in any case. Its text goes to raw_data (OCSF), event.original (ECS) or
    /// Record (Sentinel).
    #[arg(long)]
    pub records_in_findings: bool,
    /// Send findings to another system; may be given several times
    ///
    /// URL[,OPTION=VALUE]... with one of
    ///   syslog+tls://HOST:6514                   syslog; also syslog+tcp, syslog+udp
    ///   hec+https://HOST:8088,token-file=FILE    Splunk
    ///   elastic+https://HOST:9200/INDEX          Elasticsearch, OpenSearch
    ///   sentinel+https://ENDPOINT/...            Microsoft Sentinel
    ///   https://HOST/PATH                        a POST for each finding
    ///   nats://HOST:4222/SUBJECT                 NATS JetStream
    /// and severity=LEAST, rule=PATTERN to send only some. Findings wait on
    /// disk until each is delivered at least once. docs/sending.md has all
    /// options.
    #[arg(long, value_name = "URL", verbatim_doc_comment)]
    pub send: Vec<Destination>,
    /// Folder in which findings wait to be sent [default: `send` in the folder of --state]
    #[arg(long, value_name = "FOLDER")]
    pub spool: Option<PathBuf>,
    /// Where to write rejected records, as one JSON object per line with the reason
    ///
    /// A record is rejected if it cannot be parsed, is too long, or makes the component fail. Without this option the
    /// first 10 rejections are logged and the others only counted.
    #[arg(long, value_name = "FILE")]
    pub rejects: Option<PathBuf>,
    /// Empty output files first, in place of appending to them
    ///
    /// With --state, only files that no earlier run of the state has written.
    #[arg(long)]
    pub overwrite: bool,
    /// When records that were not recognised make the run fail, with exit code 3
    ///
    /// A record is recognised if it is an event of a known cloud, or holds one. The first that is not is logged with its
    /// place; all are counted.
    #[arg(long, value_enum, default_value_t = Unrecognised::All)]
    pub unrecognised: Unrecognised,
    /// Size of a batch, the unit in which input is read and processed
    #[arg(long, value_name = "BYTES", default_value_t = 1 << 20, value_parser = clap::value_parser!(u32).range(1..=1 << 28))]
    pub batch_bytes: u32,
    /// Longest record or multi-line document; longer ones are rejected unparsed
    ///
    /// Values below --batch-bytes have no effect.
    #[arg(long, value_name = "BYTES", default_value_t = 64 << 20, value_parser = clap::value_parser!(u32).range(1..=1 << 28))]
    pub max_record_bytes: u32,
    /// Number of worker threads
    ///
    /// Records are partitioned by identity. The order of the stream is preserved; findings are ordered per identity
    /// only.
    #[arg(short, long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub jobs: u16,
    /// Save state in this folder, so that the next run resumes where this one ended, even after a crash
    ///
    /// Records, findings and rejections are written exactly once if inputs and outputs are regular files. What a pipe
    /// brings after the last save is not read again after a crash, and what went to a pipe may go there twice. Every run
    /// needs the same --jobs.
    #[arg(long, value_name = "FOLDER")]
    pub state: Option<PathBuf>,
    /// With --state, how often to save it
    ///
    /// Work done since the last save is repeated after a crash.
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = duration, requires = "state")]
    pub save_every: Duration,
    /// Listen for records; may be given several times, and needs --state
    ///
    /// URL[,OPTION=VALUE]... with one of
    ///   tcp://127.0.0.1:PORT     records or syslog; also udp, unix://PATH
    ///   http://127.0.0.1:PORT    posted records, as of Splunk's HEC, Firehose,
    ///                            Pub/Sub, EventBridge and Event Grid
    ///   tls://ADDRESS:PORT,cert=FILE,key=FILE[,client-ca=FILE]
    ///   https://ADDRESS:PORT,cert=FILE,key=FILE,token-file=FILE
    /// The last two may be on any interface. Records are kept in the folder of
    /// the state until they are processed; HTTP clients get their answer once
    /// they are on disk. docs/listening.md has all options.
    #[arg(long, value_name = "URL", verbatim_doc_comment, requires = "state")]
    pub listen: Vec<Address>,
    /// Keep reading as files grow and new files appear, until interrupted
    ///
    /// Rotated, truncated, copied and compressed files are recognised; see docs/operating.md.
    #[arg(short, long)]
    pub follow: bool,
    /// How long no record of a known cloud may come before the run counts as unhealthy; `off`: any time
    ///
    /// A run that waits for records in the wrong place looks like an idle one. This tells them apart.
    #[arg(long, value_name = "DURATION", default_value = "1d", value_parser = silence)]
    pub max_silence: Silence,
    /// Serve Prometheus metrics at /metrics and a health check at /health
    ///
    /// Without an address, only the loopback interface is served. The health check fails after 30 s without progress, if a
    /// followed path is missing or unreadable, and after --max-silence.
    #[arg(long, value_name = "[ADDRESS:]PORT", value_parser = address)]
    pub metrics: Option<SocketAddr>,
    /// Format of log messages on standard error
    #[arg(long, value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
    /// Least severe messages to log: error, warn, info, debug or trace
    #[arg(long, value_name = "LEVEL", default_value = "info")]
    pub log_level: tracing::Level,
    /// Folder for the compiled component, which saves the time to compile it at each start
    ///
    /// [default: $XDG_CACHE_HOME/catena, or else ~/.cache/catena]. Its code runs unchecked, so only its owner may have write
    /// access.
    #[arg(long, value_name = "FOLDER")]
    pub cache: Option<PathBuf>,
    /// Compile the component without using the cache
    #[arg(long, conflicts_with = "cache")]
    pub no_cache: bool,
    /// Check arguments, configuration, rules and inputs, and exit without reading or writing
    #[arg(long)]
    pub check: bool,
    /// Print a summary as one line of JSON on standard error at the end
    ///
    /// Its members are records (= passed + dropped + rejected), passed, dropped, rejected, findings, bytes
    /// (decompressed), seconds, files, skipped, input (records by cloud and form) and unrecognised (by kind).
    #[arg(long)]
    pub summary: bool,
    /// Log only errors, and print no findings on standard error
    #[arg(short, long)]
    pub quiet: bool,
    /// Component to run instead of the built-in one
    #[arg(long, value_name = "FILE")]
    pub component: Option<PathBuf>,
}

/// When records that were not recognised make a run fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Unrecognised {
    /// If none of the records was recognised
    All,
    /// If any record was not recognised
    Any,
    /// Never, and nothing is logged
    Ignore,
}

/// Format of log messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people
    Text,
    /// One JSON object per line
    Json,
}

/// Parses a duration with the syntax of the configuration.
pub fn duration(text: &str) -> Result<Duration, catena::ParseError> {
    text.parse::<catena::Duration>().map(Duration::from)
}

/// How long no record may be recognised; `None`: any time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Silence(pub Option<Duration>);

/// Parses `off` or a duration.
fn silence(text: &str) -> Result<Silence, catena::ParseError> {
    if text == "off" { Ok(Silence(None)) } else { duration(text).map(|time| Silence(Some(time))) }
}

/// Parses an address to listen on. A port alone means the loopback interface.
pub fn address(text: &str) -> Result<SocketAddr, String> {
    let text = text.strip_prefix(':').unwrap_or(text);
    match text.parse::<u16>() {
        Ok(port) => Ok(SocketAddr::from(([127, 0, 0, 1], port))),
        Err(_) => text.parse().map_err(|_| "expected a port, or an IP address and a port".to_owned()),
    }
}

/// What to do with the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    /// Pass every record, and annotate those that match a rule
    Enrich,
    /// Pass only records that match a rule, annotated
    Filter,
    /// Pass nothing; write only findings
    Findings,
}

impl Mode {
    /// The name used in configuration files.
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

/// Format of findings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// OCSF Detection Findings, one JSON object per line
    Ocsf,
    /// Elastic Common Schema alerts
    Ecs,
    /// Flat rows for Microsoft Sentinel
    Sentinel,
    /// For people
    Text,
}

/// Ask a run with --metrics how it is: exit code 0 if it is healthy, 1 if not.
#[derive(Debug, Args)]
pub struct Health {
    /// Where it serves its metrics
    #[arg(value_name = "[ADDRESS:]PORT", value_parser = address, default_value = "9598")]
    pub address: SocketAddr,
}

/// Show what a component says of itself: its version, contract, rules, metrics and settings.
#[derive(Debug, Args)]
pub struct Inspect {
    /// Print the whole description as JSON, with the JSON Schema of configurations
    #[arg(long)]
    pub json: bool,
    /// Write the component to this file, for other hosts to load
    #[arg(long, value_name = "FILE")]
    pub save: Option<PathBuf>,
    /// Component to inspect [default: the built-in one]
    pub component: Option<PathBuf>,
}

/// Compare the throughput of the component, the native engine and a bare newline scan.
///
/// For each combination of batch size and share of records that matter, the contenders take turns, so that load on the
/// machine affects them alike. The table shows median throughput. Absolute numbers vary between machines and runs:
/// compare the ratios.
#[derive(Debug, Args)]
pub struct Bench {
    /// NDJSON file to process [default: synthetic CloudTrail records of 1.3 KB]
    pub input: Option<PathBuf>,
    /// Batch sizes, in KiB
    #[arg(long, value_delimiter = ',', default_values_t = [64, 256, 1024, 4096])]
    pub batch_kib: Vec<u32>,
    /// Shares of synthetic records that matter, that is, of calls named by rules, in percent
    #[arg(long, value_delimiter = ',', default_values_t = [0.0, 0.1, 1.0, 10.0, 100.0])]
    pub shares: Vec<f64>,
    /// Sizes of the rule set: the built-in rules, and as many chains of calls that no record has [default: the built-in rules]
    #[arg(long, value_name = "COUNT", value_delimiter = ',')]
    pub rules: Vec<usize>,
    /// Streams of one kind of record to measure in place of shares: small (0.8 KB), large (64 KiB), text (JSON within text)
    #[arg(long, value_name = "KIND", value_delimiter = ',', conflicts_with_all = ["input", "shares"])]
    pub streams: Vec<StreamKind>,
    /// Time to spend on each combination
    #[arg(long, value_name = "DURATION", default_value = "2s", value_parser = duration)]
    pub time: Duration,
    /// Plot throughput against the share of records that matter, as SVG
    #[arg(long, value_name = "FILE")]
    pub plot: Option<PathBuf>,
    /// Component to run instead of the built-in one
    #[arg(long, value_name = "FILE")]
    pub component: Option<PathBuf>,
}

/// A stream of one kind of record, all of which matter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum StreamKind {
    Small,
    Large,
    Text,
}

/// Write synthetic CloudTrail records to standard output.
///
/// Chains are hidden among noise; records are late and out of order, as CloudTrail delivers them, and some are
/// duplicated. The same arguments produce the same bytes. Try `catena sample | catena run --mode findings`.
#[derive(Debug, Args)]
pub struct Sample {
    /// Number of noise records
    #[arg(long, default_value_t = 100_000)]
    pub records: usize,
    /// Number of chains hidden among them
    #[arg(long, default_value_t = 1)]
    pub chains: usize,
    /// Noise records per 10,000 that are calls named by rules, but part of no chain
    #[arg(long, default_value_t = 0)]
    pub of_interest: u32,
    /// Percentage of records that are duplicated
    #[arg(long, alias = "doubled", default_value_t = 5)]
    pub duplicates: usize,
    /// Maximum delay between an event and its record, in seconds
    #[arg(long, default_value_t = 300)]
    pub disorder: u64,
    /// Seed of the random number generator
    #[arg(long, default_value_t = 7)]
    pub seed: u64,
}
