//! What a fleet has written, in order.

use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::nats::Nats;
use crate::{Error, block, streams};

/// What correlators and routers write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// The findings, as one JSON object a line.
    Findings,
    /// The records that stay in the stream: those that a correlator has seen, in order within a partition, and, in mode `enrich`, all
    /// others.
    Records,
    /// The records that could not be read, each with the reason.
    Rejected,
}

/// How long to wait for more.
const PAUSE: Duration = Duration::from_millis(200);

/// Writes what is stored to `to`, and, with `follow`, what comes, until told to stop. Returns the number of messages.
///
/// # Errors
///
/// [`Error::Io`] of `to`, [`Error::Nats`].
pub async fn read(
    nats: &Nats,
    what: What,
    follow: bool,
    to: &mut (dyn Write + Send),
    stop: &AtomicBool,
) -> Result<u64, Error> {
    let sources: &[(&str, &str)] = match what {
        What::Findings => &[(streams::OUT, "catena.findings.*")],
        What::Records => &[(streams::OUT, "catena.out.*"), (streams::EVENTS, streams::REST)],
        What::Rejected => &[(streams::OUT, "catena.rejected.*")],
    };
    let mut next = vec![1; sources.len()];
    let mut count = 0;
    loop {
        let before = count;
        for ((stream, subject), next) in sources.iter().zip(&mut next) {
            while let Some(stored) = nats.next(stream, subject, *next).await? {
                *next = stored.sequence + 1;
                count += 1;
                match what {
                    What::Records => to.write_all(&block::decode(&stored.payload)?)?,
                    What::Findings | What::Rejected => to.write_all(&stored.payload)?,
                }
                if stop.load(Ordering::Relaxed) {
                    return Ok(count);
                }
            }
        }
        to.flush()?;
        if stop.load(Ordering::Relaxed) || (!follow && count == before) {
            return Ok(count);
        }
        if count == before {
            tokio::time::sleep(PAUSE).await;
        }
    }
}
