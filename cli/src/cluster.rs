//! `catena cluster`: a fleet of correlators on NATS JetStream.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use catena_cluster::{
    Access, Deployment, Error, Ingest, Metrics, Nats, PartitionStatus, Retention, Status, What, Worker,
};
use catena_component::COMPONENT;
use clap::{Args, Parser, Subcommand, ValueEnum};
use indicatif::ProgressBar;
use tokio::runtime;
use tracing::{Level, info, warn};

use super::cli::{Arguments, Command, LogFormat, duration};
use super::lock::Locks;
use super::send::{Destination, Senders};
use super::setup::{Cache, configuration, load};
use super::signals::Signals;
use super::{CliError, DONE, log};

/// Run a fleet of correlators on NATS JetStream, which no single machine can stop
///
/// `init` makes the streams, `ingest` puts records in, `route` and `work` process them on any number of machines, `read` takes out
/// what was found. See docs/cluster.md.
#[derive(Debug, Subcommand)]
pub enum Cluster {
    /// Create the streams and store the configuration
    Init(Init),
    /// Put the records of files or of standard input into the fleet, once
    Ingest(IngestArguments),
    /// Route records to partitions; one router works, others stand by
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
    /// URLs of some servers, separated by commas
    #[arg(long, value_name = "URLS", default_value = "nats://127.0.0.1:4222")]
    nats: String,
    /// Credentials file of NATS
    #[arg(long, value_name = "FILE")]
    creds: Option<PathBuf>,
    /// Certificates of authorities for TLS (PEM)
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Certificate of this client (PEM)
    #[arg(long, value_name = "FILE", requires = "key")]
    cert: Option<PathBuf>,
    /// Key of this client (PEM)
    #[arg(long, value_name = "FILE", requires = "cert")]
    key: Option<PathBuf>,
    /// Least severe messages to show
    #[arg(long, value_name = "LEVEL", default_value = "info")]
    log_level: Level,
}

#[derive(Debug, Args)]
pub struct Init {
    #[command(flatten)]
    reach: Reach,
    /// Configuration (YAML or JSON) [default: built-in rules, mode enrich]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Number of partitions, 1 to 256; cannot be changed later
    #[arg(long, default_value_t = 64)]
    partitions: u32,
    /// Copies of each message, on servers of their own
    #[arg(long, default_value_t = 3)]
    replicas: u8,
    /// Bytes of records that may wait in each stream; producers wait when it is full
    #[arg(long, value_name = "BYTES", default_value_t = 64 << 30)]
    waiting_bytes: u64,
    /// Bytes of outputs and findings that are kept; 0: as many as there is room for
    #[arg(long, value_name = "BYTES", default_value_t = 0)]
    output_bytes: u64,
    /// Seconds that outputs and findings are kept
    #[arg(long, value_name = "SECONDS", default_value_t = 7 * 86_400)]
    output_seconds: u64,
    /// Show what would change, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Monitoring addresses of the servers, such as http://host:8222, to check their settings
    #[arg(long, value_name = "URL")]
    monitor: Vec<String>,
}

#[derive(Debug, Args)]
pub struct IngestArguments {
    #[command(flatten)]
    reach: Reach,
    /// Name of the source; a source that is interrupted goes on where its last stored block ended
    #[arg(long)]
    source: String,
    /// Longest record in bytes
    #[arg(long, value_name = "BYTES", default_value_t = 64 << 20)]
    max_record_bytes: u64,
    /// Files, plain or compressed [default: standard input, which cannot be read again]
    files: Vec<PathBuf>,
}

#[derive(Debug, Args)]
pub struct Role {
    #[command(flatten)]
    reach: Reach,
    /// Name of this process, unique in the fleet [default: made of the process]
    #[arg(long)]
    name: Option<String>,
}

#[derive(Debug, Args)]
pub struct Work {
    #[command(flatten)]
    role: Role,
    /// Most partitions to take
    #[arg(long, default_value_t = 256)]
    most: u32,
    /// How old the last checkpoint of a partition may become
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = duration)]
    checkpoint_after: Duration,
}

