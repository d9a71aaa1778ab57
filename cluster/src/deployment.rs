//! What all processes of a fleet agree on: the component, the configuration, the number of partitions.

use std::sync::Arc;

use bytes::Bytes;
use catena_host::{Bounds, Mode, Sandbox, Supervisor, with_partition};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tracing::warn;

use crate::commit::{Fence, Outgoing};
use crate::metrics::StageMetrics;
use crate::nats::Nats;
use crate::pointer::{self, Routed};
use crate::streams::{self, Difference, Retention};
use crate::{Error, block, nudge};

/// The subject of the description.
const SUBJECT: &str = "catena.deployment";

/// The header of a message by which a partition changes its epoch.
pub(crate) const MARKER: &str = "Catena-Marker";

/// The header of a block with the epoch by which it was routed.
pub(crate) const EPOCH: &str = "Catena-Epoch";

/// A deployment as it is stored.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Described {
    pub(crate) partitions: u32,
    pub(crate) epoch: String,
    /// How long outputs are kept, in seconds.
    output_seconds: u64,
}

/// A configuration as it is stored, under its epoch.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Configured {
    /// The digest of the component.
    component: String,
    config: String,
}

/// A fleet, as one of its processes sees it.
#[derive(Clone)]
pub struct Deployment {
    /// The connection.
    pub nats: Nats,
    pub(crate) sandbox: Arc<Sandbox>,
    component: String,
    /// The number of partitions, fixed for the life of the deployment.
    pub partitions: u32,
    /// The epoch that is current.
    pub epoch: String,
    /// How long outputs are kept, in seconds.
    pub(crate) output_seconds: u64,
}

/// The version of what processes store in streams for each other. To be changed with it.
const FORMAT: &[u8] = b"1";

/// The digest of a component and of the form of all that is stored.
fn digest(component: &[u8]) -> String {
    let digest = Sha256::new().chain_update(FORMAT).chain_update(component).finalize();
    hexadecimal(&digest, 32)
}

pub(crate) fn hexadecimal(bytes: &[u8], digits: usize) -> String {
    let mut text: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    text.truncate(digits);
    text
}

/// An epoch: whatever differs in it, processes must not work on each other's data.
fn epoch(component: &str, config: &str, partitions: u32) -> String {
    let whole = format!("{component}\n{partitions}\n{config}");
    hexadecimal(&Sha256::digest(whole.as_bytes()), 16)
}

/// Creates the streams of a deployment and describes it there, or only tells what it `would` change. What exists already stays: a
/// deployment keeps its partitions and its epoch.
///
/// # Errors
///
/// [`Error::Invalid`] if the deployment exists with another number of partitions; [`Error::Nats`].
pub async fn init(
    nats: &Nats,
    component: &[u8],
    config: &str,
    partitions: u32,
    retention: &Retention,
    would: bool,
) -> Result<Vec<Difference>, Error> {
    if !(1..=256).contains(&partitions) {
        return Err(Error::Invalid(format!("expected 1 to 256 partitions, not {partitions}")));
    }
    check(config, None)?;
    let retention = &retention.settled(nats).await?;
    let differences = streams::differences(nats, retention).await?;
    if would {
        return Ok(differences);
    }
    streams::apply(nats, retention, &differences).await?;
    let (described, fence) = pointer::load::<Option<Described>>(nats, streams::DEPLOYMENT, SUBJECT).await?;
    match described {
        Some(described) if described.partitions != partitions => {
            let why = format!("the deployment has {} partitions, which cannot be changed", described.partitions);
            return Err(Error::Invalid(why));
        }
        Some(described) => {
            let stored: Option<Configured> =
                pointer::load(nats, streams::DEPLOYMENT, &config_of(&described.epoch)).await?.0;
            if stored.is_some_and(|stored| stored.config != config) {
                warn!("the deployment keeps its configuration, which is another: `catena cluster apply` changes it");
            }
            if described.output_seconds == retention.output_seconds {
                return Ok(differences);
            }
            let described = Described { output_seconds: retention.output_seconds, ..described };
            describe(nats, &described, fence).await?;
        }
        None => {
            let component = digest(component);
            let epoch = store(nats, &component, config, partitions).await?;
            let output_seconds = retention.output_seconds;
            describe(nats, &Described { partitions, epoch, output_seconds }, fence).await?;
        }
    }
    Ok(differences)
}

