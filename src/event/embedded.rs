//! Records embedded in other records: decoding their content.

use std::io::Read as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::read::MultiGzDecoder;

use super::EmbeddedRecords;
use super::repair::unescape;
use crate::scan::{JsonScanner, is_space, skip_space};

/// The maximum depth of records nested in records, and of JSON texts nested in JSON texts. Firehose delivers CloudWatch
/// Logs messages, which in turn hold records as text.
pub(crate) const MAX_DEPTH: usize = 4;

/// How many times its own length a record may decompress to, all levels together. Logs compress to a tenth; what
/// compresses to less than a hundredth is not worth the time.
const MAX_EXPANSION: usize = 100;

/// What any record may decompress to, in bytes.
const MIN_INFLATABLE: usize = 16 << 10;

/// How many bytes may be decompressed for a record of `length` bytes if no more than `limit` may be for any.
pub(crate) fn inflatable(length: usize, limit: usize) -> usize {
    length.saturating_mul(MAX_EXPANSION).max(MIN_INFLATABLE).min(limit)
}

/// What a JSON string with its quotes may hold: records as text if there is an object in it, otherwise base64. `None` if it is
/// not a JSON string.
pub(crate) fn embedded_in_string(string: &[u8]) -> Option<EmbeddedRecords> {
    let text = unescape(string)?;
    let is_json = text.contains('{');
    Some(if is_json { EmbeddedRecords::Json(text.into_bytes()) } else { EmbeddedRecords::Base64(text) })
}

/// The magic number of a gzip stream.
const GZIP: &[u8] = &[0x1F, 0x8B];

/// Decodes embedded records to a batch of lines.
///
/// A document that spans several lines is put on one. Text that is neither base64 nor begins like encoded records
/// decodes to nothing. Decompresses at most `inflatable` bytes, and subtracts the decompressed size from it.
///
/// # Errors
///
/// A message if the content is not base64, cannot be decompressed, or would exceed `inflatable`.
pub(crate) fn decode(embedded: EmbeddedRecords, inflatable: &mut usize) -> Result<Vec<u8>, String> {
    decode_text(embedded, inflatable).map(on_one_line)
}

/// [`decode`], but leaves a document on several lines.
fn decode_text(embedded: EmbeddedRecords, inflatable: &mut usize) -> Result<Vec<u8>, String> {
    let encoded = match embedded {
        EmbeddedRecords::Json(records) | EmbeddedRecords::Original(records) => return Ok(records),
        EmbeddedRecords::Base64(text) => text,
    };
    let bytes = match STANDARD.decode(encoded.trim()) {
        Ok(bytes) => bytes,
        Err(_) if !begins_like_records(encoded.trim()) => return Ok(Vec::new()),
        Err(error) => return Err(format!("its data is not valid base64: {error}")),
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
                Err("its data decompresses to more than 100 times the record, or limits.batch_bytes".to_owned())
            }
        },
    }
}

/// Whether a text that is not valid base64 nevertheless begins like records in base64. Members with other content may
/// be called `data` too.
fn begins_like_records(text: &str) -> bool {
    let start = text.get(..4).and_then(|start| STANDARD.decode(start).ok()).unwrap_or_default();
    let first = start.iter().find(|byte| !is_space(**byte));
    start.starts_with(GZIP) || matches!(first, Some(b'{' | b'['))
}

/// Puts a single document that spans several lines on one line: wherever JSON allows a line feed, it allows a space.
fn on_one_line(mut bytes: Vec<u8>) -> Vec<u8> {
    let start = skip_space(&bytes, 0, bytes.len());
    let end = JsonScanner::new(start).end(&bytes, bytes.len());
    if end.is_some_and(|end| skip_space(&bytes, end, bytes.len()) == bytes.len()) {
        bytes.iter_mut().filter(|byte| **byte == b'\n').for_each(|line_feed| *line_feed = b' ');
    }
    bytes
}
