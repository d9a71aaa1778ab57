//! `catena cluster send`.

use std::fs;
use std::io;

use catena_cluster::{Error, Nats, check_deployed};
use tracing::info;

use super::arguments::SendArguments;
use super::metrics::{self, Told};
use crate::CliError;
use crate::lock::Locks;
use crate::send::Senders;
use crate::signals::Signals;

/// Messages after which the place in the stream is saved, if it is not idle before.
const SAVE_EVERY: u64 = 256;

/// `catena cluster send`: delivers findings from a spool of its own. The place in the stream is saved once they are in it.
pub async fn send(nats: &Nats, arguments: &SendArguments, signals: &Signals) -> Result<(), Error> {
    check_deployed(nats).await?;
    let fail = |error: CliError| Error::Invalid(error.message);
    let mut senders = Senders::open(&arguments.destinations, Some(&arguments.spool), &Locks::AtOnce).map_err(fail)?;
    let statuses = senders.statuses();
    metrics::serve(arguments.metered.metrics, nats, Told { senders: statuses, ..Told::default() })?;
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