/// Checks what a fleet needs of a configuration beyond what the component does. `before` is the one that it replaces.
fn check(config: &str, before: Option<&str>) -> Result<(), Error> {
    let read = |config: &str| serde_json::from_str::<serde_json::Value>(config).unwrap_or_default();
    let (config, before) = (read(config), before.map(read));
    let least = block::LARGEST as u64;
    if config["limits"]["batch_bytes"].as_u64().is_some_and(|bytes| bytes < least) {
        return Err(Error::Invalid(format!(
            "limits.batch_bytes must be {least} or more: a fleet's blocks may have as many"
        )));
    }
    if !config["partition"].is_null() {
        return Err(Error::Invalid("partition cannot be set: a fleet sets it".to_owned()));
    }
    if before.is_some_and(|before| before["hash_key"] != config["hash_key"]) {
        let why = "hash_key cannot be changed: all identities would move away from what is pending of them";
        return Err(Error::Invalid(why.to_owned()));
    }
    Ok(())
}

/// Stores a configuration, and returns its epoch.
async fn store(nats: &Nats, component: &str, config: &str, partitions: u32) -> Result<String, Error> {
    let epoch = epoch(component, config, partitions);
    let subject = config_of(&epoch);
    let (stored, fence) = pointer::load::<Option<Configured>>(nats, streams::DEPLOYMENT, &subject).await?;
    if stored.is_none() {
        let configured = Configured { component: component.to_owned(), config: config.to_owned() };
        let message = pointer::message(subject, &configured)?;
        if message.payload.len() > block::LONGEST {
            let (is, most) = (message.payload.len(), block::LONGEST);
            return Err(Error::Invalid(format!(
                "the configuration with its rules has {is} bytes; a fleet takes {most}"
            )));
        }
        nats.commit(streams::DEPLOYMENT, &[], &message, fence, &StageMetrics::default()).await?;
    }
    Ok(epoch)
}

async fn describe(nats: &Nats, described: &Described, fence: Fence) -> Result<(), Error> {
    let message = pointer::message(SUBJECT.to_owned(), described)?;
    nats.commit(streams::DEPLOYMENT, &[], &message, fence, &StageMetrics::default()).await.map(|_| ())
}

/// Changes the configuration of a running fleet: what was routed before is correlated by the old one, what comes later by the new one,
/// with the state of all unchanged rules. Returns the new epoch.
///
/// # Errors
///
/// [`Error::Invalid`] if the component refuses the configuration, [`Error::Nats`].
pub async fn change(deployment: &Deployment, config: &str) -> Result<String, Error> {
    let Deployment { nats, partitions, component, .. } = deployment;
    let before = deployment.configured(&deployment.epoch).await?;
    check(config, before.as_ref().map(|before| &*before.config))?;
    deployment.sandbox.open(config)?;
    let new = store(nats, component, config, *partitions).await?;
    loop {
        let (mut routed, fence) = pointer::load::<Routed>(nats, streams::EVENTS, streams::ROUTED).await?;
        if routed.epoch == new {
            break;
        }
        routed.epoch = new.clone();
        let marker = |partition| Outgoing::new(streams::events_of(partition), Bytes::new()).header(MARKER, &new);
        let markers: Vec<Outgoing> = (0..*partitions).map(marker).collect();
        let message = pointer::message(streams::ROUTED.to_owned(), &routed)?;
        match nats.commit(streams::EVENTS, &markers, &message, fence, &StageMetrics::default()).await {
            Ok(_) => {
                nats.nudge(nudge::ROUTERS).await;
                break;
            }
            // The router was faster.
            Err(Error::Fenced(_)) => {}
            Err(error) => return Err(error),
        }
    }
    let (described, fence) = pointer::load::<Option<Described>>(nats, streams::DEPLOYMENT, SUBJECT).await?;
    let output_seconds = described.map_or(deployment.output_seconds, |described| described.output_seconds);
    let described = Described { partitions: *partitions, epoch: new.clone(), output_seconds };
    describe(nats, &described, fence).await?;
    Ok(new)
}

