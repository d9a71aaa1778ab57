//! The bytes of a connection as whole records, one a line.

use bytes::Bytes;

use super::address::Framing;
use catena_input::framing::{Batch, Framer, Kind, Lines, Position};

/// The most digits of a length (RFC 6587).
const MAX_DIGITS: usize = 10;

/// What is appended to a record that was not sent whole. It keeps the rest from being taken for the beginning of the
/// next record, and says in the rejects what has happened.
const CUT_OFF: &[u8] = b" (cut off: the connection has ended)\n";

/// What is wrong with a stream: it cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    /// A frame does not begin with its length.
    NoLength,
    /// A frame or a record is longer than allowed.
    TooLong,
}

/// Takes the bytes of one connection.
pub struct Frames {
    framing: Framing,
    framer: Framer,
    longest: usize,
    /// How many bytes of a frame with a length are still to come.
    left: u64,
    /// The beginning of a frame that may be its length.
    head: Vec<u8>,
    /// Whether a frame without a length has begun.
    is_inside: bool,
}

impl Frames {
    pub fn new(framing: Framing, longest: usize) -> Self {
        let framer = Framer::new(Position::default(), longest);
        Self { framing, framer, longest, left: 0, head: Vec::new(), is_inside: false }
    }

    /// The bytes that wait for the rest of their record.
    pub fn held(&self) -> usize {
        (self.framer.read() - self.framer.position().offset) as usize + self.head.len()
    }

    /// Takes bytes, and appends the records that they complete to `lines`.
    pub fn push(&mut self, bytes: &[u8], lines: &mut Vec<u8>) -> Result<(), Broken> {
        let mut text = Vec::with_capacity(bytes.len() + 8);
        let unframed = self.unframe(bytes, &mut text);
        // What came before is whole.
        self.give(&text, lines)?;
        unframed
    }

    /// Removes lengths, and ends each frame with LF.
    fn unframe(&mut self, mut bytes: &[u8], text: &mut Vec<u8>) -> Result<(), Broken> {
        while !bytes.is_empty() {
            if self.left > 0 {
                let length = bytes.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
                let (part, rest) = bytes.split_at(length);
                text.extend_from_slice(part);
                self.left -= length as u64;
                if self.left == 0 {
                    text.push(b'\n');
                }
                bytes = rest;
            } else if self.is_inside || self.framing == Framing::Delimited {
                let end = bytes.iter().position(|byte| matches!(byte, b'\n' | 0));
                let (part, rest) = bytes.split_at(end.unwrap_or(bytes.len()));
                text.extend_from_slice(part);
                self.is_inside = end.is_none();
                if end.is_some() {
                    text.push(b'\n');
                }
                bytes = rest.get(1..).unwrap_or_default();
            } else {
                let Some((byte, rest)) = bytes.split_first() else { break };
                bytes = rest;
                self.begin(*byte, text)?;
            }
        }
        Ok(())
    }

    /// Takes a byte at the beginning of a frame, up to the one behind its length: a message begins with `<`, `{` or `[`, and a line
    /// that begins with digits, such as those of a time, does not look like that.
    fn begin(&mut self, byte: u8, text: &mut Vec<u8>) -> Result<(), Broken> {
        let digits = self.head.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let has_space = self.head.len() > digits;
        if self.head.is_empty() && matches!(byte, b'\n' | b'\r' | 0) {
            return Ok(());
        }
        if !has_space && (byte.is_ascii_digit() && digits < MAX_DIGITS || byte == b' ' && digits > 0) {
            self.head.push(byte);
            return Ok(());
        }
        let is_length = has_space && (self.framing == Framing::Octets || matches!(byte, b'<' | b'{' | b'['));
        let head = std::mem::take(&mut self.head);
        if is_length {
            let length = std::str::from_utf8(&head).ok().and_then(|length| length.trim_end().parse::<u64>().ok());
            let length = length.filter(|length| *length > 0).ok_or(Broken::NoLength)?;
            if length > self.longest as u64 {
                return Err(Broken::TooLong);
            }
            text.push(byte);
            self.left = length - 1;
            if self.left == 0 {
                text.push(b'\n');
            }
        } else if self.framing == Framing::Octets {
            return Err(Broken::NoLength);
        } else {
            text.extend_from_slice(&head);
            self.is_inside = !matches!(byte, b'\n' | 0);
            text.push(if self.is_inside { byte } else { b'\n' });
        }
        Ok(())
    }

    fn give(&mut self, text: &[u8], lines: &mut Vec<u8>) -> Result<(), Broken> {
        if text.is_empty() {
            return Ok(());
        }
        let bytes = Bytes::copy_from_slice(text);
        let known = Lines::of(&bytes);
        self.framer.push(bytes, known, |batch| append(&batch, lines))
    }

    /// Appends records that lack only their end, because the connection pauses.
    pub fn pause(&mut self, lines: &mut Vec<u8>) -> Result<(), Broken> {
        self.framer.pause(|batch| append(&batch, lines))
    }

