//! Checkpoints: chunks that are stored before the pointer to them.

use std::time::SystemTime;

use async_nats::HeaderMap;
use bytes::{Bytes, BytesMut};
use sha2::{Digest, Sha256};

use crate::deployment::hexadecimal;
use crate::nats::{Answer, Nats};
use crate::pointer::Generation;
use crate::{Error, block, streams};

/// Stores a checkpoint under a number of its own.
pub(crate) async fn put(
    nats: &Nats,
    partition: u32,
    checkpoint: &[u8],
    input: u64,
    epoch: &str,
) -> Result<Generation, Error> {
    let since = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    // Two processes may take one at the same time; the clock and the process tell them apart.
    let number = (since.as_micros() as u64) << 8 | u64::from(std::process::id() & 0xff);
    let subject = streams::state_of(partition, number);
    let mut chunks = 0;
    for chunk in checkpoint.chunks(block::LONGEST) {
        match nats.request(subject.clone(), HeaderMap::new(), Bytes::copy_from_slice(chunk)).await {
            Answer::Ok(_) => chunks += 1,
            Answer::Refused(error) => return Err(Error::Nats(format!("{subject}: {}", error.description))),
            Answer::Unknown(why) => return Err(Error::Nats(format!("{subject}: {why}"))),
        }
    }
    let sha256 = hexadecimal(&Sha256::digest(checkpoint), 64);
    let time_ms = since.as_millis() as u64;
    Ok(Generation { number, input, epoch: epoch.to_owned(), chunks, bytes: checkpoint.len(), sha256, time_ms })
}

/// Loads a checkpoint.
///
/// # Errors
///
/// [`Error::Invalid`] if it is not what was stored.
pub(crate) async fn get(nats: &Nats, partition: u32, generation: &Generation) -> Result<Bytes, Error> {
    let subject = streams::state_of(partition, generation.number);
    let mut checkpoint = BytesMut::with_capacity(generation.bytes);
    let mut next = 1;
    for _ in 0..generation.chunks {
        let chunk = nats.next(streams::STATE, &subject, next).await?;
        let chunk = chunk.ok_or_else(|| Error::Invalid(format!("{subject}: a chunk is missing")))?;
        checkpoint.extend_from_slice(&chunk.payload);
        next = chunk.sequence + 1;
    }
    if hexadecimal(&Sha256::digest(&checkpoint), 64) != generation.sha256 {
        return Err(Error::Invalid(format!("{subject}: the checksum is wrong")));
    }
    Ok(checkpoint.freeze())
}

/// After this long, a checkpoint to which no pointer was stored will never have one, in microseconds.
const ORPHANED: u64 = 600_000_000;

/// The time in milliseconds since 1970, as in [`Generation::time_ms`].
pub(crate) fn now_ms() -> u64 {
    SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default().as_millis() as u64
}

/// Removes checkpoints whose pointer was never stored, because their process was killed in between. The caller must have just committed a
/// pointer to the `known` ones.
pub(crate) async fn remove_orphans(nats: &Nats, partition: u32, known: &[Generation]) {
    let subjects = nats.subjects(streams::STATE, &streams::states_of(partition)).await.unwrap_or_default();
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default().as_micros() as u64;
    for subject in subjects.keys() {
        let number = subject.rsplit('.').next().and_then(|number| number.parse::<u64>().ok());
        let is_older = |number: &u64| !known.is_empty() && known.iter().all(|one| *number < one.number);
        let Some(number) = number.filter(is_older) else { continue };
        if now.saturating_sub(number >> 8) > ORPHANED {
            remove(nats, partition, number).await;
        }
    }
}

/// Removes a checkpoint that is no longer needed.
pub(crate) async fn remove(nats: &Nats, partition: u32, number: u64) {
    nats.tidy(streams::STATE, &streams::state_of(partition, number), u64::MAX >> 1).await;
}
