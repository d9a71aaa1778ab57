//! Blocks: whole records, compressed, in one message.

use bytes::Bytes;

use crate::Error;

/// The longest payload. Servers take 1 MiB (`max_payload`), with headers.
const LONGEST: usize = 900_000;

/// Bytes of records in a block, about, if they compress as audit records do.
pub(crate) const TARGET: usize = 4 << 20;

/// The largest block that is decompressed.
const LARGEST: usize = 256 << 20;

/// Compression level: the fastest that saves most.
const LEVEL: i32 = 1;

/// Records as the payloads of blocks, each of whole lines.
///
/// # Errors
///
/// [`Error::Invalid`] for a record that is too long for a block even compressed.
pub(crate) fn encode(records: &[u8]) -> Result<Vec<Bytes>, Error> {
    let mut blocks = Vec::new();
    let mut waiting = vec![records];
    while let Some(part) = waiting.pop() {
        let compressed = zstd::bulk::compress(part, LEVEL)?;
        if compressed.len() <= LONGEST && part.len() <= LARGEST {
            blocks.push(compressed.into());
            continue;
        }
        let half = part.len() / 2;
        let before = part[..half].iter().rposition(|byte| *byte == b'\n').map(|at| at + 1);
        let after = part[half..].iter().position(|byte| *byte == b'\n').map(|at| half + at + 1);
        let middle = before.or(after).filter(|at| *at < part.len());
        let middle =
            middle.ok_or_else(|| Error::Invalid(format!("a record of {} bytes does not fit a block", part.len())))?;
        waiting.extend([&part[middle..], &part[..middle]]);
    }
    Ok(blocks)
}

/// The records in a payload.
///
/// # Errors
///
/// [`Error::Invalid`] if it is no block.
pub(crate) fn decode(payload: &[u8]) -> Result<Bytes, Error> {
    let records = zstd::bulk::decompress(payload, LARGEST);
    records.map(Bytes::from).map_err(|error| Error::Invalid(format!("a message is no block: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_whole_lines_that_fit_a_message() {
        let mut seed = 7_u64;
        let mut noise = || {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            format!("{seed:016x}")
        };
        let records: String = (0..100_000).map(|_| format!("{}{}\n", noise(), noise())).collect();
        let blocks = encode(records.as_bytes()).unwrap();
        assert!(blocks.len() > 1 && blocks.iter().all(|block| block.len() <= LONGEST));
        let decoded: Vec<Bytes> = blocks.iter().map(|block| decode(block).unwrap()).collect();
        assert!(decoded.iter().all(|block| block.ends_with(b"\n")));
        assert_eq!(decoded.concat(), records.as_bytes());
    }

    #[test]
    fn garbage_is_no_block() {
        assert!(decode(b"garbage").is_err());
    }
}
