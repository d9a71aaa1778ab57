//! `catena cluster`: a fleet of correlators on NATS JetStream.

mod arguments;
mod ingest;
mod init;
mod metrics;
mod send;
mod status;

use std::borrow::Cow;
use std::fs;
use std::io;
use std::sync::Arc;

use catena_cluster::{Access, Deployment, Error, Nats, What, Worker, check_deployed};
use catena_component::COMPONENT;
use catena_host::Sandbox;
use indicatif::ProgressBar;
use tokio::runtime;
use tracing::info;

pub use arguments::Cluster;
use arguments::{Reach, ReadWhat, Role, Versioned};
use metrics::Told;

use super::setup::{Cache, load};
use super::signals::Signals;
use super::terminal::print;
use super::{CliError, DONE, log};

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
    log::start(reach.log_format, reach.log_level, &ProgressBar::hidden());
    let signals = Signals::listen();
    let signals = signals.map_err(|error| CliError::new(format!("cannot install signal handlers: {error}")))?;
    let runtime = runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| CliError::new(error.to_string()))?;
    match runtime.block_on(run(command, reach, &signals)) {
        Ok(text) => {
            print(format_args!("{text}"))?;
            Ok(signals.exit_code().unwrap_or(DONE))
        }
        Err(Error::Stopped) if let Some(code) = signals.exit_code() => Ok(code),
        Err(Error::Invalid(why)) => Err(CliError::usage(why)),
        Err(Error::Io(error)) if error.kind() == io::ErrorKind::BrokenPipe => Err(CliError::reader_gone()),
        Err(error) => Err(CliError::new(error.to_string())),
    }
}

/// Runs a command, and returns what it prints.
async fn run(command: &Cluster, reach: &Reach, signals: &Signals) -> Result<String, Error> {
    let stop = signals.stop_flag();
    let access = Access {
        servers: reach.nats.clone(),
        credentials: reach.creds.clone(),
        authorities: reach.ca.clone(),
        identity: reach.cert.clone().zip(reach.key.clone()),
    };
    for file in [&reach.ca, &reach.cert, &reach.key].into_iter().flatten() {
        fs::metadata(file).map_err(|error| Error::Invalid(format!("cannot read {}: {error}", file.display())))?;
    }
    // What is wrong here is told before servers are asked.
    let config = match command {
        Cluster::Init(arguments) => init::configured(arguments.config.as_ref())?,
        Cluster::Apply(arguments) => init::configured(Some(&arguments.config))?,
        _ => String::new(),
    };
    let nats = Nats::connect(&access, "catena cluster", &stop).await?;
    match command {
        Cluster::Init(arguments) => return init::init(&nats, arguments, &config).await,
        Cluster::Status(arguments) => return status::status(&nats, arguments).await,
        Cluster::Ingest(arguments) => ingest::ingest(&nats, arguments, signals).await?,
        Cluster::Route(arguments) => {
            let deployment = join(nats, &arguments.versioned).await?;
            let told = Told { partitions: Some(deployment.partitions), ..Told::default() };
            let counts = told.metrics.clone();
            metrics::serve(arguments.metered.metrics, &deployment.nats, told)?;
            catena_cluster::route(&deployment, &name(arguments), &counts, &stop).await?;
        }
        Cluster::Work(arguments) => {
            let deployment = join(nats, &arguments.role.versioned).await?;
            let checkpoint_after = arguments.checkpoint_after;
            let worker = Worker { name: name(&arguments.role), most: arguments.most, checkpoint_after };
            let told = Told { partitions: Some(deployment.partitions), ..Told::default() };
            let counts = told.metrics.clone();
            metrics::serve(arguments.role.metered.metrics, &deployment.nats, told)?;
            catena_cluster::work(&deployment, &worker, &counts, &stop).await?;
        }
        Cluster::Apply(arguments) => {
            let deployment = join(nats, &arguments.versioned).await?;
            let epoch = catena_cluster::change(&deployment, &config).await?;
            if epoch == deployment.epoch {
                info!("epoch {epoch}: nothing has changed");
            } else {
                info!("epoch {epoch}: what comes from now on is correlated by {}", arguments.config.display());
            }
        }
        Cluster::Send(arguments) => send::send(&nats, arguments, signals).await?,
        Cluster::Read(arguments) => {
            let what = match arguments.what {
                ReadWhat::Findings => What::Findings,
                ReadWhat::Records => What::Records,
                ReadWhat::Rejected => What::Rejected,
            };
            check_deployed(&nats).await?;
            let mut to = io::BufWriter::new(io::stdout());
            catena_cluster::read(&nats, what, arguments.follow, &mut to, &stop).await?;
        }
    }
    Ok(String::new())
}

fn name(role: &Role) -> String {
    let host = fs::read_to_string("/etc/hostname").unwrap_or_default();
    let made = format!("{}-{}", host.trim(), std::process::id());
    let name = role.name.clone().unwrap_or(made);
    // It is a part of a subject.
    name.chars().map(|letter| if letter.is_ascii_alphanumeric() || letter == '-' { letter } else { '_' }).collect()
}

/// The bytes of the component, and the component ready to run.
fn component(versioned: &Versioned) -> Result<(Cow<'static, [u8]>, Sandbox), Error> {
    let file = versioned.component.as_deref();
    let sandbox = load(file, Cache::Default).map_err(|error| Error::Invalid(error.message))?;
    let bytes = match file {
        Some(file) => Cow::Owned(fs::read(file)?),
        None => Cow::Borrowed(COMPONENT),
    };
    Ok((bytes, sandbox))
}

async fn join(nats: Nats, versioned: &Versioned) -> Result<Deployment, Error> {
    let (bytes, sandbox) = component(versioned)?;
    Deployment::join(nats, &bytes, Arc::new(sandbox)).await
}
