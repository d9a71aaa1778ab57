//! Checkpoints: the complete state of a correlator as bytes.
//!
//! The magic bytes `CATENA` and a format version (2 bytes, little-endian), the body, and a checksum over all of it
//! (8 bytes, little-endian). Nothing in the body is trusted before the checksum is verified, and nothing is allocated
//! for bytes that are not present. The body holds the counters, then the state; see `chain/snapshot.rs` for the state.

use std::hash::Hasher;

use siphasher::sip::SipHasher13;

use super::Correlator;
use super::metrics::Counters;
use crate::rule::RulePlan;
use crate::util::packed::{Decoder, encode_bytes, encode_number, encode_signed};
use crate::vocab::Error;

const MAGIC: &[u8; 6] = b"CATENA";
/// Incremented with every change of the format. Version 1 encodes texts differently, see
/// [`encode_text`](crate::util::packed::encode_text); version 2 does not say what limits cost; version 3 does not count what
/// the input consists of.
pub(crate) const FORMAT: u16 = 4;
/// The number of rejection reasons that version 1 counts. Later versions store the number.
const REASONS_OF_VERSION_1: usize = 6;
const HEADER: usize = MAGIC.len() + size_of::<u16>();

/// Writes a checkpoint of a correlator. Linear in its state.
pub(crate) fn save(correlator: &Correlator) -> Vec<u8> {
    // A checkpoint takes about half the memory of the state. Growing the vector by doubling would copy it once more.
    let mut bytes = Vec::with_capacity(correlator.chains.bytes() / 2 + 4_096);
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&FORMAT.to_le_bytes());
    let Counters { records, matched, dropped, findings, suppressed, excepted, rejected, inputs, by_rule } =
        &correlator.counters;
    for count in [records, matched, dropped, findings, suppressed, excepted] {
        encode_number(&mut bytes, *count);
    }
    encode_number(&mut bytes, rejected.len() as u64);
    for count in rejected {
        encode_number(&mut bytes, *count);
    }
    encode_signed(&mut bytes, correlator.budget.credit);
    encode_number(&mut bytes, inputs.counts().count() as u64);
    for count in inputs.counts() {
        encode_number(&mut bytes, count);
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

/// Restores a checkpoint into a new correlator.
pub(crate) fn restore(correlator: &mut Correlator, bytes: &[u8]) -> Result<(), Error> {
    let (version, body) = verify(bytes)?;
    let mut body = Decoder::new(body);
    decode_body(correlator, version, &mut body)
        .ok_or_else(|| Error::InvalidCheckpoint("inconsistent checkpoint".to_owned()))
}

/// Reads the body. `None` if it is inconsistent.
fn decode_body(correlator: &mut Correlator, version: u16, body: &mut Decoder<'_>) -> Option<()> {
    let Counters { records, matched, dropped, findings, suppressed, excepted, rejected, inputs, by_rule } =
        &mut correlator.counters;
    for count in [records, matched, dropped, findings, suppressed, excepted] {
        *count = body.number()?;
    }
    // New reasons are only ever added at the end.
    let reasons = if version == 1 { REASONS_OF_VERSION_1 } else { body.count(1)? };
    for at in 0..reasons {
        let count = body.number()?;
        if let Some(known) = rejected.get_mut(at) {
            *known = count;
        }
    }
    if version >= 3 {
        correlator.budget.credit = body.signed()?;
    }
    if version >= 4 {
        let mut counts = inputs.counts_mut();
        for _ in 0..body.count(1)? {
            let saved = body.number()?;
            if let Some(count) = counts.next() {
                *count = saved;
            }
        }
    }
    for _ in 0..body.count(2)? {
        let (id, saved) = (body.text()?, body.number()?);
        let same_id = |(_, rule): &(&mut u64, &RulePlan)| rule.rule.id == id;
        for (count, _) in by_rule.iter_mut().zip(&correlator.rules.rules).filter(same_id) {
            *count = saved;
        }
    }
    correlator.reset_rules = correlator.chains.restore(&correlator.rules, version, body)?;
    (body.left() == 0).then_some(())
}

/// Verifies header and checksum; returns the format version and the body.
fn verify(bytes: &[u8]) -> Result<(u16, &[u8]), Error> {
    let invalid = |why: String| Err(Error::InvalidCheckpoint(why));
    if !bytes.starts_with(MAGIC) {
        return invalid("it is not a Catena checkpoint".to_owned());
    }
    let (Some((covered, sum)), Some((header, _))) = (bytes.split_last_chunk(), bytes.split_first_chunk::<HEADER>())
    else {
        return invalid("it is truncated".to_owned());
    };
    let [.., low, high] = *header;
    let version = u16::from_le_bytes([low, high]);
    if !(1..=FORMAT).contains(&version) {
        return invalid(format!("it has format version {version}; this engine reads versions 1 to {FORMAT}"));
    }
    if checksum(covered) != u64::from_le_bytes(*sum) {
        return invalid("its checksum does not match: it is damaged or truncated".to_owned());
    }
    Ok((version, covered.get(HEADER..).unwrap_or_default()))
}

fn checksum(bytes: &[u8]) -> u64 {
    let mut hasher = SipHasher13::new();
    hasher.write(bytes);
    hasher.finish()
}
