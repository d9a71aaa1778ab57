use std::io::Read as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::read::GzDecoder;

use super::Inside;
use crate::bytes::skip_space;
use crate::shape::ValueScanner;

/// How deep records may stand in others. Firehose delivers what CloudWatch Logs delivers, which holds records as text.
pub(crate) const MOST_NESTED: usize = 4;

/// Opens what holds records: `Err` says why it cannot be.
///
/// Records are one a line then. Allocates at most `most` bytes for what was compressed.
pub(crate) fn open(inside: Inside, most: usize) -> Result<Vec<u8>, String> {
    decode(inside, most).map(on_one_line)
}

fn decode(inside: Inside, most: usize) -> Result<Vec<u8>, String> {
    let encoded = match inside {
        Inside::Json(records) => return Ok(records),
        Inside::Base64(text) => text,
    };
    let bytes = STANDARD.decode(encoded.trim()).map_err(|error| format!("its data is no base64: {error}"))?;
    if !bytes.starts_with(&[0x1F, 0x8B]) {
        return Ok(bytes);
    }
    let mut records = Vec::new();
    let limit = u64::try_from(most).unwrap_or(u64::MAX);
    match GzDecoder::new(&*bytes).take(limit.saturating_add(1)).read_to_end(&mut records) {
        Err(error) => Err(format!("its data cannot be decompressed: {error}")),
        Ok(length) if length > most => Err(format!("its data is more than {most} bytes once decompressed")),
        Ok(_) => Ok(records),
    }
}

/// One document that was written on several lines, on one: where JSON allows a line feed it allows a blank.
fn on_one_line(mut bytes: Vec<u8>) -> Vec<u8> {
    let start = skip_space(&bytes, 0, bytes.len());
    let end = ValueScanner::new(start).end(&bytes, bytes.len());
    if end.is_some_and(|end| skip_space(&bytes, end, bytes.len()) == bytes.len()) {
        bytes.iter_mut().filter(|byte| **byte == b'\n').for_each(|line_feed| *line_feed = b' ');
    }
    bytes
}