/// Checks that there is a deployment.
///
/// # Errors
///
/// [`Error::Invalid`] if there is none, [`Error::Nats`].
pub async fn check_deployed(nats: &Nats) -> Result<(), Error> {
    described(nats).await.map(|_| ())
}

/// The deployment as it is stored.
pub(crate) async fn described(nats: &Nats) -> Result<Described, Error> {
    let missing = || Error::Invalid("there is no deployment on these servers: run `catena cluster init`".into());
    nats.stream(streams::DEPLOYMENT).await?.ok_or_else(missing)?;
    let (described, _) = pointer::load::<Option<Described>>(nats, streams::DEPLOYMENT, SUBJECT).await?;
    described.ok_or_else(missing)
}

fn config_of(epoch: &str) -> String {
    format!("catena.config.{epoch}")
}

impl Deployment {
    /// Joins a deployment, whose current epoch may be of another component.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] if there is none, [`Error::Component`], [`Error::Nats`].
    pub async fn join(nats: Nats, component: &[u8], sandbox: Arc<Sandbox>) -> Result<Self, Error> {
        let Described { partitions, epoch, output_seconds } = described(&nats).await?;
        Ok(Self { nats, sandbox, component: digest(component), partitions, epoch, output_seconds })
    }

    /// The configuration of an epoch.
    ///
    /// # Errors
    ///
    /// [`Error::Epoch`] if it is of another component.
    pub(crate) async fn config(&self, epoch: &str) -> Result<String, Error> {
        let configured = self.configured(epoch).await?;
        let configured = configured.ok_or_else(|| Error::Invalid(format!("the deployment has no epoch {epoch}")))?;
        if configured.component != self.component {
            let why = format!("epoch {epoch} is of another version: this program must not work on its data");
            return Err(Error::Epoch(why));
        }
        Ok(configured.config)
    }

    async fn configured(&self, epoch: &str) -> Result<Option<Configured>, Error> {
        Ok(pointer::load(&self.nats, streams::DEPLOYMENT, &config_of(epoch)).await?.0)
    }

    /// What tells this version from others.
    pub(crate) fn version(&self) -> &str {
        self.component.get(..8).unwrap_or_default()
    }

    /// Whether the current epoch is of this component.
    pub(crate) async fn is_current(&self) -> Result<bool, Error> {
        Ok(!self.is_foreign(&described(&self.nats).await?.epoch).await?)
    }

    /// Whether an epoch is of another component.
    pub(crate) async fn is_foreign(&self, epoch: &str) -> Result<bool, Error> {
        Ok(self.configured(epoch).await?.is_some_and(|configured| configured.component != self.component))
    }

    /// Whether anything was ever configured under a name.
    pub(crate) async fn has_epoch(&self, epoch: &str) -> Result<bool, Error> {
        let is_name = !epoch.is_empty() && epoch.bytes().all(|byte| byte.is_ascii_hexdigit());
        Ok(is_name && self.nats.last(streams::DEPLOYMENT, &config_of(epoch)).await?.is_some())
    }

    /// The correlator of a partition, or, without one, of the router.
    pub(crate) async fn open(
        &self,
        epoch: &str,
        partition: Option<u32>,
        checkpoint: Option<Bytes>,
    ) -> Result<(Supervisor, Mode), Error> {
        let config = self.config(epoch).await?;
        let settings: serde_json::Value = serde_json::from_str(&config).unwrap_or_default();
        let mode = match settings["mode"].as_str() {
            Some("filter") => Mode::Filter,
            Some("findings") => Mode::Findings,
            _ => Mode::Enrich,
        };
        let config = match partition {
            Some(partition) => with_partition(&config, partition, self.partitions),
            None => config,
        };
        let sandbox = Arc::clone(&self.sandbox);
        let bounds = Bounds::default();
        let opened = match checkpoint {
            Some(checkpoint) => Supervisor::resume(sandbox, &config, mode, bounds, checkpoint)?,
            None => Supervisor::open(sandbox, &config, mode, bounds)?,
        };
        Ok((opened, mode))
    }
}
