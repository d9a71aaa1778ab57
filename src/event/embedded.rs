//! Records inside records: opening what holds them.

use std::io::Read as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::read::MultiGzDecoder;

use super::Inside;
use crate::scan::{JsonScanner, is_space, skip_space};

/// How deep records may be nested in others. Firehose delivers what CloudWatch Logs delivers, which holds records as text.
pub(crate) const MAX_DEPTH: usize = 4;

const GZIP: &[u8] = &[0x1F, 0x8B];

/// Decodes what holds records; `Err` says why that is not possible.
///
/// The result has one record per line. Decompresses at most `inflatable` bytes, and subtracts from it what was
/// decompressed.
pub(crate) fn decode(inside: Inside, inflatable: &mut usize) -> Result<Vec<u8>, String> {
    decode_text(inside, inflatable).map(on_one_line)
}

fn decode_text(inside: Inside, inflatable: &mut usize) -> Result<Vec<u8>, String> {
    let encoded = match inside {
        Inside::Json(records) => return Ok(records),
        Inside::Base64(text) => text,
    };
    let bytes = match STANDARD.decode(encoded.trim()) {
        Ok(bytes) => bytes,
        Err(_) if !begins_like_records(encoded.trim()) => return Ok(Vec::new()),
        Err(error) => return Err(format!("its data is not base64: {error}")),
    };
    if !bytes.starts_with(GZIP) {
        return Ok(bytes);
    }
    let mut records = Vec::new();
    let limit = u64::try_from(*inflatable).unwrap_or(u64::MAX);
    match MultiGzDecoder::new(&*bytes).take(limit.saturating_add(1)).read_to_end(&mut records) {
        Err(error) => Err(format!("its data cannot be decompressed: {error}")),
        Ok(length) => match inflatable.checked_sub(length) {
            Some(left) => {
                *inflatable = left;
                Ok(records)
            }
            None => {
                *inflatable = 0;
                Err("the compressed data of the batch exceeds limits.batch_bytes once decompressed".to_owned())
            }
        },
    }
}

/// Whether a text that is not base64 to its end begins as records in base64 do: other members are called `data` too.
fn begins_like_records(text: &str) -> bool {
    let start = text.get(..4).and_then(|start| STANDARD.decode(start).ok()).unwrap_or_default();
    let first = start.iter().find(|byte| !is_space(**byte));
    start.starts_with(GZIP) || matches!(first, Some(b'{' | b'['))
}

/// One document that was written on several lines, on one: where JSON allows a line feed it allows a blank.
fn on_one_line(mut bytes: Vec<u8>) -> Vec<u8> {
    let start = skip_space(&bytes, 0, bytes.len());
    let end = JsonScanner::new(start).end(&bytes, bytes.len());
    if end.is_some_and(|end| skip_space(&bytes, end, bytes.len()) == bytes.len()) {
        bytes.iter_mut().filter(|byte| **byte == b'\n').for_each(|line_feed| *line_feed = b' ');
    }
    bytes
}
