//! Cuts a batch into pieces: lines that hold one record, and lines that are containers of many.

use std::ops::Range;

use memchr::{memchr, memchr_iter};

use super::Scanner;
use super::blocks::{is_space, skip_space};
use super::json_scan::JsonScanner;
use super::prefilter::Scanned;
use super::sniff::{LineKind, end_of_string};

const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// A record's byte range in a batch, and whether it needs parsing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RecordSpan {
    /// From its `{` up to and including its `}`.
    pub bytes: Range<usize>,
    /// Whether the prefilter passed it, or it is an envelope.
    pub candidate: bool,
    /// Whether it may hold other records in base64. An envelope is always a candidate.
    pub envelope: bool,
    /// The first key of a cloud in it; see [`Scanned::key`](super::prefilter::Scanned::key).
    pub key: Option<u8>,
    /// The same in another spelling or in a text; see [`Scanned::other_key`](super::prefilter::Scanned::other_key).
    pub other_key: Option<u8>,
}

impl RecordSpan {
    /// Whether records are looked for inside this one, and names are read in any spelling, if it is no event as it is. It
    /// does not depend on whether the prefilter is on: a record with a key of a cloud whose value no rule matches is not
    /// examined further.
    pub(crate) fn is_searched(&self) -> bool {
        self.candidate || self.key.is_none()
    }
}

impl Scanner {
    /// The object at `bytes` of a batch, as a record.
    pub(crate) fn span(&self, batch: &[u8], bytes: Range<usize>) -> RecordSpan {
        let span = self.span_of_child(batch, bytes);
        RecordSpan { candidate: span.envelope || span.candidate, ..span }
    }

    /// The same for a value of a record that is searched. An envelope in it is a candidate only if its content passes the
    /// prefilter: else it would depend on the rest of the record whether it is read at all.
    pub(crate) fn span_of_child(&self, batch: &[u8], bytes: Range<usize>) -> RecordSpan {
        let envelope = self.sniffer.kind(batch, bytes.start, bytes.end) == LineKind::Envelope;
        let scanned = self.prefilter.scan(batch, bytes.start, bytes.end);
        RecordSpan { candidate: scanned.candidate, ..Self::spanned(bytes, envelope, scanned) }
    }

    fn spanned(bytes: Range<usize>, envelope: bool, Scanned { candidate, key, other_key, .. }: Scanned) -> RecordSpan {
        RecordSpan { bytes, candidate: envelope || candidate, envelope, key, other_key }
    }
}

/// One part of a batch. Pieces come in byte order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    /// A line that holds one record.
    Record {
        /// The record.
        record: RecordSpan,
        /// The whole line with its line ending.
        line: Range<usize>,
    },
    /// A record in a container, between [`Piece::Container`] and [`Piece::ContainerEnd`].
    Element {
        /// The record.
        record: RecordSpan,
    },
    /// The start of a container.
    Container,
    /// The end of a container and of its line.
    ContainerEnd {
        /// The whole line with its line ending.
        line: Range<usize>,
    },
    /// Bytes that are not a record: a whole line, or an element of a container.
    Unreadable {
        /// The bytes, without surrounding white space.
        bytes: Range<usize>,
        /// The whole line with its line ending; for an element, the same as `bytes`.
        line: Range<usize>,
        /// Why the bytes are not a record.
        defect: Defect,
    },
    /// A line of nothing but white space.
    Blank {
        /// The whole line with its line ending.
        line: Range<usize>,
    },
}

impl Piece {
    /// The record of a [`Piece::Record`] or [`Piece::Element`].
    #[inline]
    pub(crate) fn record(&self) -> Option<&RecordSpan> {
        match self {
            Self::Record { record, .. } | Self::Element { record } => Some(record),
            _ => None,
        }
    }
}

/// Why bytes cannot be a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Defect {
    /// They are not a JSON object.
    NotAnObject,
    /// They begin with `{` but do not end with `}`.
    Truncated,
    /// They follow the last complete element of a container whose array is not closed.
    ContainerTruncated,
}

/// An iterator over the pieces of a batch.
///
/// Every byte of the batch is in exactly one line. A container's line is that of its [`Piece::ContainerEnd`].
pub(crate) struct Pieces<'a> {
    batch: &'a [u8],
    scanner: &'a Scanner,
    at: usize,
    container: Option<Container>,
}

/// The container that is being read.
struct Container {
    line: Range<usize>,
    /// The end of the line, without trailing white space.
    end: usize,
    /// Whether an element has been read, so that a comma must precede the next one.
    after_element: bool,
    /// Whether the line ends before the array does, and this has been reported as a [`Defect::ContainerTruncated`].
    truncated: bool,
}

impl<'a> Pieces<'a> {
    /// The pieces of `batch`, whose lines end with LF; the last LF is optional.
    pub(crate) fn new(batch: &'a [u8], scanner: &'a Scanner) -> Self {
        Self { batch, scanner, at: 0, container: None }
    }

    /// The byte at `at`, if it is within the batch.
    fn byte(&self, at: usize) -> Option<u8> {
        self.batch.get(at).copied()
    }

