//! A batch cut into records: lines that hold one, and lines that are containers of many.

use std::ops::Range;

use memchr::memchr;

use super::Scanner;
use super::blocks::skip_space;
use super::json_scan::JsonScanner;
use super::sniff::{Shape, end_of_string};

const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// A record's place in a batch, and whether to look into it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RecordSpan {
    /// From its `{` to behind its `}`.
    pub bytes: Range<usize>,
    /// Whether the prefilter lets it through.
    pub candidate: bool,
    /// Whether it may hold other records in base64; it is a candidate then.
    pub envelope: bool,
}

/// What a batch is made of, in the order of its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    /// A line that holds one record.
    Record {
        /// The record.
        record: RecordSpan,
        /// The whole line with what ends it.
        line: Range<usize>,
    },
    /// A record in a container. Elements come between [`Piece::Container`] and [`Piece::ContainerEnd`].
    Element {
        /// The record.
        record: RecordSpan,
    },
    /// A container begins.
    Container,
    /// A container, and the line that it fills, ends.
    ContainerEnd {
        /// The whole line with what ends it.
        line: Range<usize>,
    },
    /// Bytes that are no record: a line of its own, or an element where a container is open.
    Unreadable {
        /// The bytes, without white space around them.
        bytes: Range<usize>,
        /// The whole line with what ends it; only the bytes themselves for an element.
        line: Range<usize>,
        /// What is wrong.
        defect: Defect,
    },
    /// A line of nothing but white space.
    Blank {
        /// The whole line with what ends it.
        line: Range<usize>,
    },
}

impl Piece {
    /// The record that the piece is, if it is one.
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
    /// They begin as one and do not end as one.
    Truncated,
    /// They stand behind the last record of a container that does not end.
    ContainerTruncated,
}

/// Cuts a batch. Every byte of the batch is in exactly one line of the pieces.
pub(crate) struct Pieces<'a> {
    batch: &'a [u8],
    scanner: &'a Scanner,
    at: usize,
    container: Option<Container>,
}

/// A container that is open.
struct Container {
    line: Range<usize>,
    /// Behind the last byte of the line that is no white space.
    end: usize,
    /// Whether an element has been seen, so that a comma must come before the next one.
    after_element: bool,
    /// Whether it was found to end before its array does, and that has been said.
    truncated: bool,
}

impl<'a> Pieces<'a> {
    /// Cuts `batch`, whose records end with LF; the last one may go without.
    pub(crate) fn new(batch: &'a [u8], scanner: &'a Scanner) -> Self {
        Self { batch, scanner, at: 0, container: None }
    }

    fn byte(&self, at: usize) -> Option<u8> {
        self.batch.get(at).copied()
    }

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
        let shape = self.scanner.sniffer.shape(self.batch, first, self.batch.len());
        if let Shape::Container(elements) = shape {
            return self.open_container(start, elements);
        }
        let envelope = shape == Shape::Envelope;
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
                let record = RecordSpan { bytes, candidate: scanned.candidate || envelope, envelope };
                Piece::Record { record, line }
            }
            (Some(b'{'), _) => Piece::Unreadable { bytes, line, defect: Defect::Truncated },
            _ => Piece::Unreadable { bytes, line, defect: Defect::NotAnObject },
        }
    }

    #[inline]
    fn trim_end(&self, first: usize, mut end: usize) -> usize {
        while end > first && matches!(self.byte(end - 1), Some(b' ' | b'\t' | b'\r')) {
            end -= 1;
        }
        end
    }

    fn open_container(&mut self, start: usize, elements: usize) -> Piece {
        let rest = self.batch.get(elements..).unwrap_or_default();
        let line_feed = memchr(b'\n', rest).map_or(self.batch.len(), |at| elements + at);
        let line = start..(line_feed + 1).min(self.batch.len());
        self.at = elements;
        self.container =
            Some(Container { line, end: self.trim_end(elements, line_feed), after_element: false, truncated: false });
        Piece::Container
    }

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
            let envelope = self.scanner.sniffer.shape(self.batch, at, end) == Shape::Envelope;
            let candidate = envelope || self.scanner.prefilter.scan(self.batch, at, end).candidate;
            Piece::Element { record: RecordSpan { bytes: record, candidate, envelope } }
        } else {
            unreadable(Defect::NotAnObject)
        };
        self.container = Some(container);
        piece
    }

    /// The end of an element that is no object: behind its bracket, or before the next comma or the array's end.
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
