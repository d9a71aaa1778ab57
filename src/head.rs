//! What a line is, told from its first members: one record, a container of many, or an envelope whose records cannot be
//! seen in its bytes.
//!
//! Nearly every line is one record, and its first member's name says so.

use std::ops::Range;

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

/// Looks at what begins at `first`.
#[inline]
pub(crate) fn head(batch: &[u8], first: usize) -> Head {
    match batch.get(first) {
        Some(b'[') => Head::Container(first + 1),
        Some(b'{') => {
            let at = skip_space(batch, first + 1, batch.len());
            // By far the commonest first members: `eventVersion`, `protoPayload`, `time`. None of the others begins so.
            match batch.get(at + 1) {
                Some(b'e' | b'p' | b't') | None => Head::Record,
                _ => object(batch, at),
            }
        }
        _ => Head::Record,
    }
}

#[cold]
#[inline(never)]
fn object(batch: &[u8], at: usize) -> Head {
    let Some(mut member) = member(batch, at) else { return Head::Record };
    let name = |member: &Member| batch.get(member.name.clone()).unwrap_or_default();
    if ENVELOPES.contains(&name(&member)) {
        return Head::Envelope;
    }
    if !BEFORE_LISTS.contains(&name(&member)) && !LISTS.contains(&name(&member)) {
        return Head::Record;
    }
    for _ in 0..MOST_MEMBERS {
        if LISTS.contains(&name(&member)) {
            return match batch.get(member.value) {
                Some(b'[') => Head::Container(member.value + 1),
                _ => Head::Record,
            };
        }
        let next = end_of_value(batch, member.value)
            .map(|end| skip_space(batch, end, batch.len()))
            .filter(|comma| batch.get(*comma) == Some(&b','))
            .and_then(|comma| self::member(batch, skip_space(batch, comma + 1, batch.len())));
        let Some(next) = next else { return Head::Record };
        member = next;
    }
    Head::Record
}

/// A member of an object: the bytes of its name, and where its value begins.
struct Member {
    name: Range<usize>,
    value: usize,
}

/// The member whose name's quote is at `at`. A name with an escape in it is none of those above.
fn member(batch: &[u8], at: usize) -> Option<Member> {
    let rest = batch.get(at..)?.strip_prefix(b"\"")?;
    let length = rest.iter().take(64).position(|byte| matches!(byte, b'"' | b'\\' | b'\n'))?;
    let name = at + 1..at + 1 + length;
    if batch.get(name.end) != Some(&b'"') {
        return None;
    }
    let colon = skip_space(batch, name.end + 1, batch.len());
    (batch.get(colon) == Some(&b':')).then(|| Member { name, value: skip_space(batch, colon + 1, batch.len()) })
}

/// Behind the value that begins at `at`, if it ends on this line.
fn end_of_value(batch: &[u8], at: usize) -> Option<usize> {
    match batch.get(at)? {
        b'{' | b'[' => ValueScanner::new(at).end(batch, batch.len()),
        b'"' => end_of_string(batch, at, batch.len()),
        _ => {
            let rest = batch.get(at..)?;
            rest.iter().position(|byte| matches!(byte, b',' | b'}' | b'\n')).map(|length| at + length)
        }
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