    /// Reads the next line, or the start of a container.
    #[inline]
    fn line(&mut self) -> Piece {
        let start = self.at;
        let mut first = start;
        if self.batch.get(first..).is_some_and(|rest| rest.starts_with(BYTE_ORDER_MARK)) {
            first += BYTE_ORDER_MARK.len();
        }
        while matches!(self.byte(first), Some(b' ' | b'\t' | b'\r')) {
            first += 1;
        }
        if !matches!(self.byte(first), Some(b'{' | b'[' | b'\n') | None) {
            first = self.after_prefix(first).unwrap_or(first);
        }
        let kind = self.scanner.sniffer.kind(self.batch, first, self.batch.len());
        if let LineKind::Container(elements) = kind {
            return self.open_container(start, elements);
        }
        let envelope = kind == LineKind::Envelope;
        let scanned = self.scanner.prefilter.scan(self.batch, first, self.batch.len());
        let line = start..(scanned.end + 1).min(self.batch.len());
        self.at = line.end;
        let end = self.trim_end(first, scanned.end);
        if first >= end {
            return Piece::Blank { line };
        }
        let bytes = first..end;
        match (self.byte(first), self.byte(end - 1)) {
            (Some(b'{'), Some(b'}')) if end - first > 1 => {
                Piece::Record { record: Scanner::spanned(bytes, envelope, scanned), line }
            }
            (Some(b'{'), _) => Piece::Unreadable { bytes, line, defect: Defect::Truncated },
            _ => Piece::Unreadable { bytes, line, defect: Defect::NotAnObject },
        }
    }

    /// The start of a record that follows other text on its line, such as a time or a syslog header: the first `{` with a
    /// member's name after it, if the line ends with `}`.
    #[cold]
    fn after_prefix(&self, first: usize) -> Option<usize> {
        let rest = self.batch.get(first..)?;
        let line = rest.get(..memchr(b'\n', rest).unwrap_or(rest.len()))?.trim_ascii_end();
        if !line.ends_with(b"}") {
            return None;
        }
        record_start(line).map(|at| first + at)
    }

    /// `end` moved back over white space, but not before `first`.
    #[inline]
    fn trim_end(&self, first: usize, mut end: usize) -> usize {
        while end > first && matches!(self.byte(end - 1), Some(b' ' | b'\t' | b'\r')) {
            end -= 1;
        }
        end
    }

    /// Enters the container on the line at `start`, whose first element follows `elements`.
    fn open_container(&mut self, start: usize, elements: usize) -> Piece {
        let rest = self.batch.get(elements..).unwrap_or_default();
        let line_feed = memchr(b'\n', rest).map_or(self.batch.len(), |at| elements + at);
        let line = start..(line_feed + 1).min(self.batch.len());
        self.at = elements;
        self.container =
            Some(Container { line, end: self.trim_end(elements, line_feed), after_element: false, truncated: false });
        Piece::Container
    }

    /// Reads the next element of `container`, or its end.
    fn element(&mut self, mut container: Container) -> Piece {
        let mut at = skip_space(self.batch, self.at, container.end);
        if container.after_element && self.byte(at) == Some(b',') {
            at = skip_space(self.batch, at + 1, container.end);
        } else if container.truncated || (at < container.end && self.byte(at) == Some(b']')) {
            self.at = container.line.end;
            return Piece::ContainerEnd { line: container.line };
        }
        let object = self.byte(at).filter(|_| at < container.end) == Some(b'{');
        let end = match object {
            true => JsonScanner::new(at).end(self.batch, container.end),
            false => self.other_element(at, container.end),
        };
        container.after_element = true;
        container.truncated = end.is_none();
        let end = end.unwrap_or(container.end);
        self.at = end;
        let record = at.min(end)..end;
        let unreadable = |defect| Piece::Unreadable { bytes: record.clone(), line: record.clone(), defect };
        let piece = if container.truncated {
            unreadable(Defect::ContainerTruncated)
        } else if object {
            Piece::Element { record: self.scanner.span(self.batch, record) }
        } else {
            unreadable(Defect::NotAnObject)
        };
        self.container = Some(container);
        piece
    }

    /// The end of an element that is not an object: after its closing bracket or quote, or before the next comma or the
    /// end of the array. `None` if the element does not end before `limit`.
    fn other_element(&self, at: usize, limit: usize) -> Option<usize> {
        match self.byte(at).filter(|_| at < limit)? {
            b'[' => JsonScanner::new(at).end(self.batch, limit),
            b'"' => end_of_string(self.batch, at, limit),
            b',' | b'}' => None,
            _ => {
                let rest = self.batch.get(at..limit)?;
                rest.iter().position(|byte| matches!(byte, b',' | b']')).map(|length| self.trim_end(at, at + length))
            }
        }
    }
}

impl Iterator for Pieces<'_> {
    type Item = Piece;

    #[inline]
    fn next(&mut self) -> Option<Piece> {
        if let Some(container) = self.container.take() {
            return Some(self.element(container));
        }
        (self.at < self.batch.len()).then(|| self.line())
    }
}

/// The position of the first `{` in a text that has a quote after it.
fn record_start(text: &[u8]) -> Option<usize> {
    let begins_record = |at: &usize| {
        let rest = text.get(at + 1..).unwrap_or_default();
        rest.iter().find(|byte| !is_space(**byte)) == Some(&b'"')
    };
    memchr_iter(b'{', text).find(begins_record)
}
