//! Checkpoints: everything that is remembered, as bytes that outlive the instance.
//!
//! `CATENA` and a format version, the body, and a checksum over both. Nothing in it is trusted before the checksum holds,
//! and nothing is allocated for what is not there. See `chain/snapshot.rs` for the body.

use std::hash::Hasher;

use siphasher::sip::SipHasher13;

use super::Correlator;
use super::metrics::Counters;
use crate::rule::RulePlan;
use crate::util::packed::{Decoder, encode_bytes, encode_number};
use crate::vocab::Error;

const MAGIC: &[u8; 6] = b"CATENA";
/// Counts up with every change of the format. Version 1 kept texts in other ways, see `codec`.
const VERSION: u16 = 2;
/// How many reasons for a rejection version 1 counts; later ones say so.
const REASONS_OF_VERSION_1: usize = 6;
const HEADER: usize = MAGIC.len() + size_of::<u16>();

pub(crate) fn save(correlator: &Correlator) -> Vec<u8> {
    // State is about twice its checkpoint; growing by doubling would copy it all once more.
    let mut bytes = Vec::with_capacity(correlator.chains.bytes() / 2 + 4_096);
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    let Counters { records, matched, dropped, findings, suppressed, excepted, rejected, by_rule } =
        &correlator.counters;
    for count in [records, matched, dropped, findings, suppressed, excepted] {
        encode_number(&mut bytes, *count);
    }
    encode_number(&mut bytes, rejected.len() as u64);
    for count in rejected {
        encode_number(&mut bytes, *count);
    }
    encode_number(&mut bytes, by_rule.len() as u64);
    for (count, rule) in by_rule.iter().zip(&correlator.rules.rules) {
        encode_bytes(&mut bytes, rule.rule.id.as_bytes());
        encode_number(&mut bytes, *count);
    }
    correlator.chains.save(&correlator.rules, &mut bytes);
    let checksum = checksum(&bytes);
    bytes.extend_from_slice(&checksum.to_le_bytes());
    bytes
}

/// Puts what a checkpoint holds into a fresh correlator.
pub(crate) fn restore(correlator: &mut Correlator, bytes: &[u8]) -> Result<(), Error> {
    let (version, body) = checked(bytes)?;
    let mut body = Decoder::new(body);
    take(correlator, version, &mut body).ok_or_else(|| Error::InvalidCheckpoint("inconsistent checkpoint".to_owned()))
}

fn take(correlator: &mut Correlator, version: u16, body: &mut Decoder<'_>) -> Option<()> {
    let Counters { records, matched, dropped, findings, suppressed, excepted, rejected, by_rule } =
        &mut correlator.counters;
    for count in [records, matched, dropped, findings, suppressed, excepted] {
        *count = body.number()?;
    }
    // Reasons are only added at the end.
    let reasons = if version == 1 { REASONS_OF_VERSION_1 } else { body.count(1)? };
    for at in 0..reasons {
        let count = body.number()?;
        if let Some(known) = rejected.get_mut(at) {
            *known = count;
        }
    }
    for _ in 0..body.count(2)? {
        let (id, saved) = (body.text()?, body.number()?);
        let same_id = |(_, rule): &(&mut u64, &RulePlan)| rule.rule.id == id;
        for (count, _) in by_rule.iter_mut().zip(&correlator.rules.rules).filter(same_id) {
            *count = saved;
        }
    }
    correlator.reset_rules = correlator.chains.restore(&correlator.rules, version == VERSION, body)?;
    (body.left() == 0).then_some(())
}

/// The version and the body, once header and checksum are found to be right.
fn checked(bytes: &[u8]) -> Result<(u16, &[u8]), Error> {
    let invalid = |why: String| Err(Error::InvalidCheckpoint(why));
    if !bytes.starts_with(MAGIC) {
        return invalid("it does not begin as a checkpoint of Catena does".to_owned());
    }
    let (Some((covered, sum)), Some((header, _))) = (bytes.split_last_chunk(), bytes.split_first_chunk::<HEADER>())
    else {
        return invalid("it is cut short".to_owned());
    };
    let [.., low, high] = *header;
    let version = u16::from_le_bytes([low, high]);
    if !(1..=VERSION).contains(&version) {
        return invalid(format!("it has format version {version}, this engine reads versions 1 to {VERSION}"));
    }
    if checksum(covered) != u64::from_le_bytes(*sum) {
        return invalid("its checksum does not match: it is damaged or cut short".to_owned());
    }
    Ok((version, covered.get(HEADER..).unwrap_or_default()))
}

fn checksum(bytes: &[u8]) -> u64 {
    let mut hasher = SipHasher13::new();
    hasher.write(bytes);
    hasher.finish()
}
