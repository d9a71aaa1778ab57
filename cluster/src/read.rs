//! What a fleet has written, in order.

use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use catena_host::Finding;

use tracing::{error, warn};

use crate::nats::{Nats, header};
use crate::outputs::{ABOUT, About};
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

/// The findings that are stored from a sequence on, as a sender wants them: gives those of each message, and the sequence behind it.
/// Waits for what comes, until told to stop.
///
/// # Errors
///
/// [`Error::Nats`], and those of `give`.
pub async fn findings(
    nats: &Nats,
    from: u64,
    stop: &AtomicBool,
    mut give: impl FnMut(Vec<Finding>, u64) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut next = from.max(1);
    while !stop.load(Ordering::Relaxed) {
        let Some(stored) = block::next(nats, streams::OUT, "catena.findings.*", next).await? else {
            give(Vec::new(), next)?;
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        next = stored.sequence + 1;
        let about = header(&stored.headers, ABOUT).and_then(|text| serde_json::from_str::<Vec<About>>(text).ok());
        let text = String::from_utf8_lossy(&stored.payload);
        if about.as_ref().map_or(0, Vec::len) != text.lines().count() {
            error!(
                "{} at {}: what is said about findings does not fit them: not all are delivered",
                streams::OUT,
                stored.sequence
            );
        }
        let of = |(body, (id, rule, severity_id, last_seen_ms)): (&str, About)| Finding {
            id,
            rule,
            severity_id,
            first_seen_ms: last_seen_ms,
            last_seen_ms,
            start: 0,
            end: 0,
            body: body.to_owned(),
            extra: None,
        };
        give(text.lines().zip(about.unwrap_or_default()).map(of).collect(), next)?;
    }
    Ok(())
}

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
            while let Some(stored) = block::next(nats, stream, subject, *next).await? {
                *next = stored.sequence + 1;
                count += 1;
                let is_finding = || header(&stored.headers, ABOUT).is_some();
                match what {
                    What::Records => match block::decode(&stored.payload) {
                        Ok(records) => to.write_all(&records)?,
                        // Anybody who may publish there can send it.
                        Err(error) => warn!("{stream} at {}: {error}", stored.sequence),
                    },
                    What::Findings if !is_finding() => warn!("{stream} at {}: no findings", stored.sequence),
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
