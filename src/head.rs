//! What a line is, told from its first members: one record, a container of many, or an envelope whose records cannot be
//! seen in its bytes.
//!
//! Nearly every line is one record, and its first member's name says so.

use std::ops::Range;

use memchr::memchr;

use crate::bytes::skip_space;
use crate::shape::ValueScanner;

/// What a line, or an element of a container, is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Head {
    /// One record, as far as can be told.
    Record,
    /// A list of records; the list's first element comes behind this place.
    Container(usize),
    /// A record that may hold others in base64.
    Envelope,
}

/// Members that hold a container's records. CloudTrail's files and what Lambda is given; Event Hubs and Firehose;
/// CloudWatch Logs; LookupEvents; Azure's REST interface; Pub/Sub.
const LISTS: [&[u8]; 6] = [b"Records", b"records", b"logEvents", b"Events", b"value", b"receivedMessages"];

/// Members that may stand before those in a container.
const BEFORE_LISTS: [&[u8]; 10] = [
    b"messageType",
    b"owner",
    b"logGroup",
    b"logStream",
    b"requestId",
    b"invocationId",
    b"deliveryStreamArn",
    b"region",
    b"nextLink",
    b"NextToken",
];

/// First members of envelopes: Pub/Sub, Firehose, Lambda.
const ENVELOPES: [&[u8]; 9] = [
    b"message",
    b"subscription",
    b"deliveryAttempt",
    b"ackId",
    b"recordId",
    b"data",
    b"awslogs",
    b"kinesis",
    b"approximateArrivalTimestamp",
];

/// The members of a container that are looked through for its list.
const MOST_MEMBERS: usize = 16;

/// Looks at what begins at `first` and ends with the line, or at `limit` where that comes first.
#[inline]
pub(crate) fn head(batch: &[u8], first: usize, limit: usize) -> Head {
    match batch.get(first) {
        Some(b'[') => Head::Container(first + 1),
        Some(b'{') => {
            let mut at = first + 1;
            while matches!(batch.get(at), Some(b' ' | b'\t' | b'\r')) {
                at += 1;
            }
            // By far the commonest first members: `eventVersion`, `protoPayload`, `time`. None of the others begins so.
            match batch.get(at + 1) {
                Some(b'e' | b'p' | b't') | None => Head::Record,
                _ => object(batch, at, limit),
            }
        }
        _ => Head::Record,
    }
}

#[cold]
#[inline(never)]
fn object(batch: &[u8], at: usize, limit: usize) -> Head {
    let first = member_name(batch, at).and_then(|name| batch.get(name)).unwrap_or_default();
    if ENVELOPES.contains(&first) {
        return Head::Envelope;
    }
    if !BEFORE_LISTS.contains(&first) && !LISTS.contains(&first) {
        return Head::Record;
    }
    // What is not on this line is another record's.
    let rest = batch.get(at..limit).unwrap_or_default();
    let line_end = memchr(b'\n', rest).map_or(limit, |length| at + length);
    batch.get(..line_end).and_then(|line| list(line, at)).map_or(Head::Record, Head::Container)
}

/// Where the list begins that is among the first members, from `at` on, of the object that ends with `line`.
fn list(line: &[u8], at: usize) -> Option<usize> {
    let mut at = at;
    for _ in 0..MOST_MEMBERS {
        let name = member_name(line, at)?;
        let colon = skip_space(line, name.end + 1, line.len());
        if line.get(colon) != Some(&b':') {
            return None;
        }
        let value = skip_space(line, colon + 1, line.len());
        if LISTS.contains(&line.get(name)?) {
            return (line.get(value) == Some(&b'[')).then_some(value + 1);
        }
        let comma = skip_space(line, end_of_value(line, value)?, line.len());
        if line.get(comma) != Some(&b',') {
            return None;
        }
        at = skip_space(line, comma + 1, line.len());
    }
    None
}

/// The name of the member whose quote is at `at`. One with an escape in it is none of those above.
fn member_name(bytes: &[u8], at: usize) -> Option<Range<usize>> {
    let rest = bytes.get(at..)?.strip_prefix(b"\"")?;
    let length = rest.iter().take(64).position(|byte| *byte == b'"')?;
    Some(at + 1..at + 1 + length)
}

/// Behind the value that begins at `at`, if it ends.
fn end_of_value(line: &[u8], at: usize) -> Option<usize> {
    match line.get(at)? {
        b'{' | b'[' => ValueScanner::new(at).end(line, line.len()),
        b'"' => end_of_string(line, at, line.len()),
        _ => line.get(at..)?.iter().position(|byte| matches!(byte, b',' | b'}')).map(|length| at + length),
    }
}

/// Behind the string whose quote is at `at`, if it ends before `limit`.
pub(crate) fn end_of_string(batch: &[u8], at: usize, limit: usize) -> Option<usize> {
    let mut closing = at + 1;
    loop {
        match batch.get(closing).filter(|_| closing < limit)? {
            b'"' => return Some(closing + 1),
            b'\n' => return None,
            b'\\' => closing += 2,
            _ => closing += 1,
        }
    }
}