#[derive(Debug, Args)]
pub struct Apply {
    #[command(flatten)]
    reach: Reach,
    /// Configuration (YAML or JSON)
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

#[derive(Debug, Args)]
pub struct StatusArguments {
    #[command(flatten)]
    reach: Reach,
    /// Print everything as JSON
    #[arg(long, conflicts_with = "prometheus")]
    json: bool,
    /// Print everything as metrics, for the textfile collector of Prometheus's node exporter
    #[arg(long)]
    prometheus: bool,
}

#[derive(Debug, Args)]
pub struct Read {
    #[command(flatten)]
    reach: Reach,
    /// What to print
    what: ReadWhat,
    /// Go on with what comes
    #[arg(long)]
    follow: bool,
}

#[derive(Debug, Args)]
pub struct SendArguments {
    #[command(flatten)]
    reach: Reach,
    /// Where to, as for `catena run --send`; may be given several times
    #[arg(long = "send", value_name = "URL", required = true)]
    destinations: Vec<Destination>,
    /// Folder for what waits, and for how far the fleet's findings were read
    #[arg(long, value_name = "FOLDER")]
    spool: PathBuf,
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

/// `catena cluster`.
pub fn cluster(command: &Cluster) -> Result<u8, CliError> {
    let reach = match command {
        Cluster::Init(arguments) => &arguments.reach,
        Cluster::Ingest(arguments) => &arguments.reach,
        Cluster::Route(arguments) => &arguments.reach,
        Cluster::Work(arguments) => &arguments.role.reach,
        Cluster::Apply(arguments) => &arguments.reach,
        Cluster::Status(arguments) => &arguments.reach,
        Cluster::Read(arguments) => &arguments.reach,
        Cluster::Send(arguments) => &arguments.reach,
    };
    log::start(LogFormat::Text, reach.log_level, &ProgressBar::hidden());
    let signals = Signals::listen();
    let signals = signals.map_err(|error| CliError::new(format!("cannot install signal handlers: {error}")))?;
    let runtime = runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| CliError::new(error.to_string()))?;
    match runtime.block_on(run(command, reach, &signals)) {
        Ok(()) => Ok(signals.exit_code().unwrap_or(DONE)),
        Err(Error::Invalid(why)) => Err(CliError::usage(why)),
        Err(Error::Io(error)) if error.kind() == io::ErrorKind::BrokenPipe => Err(CliError::reader_gone()),
        Err(error) => Err(CliError::new(error.to_string())),
    }
}

async fn run(command: &Cluster, reach: &Reach, signals: &Signals) -> Result<(), Error> {
    let stop = signals.stop_flag();
    let access = Access {
        servers: reach.nats.clone(),
        credentials: reach.creds.clone(),
        authorities: reach.ca.clone(),
        identity: reach.cert.clone().zip(reach.key.clone()),
    };
    let nats = Nats::connect(&access, "catena cluster").await?;
    match command {
        Cluster::Init(arguments) => init(&nats, arguments).await,
        Cluster::Ingest(arguments) => {
            let longest = arguments.max_record_bytes as usize;
            let what = Ingest { source: arguments.source.clone(), files: arguments.files.clone(), longest };
            let blocks = catena_cluster::ingest(&nats, &what, &Metrics::default(), &stop).await?;
            info!("{}: {blocks} blocks stored", arguments.source);
            Ok(())
        }
        Cluster::Route(arguments) => {
            let deployment = join(nats).await?;
            catena_cluster::route(&deployment, &name(arguments), &Metrics::default(), &stop).await
        }
        Cluster::Work(arguments) => {
            let deployment = join(nats).await?;
            let checkpoint_after = arguments.checkpoint_after;
            let worker = Worker { name: name(&arguments.role), most: arguments.most, checkpoint_after };
            catena_cluster::work(&deployment, &worker, &Metrics::default(), &stop).await
        }
        Cluster::Apply(arguments) => {
            let config = configured(Some(&arguments.config))?;
            let deployment = join(nats).await?;
            let epoch = catena_cluster::change(&deployment, &config).await?;
            info!("epoch {epoch}: what comes from now on is correlated by {}", arguments.config.display());
            Ok(())
        }
        Cluster::Status(arguments) => status(&join(nats).await?, arguments).await,
        Cluster::Send(arguments) => send(&nats, arguments, signals).await,
        Cluster::Read(arguments) => {
            let what = match arguments.what {
                ReadWhat::Findings => What::Findings,
                ReadWhat::Records => What::Records,
                ReadWhat::Rejected => What::Rejected,
            };
            let mut to = io::BufWriter::new(io::stdout());
            catena_cluster::read(&nats, what, arguments.follow, &mut to, &stop).await.map(|_| ())
        }
    }
}

/// Messages after which the place in the stream is saved, if it is not idle before.
const SAVE_EVERY: u64 = 256;

/// Delivers findings from a spool of its own. The place in the stream is saved once they are in it.
async fn send(nats: &Nats, arguments: &SendArguments, signals: &Signals) -> Result<(), Error> {
    let fail = |error: CliError| Error::Invalid(error.message);
    let mut senders = Senders::open(&arguments.destinations, Some(&arguments.spool), &Locks::AtOnce).map_err(fail)?;
    let place = arguments.spool.join("cluster.place");
    let from = match fs::read_to_string(&place) {
        Ok(text) => text.trim().parse().map_err(|_| Error::Invalid(format!("{} is damaged", place.display())))?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => 1,
        Err(error) => return Err(error.into()),
    };
    let (mut saved, stop) = (from, signals.stop_flag());
    let read = catena_cluster::findings(nats, from, &stop, |findings, next| {
        for finding in &findings {
            senders.send(finding, &finding.body);
        }
        if next >= saved + SAVE_EVERY || (findings.is_empty() && next != saved) {
            senders.sync().map_err(fail)?;
            let new = place.with_extension("new");
            fs::write(&new, format!("{next}\n"))?;
            fs::rename(&new, &place)?;
            saved = next;
        } else {
            senders.flush().map_err(fail)?;
        }
        Ok(())
    });
    let ended = read.await;
    senders.finish(|| signals.stop_asked());
    if let Some(sent) = senders.describe() {
        info!("sent: {sent}");
    }
    ended
}

fn name(role: &Role) -> String {
    let host = fs::read_to_string("/etc/hostname").unwrap_or_default();
    let made = format!("{}-{}", host.trim(), std::process::id());
    let name = role.name.clone().unwrap_or(made);
    // It is a part of a subject.
    name.chars().map(|letter| if letter.is_ascii_alphanumeric() || letter == '-' { letter } else { '_' }).collect()
}

async fn join(nats: Nats) -> Result<Deployment, Error> {
    let sandbox = load(None, Cache::Default).map_err(|error| Error::Invalid(error.message))?;
    Deployment::join(nats, COMPONENT, Arc::new(sandbox)).await
}

/// The configuration in a file, with its rule files, as `catena run` reads it.
fn configured(file: Option<&PathBuf>) -> Result<String, Error> {
    let mut given = vec!["catena".into(), "run".into()];
    if let Some(file) = file {
        given.extend(["--config".into(), file.clone().into_os_string()]);
    }
    let arguments = Arguments::try_parse_from(given).map_err(|error| Error::Invalid(error.to_string()))?;
    let Command::Run(run) = arguments.command else { return Ok("{}".to_owned()) };
    configuration(&run).map(|configured| configured.json).map_err(|error| Error::Invalid(error.message))
}

async fn init(nats: &Nats, arguments: &Init) -> Result<(), Error> {
    let config = configured(arguments.config.as_ref())?;
    load(None, Cache::Default).map_err(|error| Error::Invalid(error.message))?.open(&config)?;
    let retention = Retention {
        replicas: arguments.replicas,
        waiting_bytes: arguments.waiting_bytes,
        output_bytes: arguments.output_bytes,
        output_seconds: arguments.output_seconds,
    };
    for address in &arguments.monitor {
        check_server(address);
    }
    if arguments.monitor.is_empty() {
        info!("--monitor is not given: whether the servers write at once (sync_interval: always) is not checked");
    }
    let would = arguments.dry_run;
    let differences = catena_cluster::init(nats, COMPONENT, &config, arguments.partitions, &retention, would).await?;
    let verb = if would { "would" } else { "did" };
    for difference in &differences {
        match &difference.setting {
            None => println!("{}: {verb} create it: {}", difference.stream, difference.should_be),
            Some(setting) => {
                let (is, should_be) = (&difference.is, &difference.should_be);
                println!("{}: {verb} change {setting} from {is} to {should_be}", difference.stream);
            }
        }
    }
    if differences.is_empty() {
        println!("All streams are as they should be.");
    }
    Ok(())
}

/// Warns about a server that acknowledges what it has not written: a power failure of two of three loses it (Jepsen, "NATS 2.12.1").
fn check_server(address: &str) {
    let asked = ureq::get(format!("{}/varz", address.trim_end_matches('/'))).call();
    let answer = asked.map_err(|error| error.to_string()).and_then(|mut response| {
        let text = response.body_mut().read_to_string().map_err(|error| error.to_string())?;
        serde_json::from_str::<serde_json::Value>(&text).map_err(|error| error.to_string())
    });
    match answer {
        Ok(varz) => {
            let config = &varz["jetstream"]["config"];
            if config["sync_always"] != true {
                let interval = config["sync_interval"].as_u64().unwrap_or_default() / 1_000_000_000;
                warn!(
                    "{address}: acknowledges records before they are written (every {interval} s): a power failure of several servers can \
                     lose them; set jetstream {{ sync_interval: always }}"
                );
            }
        }
        Err(why) => warn!("{address}: cannot be checked: {why}"),
    }
}

async fn status(deployment: &Deployment, arguments: &StatusArguments) -> Result<(), Error> {
    let status = catena_cluster::status(deployment).await?;
    if arguments.prometheus {
        print!("{}", metrics(&status));
        return Ok(());
    }
    if arguments.json {
        println!("{}", serde_json::to_string(&status).map_err(|error| Error::Invalid(error.to_string()))?);
        return Ok(());
    }
    let share = 100.0 * status.candidate_bytes as f64 / (status.bytes.max(1)) as f64;
    println!("epoch {}; {} records routed, {share:.2} % of the bytes to correlators", status.epoch, status.records);
    println!("{} blocks wait for the router; workers: {}", status.waiting_blocks, status.workers.join(", "));
    println!(
        "{:>9}  {:<24} {:>8} {:>12} {:>10} {:>12} {:>8}",
        "partition", "worker", "lag", "records", "findings", "checkpoint", "age"
    );
    for one in &status.partitions {
        let age = one.checkpoint_age_ms.map_or("-".to_owned(), |age| format!("{} s", age / 1000));
        println!(
            "{:>9}  {:<24} {:>8} {:>12} {:>10} {:>12} {:>8}",
            one.partition, one.worker, one.lag, one.records, one.findings, one.checkpoint_bytes, age
        );
    }
    Ok(())
}

/// A status as metrics in the text format of Prometheus.
fn metrics(status: &Status) -> String {
    let mut text = String::new();
    let mut family = |name: &str, kind: &str, help: &str, samples: &[(String, u64)]| {
        text.push_str(&format!("# HELP catena_cluster_{name} {help}\n# TYPE catena_cluster_{name} {kind}\n"));
        samples.iter().for_each(|(labels, value)| text.push_str(&format!("catena_cluster_{name}{labels} {value}\n")));
    };
    let one = |value: u64| vec![(String::new(), value)];
    family("workers", "gauge", "Workers that are there.", &one(status.workers.len() as u64));
    family("waiting_blocks", "gauge", "Blocks that wait for the router.", &one(status.waiting_blocks));
    family("records_total", "counter", "Records that were routed.", &one(status.records));
    family("bytes_total", "counter", "Bytes of records that were routed.", &one(status.bytes));
    family(
        "candidate_bytes_total",
        "counter",
        "Bytes of records that went on to correlators.",
        &one(status.candidate_bytes),
    );
    let each = |of: &dyn Fn(&PartitionStatus) -> Option<u64>| -> Vec<(String, u64)> {
        let sample = |one: &PartitionStatus| Some((format!("{{partition=\"{}\"}}", one.partition), of(one)?));
        status.partitions.iter().filter_map(sample).collect()
    };
    family(
        "partition_lag",
        "gauge",
        "Sequences between what is committed and the last block.",
        &each(&|one| Some(one.lag)),
    );
    family("partition_records_total", "counter", "Records of a partition.", &each(&|one| Some(one.records)));
    family("partition_findings_total", "counter", "Findings of a partition.", &each(&|one| Some(one.findings)));
    let bytes = |one: &PartitionStatus| Some(one.checkpoint_bytes as u64);
    family("partition_checkpoint_bytes", "gauge", "The size of the last checkpoint.", &each(&bytes));
    let age = |one: &PartitionStatus| one.checkpoint_age_ms.map(|age| age / 1000);
    family("partition_checkpoint_age_seconds", "gauge", "The age of the last checkpoint.", &each(&age));
    text
}
