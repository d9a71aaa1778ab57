//! How far a stage has come.

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::commit::{Fence, Outgoing};
use crate::nats::Nats;
use crate::{Error, streams};

/// The pointer of the router.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Routed {
    /// The epoch by which it routes.
    pub(crate) epoch: String,
    /// The last sequence of `CATENA_IN` that was routed.
    pub(crate) input: u64,
    pub(crate) records: u64,
    /// Bytes of records that came in, and that went on to correlators.
    pub(crate) bytes: u64,
    pub(crate) candidate_bytes: u64,
}

/// The pointer of a partition.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Correlated {
    pub(crate) epoch: String,
    /// The last sequence of `CATENA_EVENTS` whose outputs are committed.
    pub(crate) input: u64,
    /// The last two checkpoints, the newest first.
    pub(crate) generations: Vec<Generation>,
    pub(crate) records: u64,
    pub(crate) findings: u64,
    /// Who committed, for people.
    pub(crate) worker: String,
}

/// A checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Generation {
    /// Its number. None is used twice: it is the fence of the commit before it.
    pub(crate) number: u64,
    /// The last sequence that is in it.
    pub(crate) input: u64,
    /// The epoch of its configuration.
    pub(crate) epoch: String,
    pub(crate) chunks: usize,
    pub(crate) bytes: usize,
    pub(crate) sha256: String,
    /// When it was taken, in milliseconds since 1970.
    pub(crate) time_ms: u64,
}

/// The pointer of a stage, and the right to commit the next; the default if there is none yet.
pub(crate) async fn load<T: DeserializeOwned + Default>(
    nats: &Nats,
    stream: &str,
    subject: &str,
) -> Result<(T, Fence), Error> {
    let Some(last) = nats.last(stream, subject).await? else { return Ok((T::default(), Fence(0))) };
    let pointer = serde_json::from_slice(&last.payload);
    let pointer = pointer.map_err(|error| Error::Invalid(format!("{subject}: the pointer cannot be read: {error}")))?;
    Ok((pointer, Fence(last.sequence)))
}

/// A pointer as a message.
pub(crate) fn message<T: Serialize>(subject: String, pointer: &T) -> Result<Outgoing, Error> {
    let payload = serde_json::to_vec(pointer)?;
    Ok(Outgoing::new(subject, Bytes::from(payload)))
}

/// The pointer of a partition.
pub(crate) async fn of_partition(nats: &Nats, partition: u32) -> Result<(Correlated, Fence), Error> {
    load(nats, streams::OUT, &streams::pointer_of(partition)).await
}