    /// Appends what is left when the connection has ended. Part of a record is marked as cut off; returns true if there was
    /// none.
    pub fn finish(mut self, lines: &mut Vec<u8>) -> Result<bool, Broken> {
        let head = std::mem::take(&mut self.head);
        self.give(&head, lines)?;
        self.pause(lines)?;
        let mut rest = Vec::new();
        self.framer.finish(|batch| append(&batch, &mut rest))?;
        let is_whole = rest.trim_ascii().is_empty();
        if !is_whole {
            let end = rest.trim_ascii_end().len();
            rest.truncate(end);
            rest.iter_mut().filter(|byte| **byte == b'\n').for_each(|byte| *byte = b' ');
            lines.extend_from_slice(&rest);
            lines.extend_from_slice(CUT_OFF);
        }
        Ok(is_whole)
    }

    /// Whether nothing is left.
    pub fn is_empty(&self) -> bool {
        self.head.is_empty() && self.framer.is_empty() && self.left == 0
    }
}

/// Appends a batch, and LF if it does not end with it.
fn append(batch: &Batch, lines: &mut Vec<u8>) -> Result<(), Broken> {
    if batch.kind != Kind::Records {
        return Err(Broken::TooLong);
    }
    let bytes = batch.bytes();
    lines.extend_from_slice(bytes);
    if bytes.last() != Some(&b'\n') {
        lines.push(b'\n');
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// All lines of a stream that arrives in pieces of `size` bytes.
    fn lines(stream: &[u8], framing: Framing, size: usize) -> Result<String, Broken> {
        let mut frames = Frames::new(framing, 1_000);
        let mut lines = Vec::new();
        for piece in stream.chunks(size) {
            frames.push(piece, &mut lines)?;
        }
        frames.finish(&mut lines)?;
        Ok(String::from_utf8(lines).expect("it is text"))
    }

    #[test]
    fn every_framing_gives_the_same_lines_however_it_arrives() {
        for (stream, framing, expected) in [
            ("{\"a\":1}\n{\"b\":2}\n", Framing::Auto, "{\"a\":1}\n{\"b\":2}\n"),
            ("{\"a\":1}\0{\"b\":2}\0", Framing::Auto, "{\"a\":1}\n{\"b\":2}\n"),
            ("7 {\"a\":1}13 <13>1 {\"b\":2}7 {\"c\":3}", Framing::Auto, "{\"a\":1}\n<13>1 {\"b\":2}\n{\"c\":3}\n"),
            ("7 {\"a\":1}\n7 {\"b\":2}\n", Framing::Octets, "{\"a\":1}\n{\"b\":2}\n"),
            ("2026-01-05T10:00:00Z {\"a\":1}\n", Framing::Auto, "2026-01-05T10:00:00Z {\"a\":1}\n"),
            ("{\n \"a\": 1\n}\n{\"b\":2}\n", Framing::Auto, "{  \"a\": 1 }\n{\"b\":2}\n"),
            ("{\"a\":1}{\"b\":2}", Framing::Auto, "{\"a\":1}\n{\"b\":2}\n"),
            ("{\"a\":1}\n{\"b\":", Framing::Auto, "{\"a\":1}\n{\"b\": (cut off: the connection has ended)\n"),
            ("20 {\"a\":[", Framing::Auto, "{\"a\":[ (cut off: the connection has ended)\n"),
            ("12", Framing::Auto, "12 (cut off: the connection has ended)\n"),
        ] {
            for size in [1, 2, 3, 7, 1_000] {
                let got = lines(stream.as_bytes(), framing, size);
                assert_eq!(got.as_deref(), Ok(expected), "{stream:?} in pieces of {size}");
            }
        }
    }

    #[test]
    fn what_has_no_length_or_is_too_long_breaks_the_stream() {
        for (stream, framing, expected) in [
            ("{\"a\":1}\n", Framing::Octets, Broken::NoLength),
            ("0 {", Framing::Octets, Broken::NoLength),
            ("1001 {", Framing::Auto, Broken::TooLong),
            (&*format!("{{\"a\":\"{}", "x".repeat(2_000)), Framing::Auto, Broken::TooLong),
        ] {
            assert_eq!(lines(stream.as_bytes(), framing, 10), Err(expected), "{stream:.20}");
        }
    }

    proptest! {
        /// What one connection leaves unfinished never swallows what another sends.
        #[test]
        fn an_unfinished_record_ends_with_its_line(junk in "[\\[{\"a:,\\\\ \n]{1,30}") {
            let first = lines(junk.as_bytes(), Framing::Delimited, 1_000).expect("it is not too long");
            let both = first + "{\"b\":2}\n";
            let mut framer = Framer::new(Position::default(), 1_000);
            let mut got = Vec::new();
            let bytes = Bytes::from(both);
            let known = Lines::of(&bytes);
            framer.push(bytes, known, |batch| append(&batch, &mut got)).expect("it is not too long");
            prop_assert!(got.ends_with(b"\n{\"b\":2}\n") || got == b"{\"b\":2}\n", "{}", String::from_utf8_lossy(&got));
        }
    }
}
