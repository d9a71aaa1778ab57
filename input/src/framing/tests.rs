//! What a framer gives out of inputs of all layouts.

use std::convert::Infallible;

use proptest::prelude::*;

use super::*;

/// A batch as it was given out.
struct Given {
    original: Vec<u8>,
    taken: Vec<u8>,
    line: u64,
    offset: u64,
    kind: Kind,
}

/// Takes what a framer gives out.
struct Framed {
    framer: Framer,
    given: Vec<Given>,
}

impl Framed {
    fn new(longest: usize) -> Self {
        Self { framer: Framer::new(Position::default(), longest), given: Vec::new() }
    }

    fn with(
        &mut self,
        frame: impl FnOnce(&mut Framer, &mut dyn FnMut(Batch) -> Result<(), Infallible>) -> Result<(), Infallible>,
    ) {
        let given = &mut self.given;
        let Ok(()) = frame(&mut self.framer, &mut |batch| {
            let (original, taken) = (batch.original.to_vec(), batch.bytes().to_vec());
            given.push(Given { original, taken, line: batch.line, offset: batch.offset, kind: batch.kind });
            Ok(())
        });
    }

    fn push(&mut self, bytes: &[u8]) {
        self.with(|framer, give| framer.push(Bytes::copy_from_slice(bytes), Lines::of(bytes), give));
    }

    /// The lines that the component gets, without white space around them, or a byte order mark.
    fn records(&self) -> Vec<String> {
        let records = self.given.iter().filter(|given| given.kind == Kind::Records);
        let lines = records.flat_map(|given| given.taken.split(|byte| *byte == b'\n'));
        let texts = lines.map(|line| String::from_utf8_lossy(line).trim_start_matches('\u{FEFF}').trim().to_owned());
        texts.filter(|text| !text.is_empty()).collect()
    }
}

/// What a framer gives out of `input`, read in chunks of `chunk` bytes.
fn frame(input: &[u8], chunk: usize, longest: usize) -> Framed {
    let mut framed = Framed::new(longest);
    for chunk in input.chunks(chunk) {
        framed.push(chunk);
    }
    framed.with(|framer, give| framer.finish(give));
    framed
}

fn assert_records(input: &str, expected: &[&str]) {
    for chunk in [1, 2, 7, 1_000] {
        assert_eq!(frame(input.as_bytes(), chunk, 100).records(), expected, "{input:?} in chunks of {chunk}");
    }
}

fn input() -> impl Strategy<Value = String> {
    let pieces = prop::sample::select(vec![
        "{\"a\":1}\n",
        "{\n  \"a\": \"}\\\"\"\n}\n",
        "[\n{},\n[]]",
        "{}\n",
        "\n",
        "\r\n",
        " ",
        "{",
        "}",
        "\"",
        "nonsense\n",
        "{\"a\":1}{\"b\":2}",
        "{} {}\n",
        "[{}][]",
        "{\"long\":\"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\"}\n",
        "{\n  \"a\": 1,\n",
    ]);
    let mark = prop::sample::select(vec!["", "\u{FEFF}"]);
    (mark, prop::collection::vec(pieces, 0..20)).prop_map(|(mark, pieces)| mark.to_owned() + &pieces.concat())
}

proptest! {
    #[test]
    fn no_byte_is_lost_or_moved_whatever_the_chunks(input in input(), chunk in 1..50usize, longest in 10..200usize) {
        let mut offset = 0;
        let given = frame(input.as_bytes(), chunk, longest).given;
        for Given { original, taken, line, offset: at, .. } in &given {
            prop_assert_eq!(*at, offset);
            prop_assert_eq!(*line, 1 + line_feeds_in(&input.as_bytes()[..offset as usize]));
            prop_assert_eq!(original.len(), taken.len());
            offset += original.len() as u64;
        }
        let read: Vec<u8> = given.into_iter().flat_map(|given| given.original).collect();
        prop_assert_eq!(String::from_utf8(read).unwrap(), input);
    }

    #[test]
    fn records_are_the_same_whatever_the_chunks(input in input(), chunk in 1..50usize) {
        let whole = frame(input.as_bytes(), input.len().max(1), 1_000).records();
        prop_assert_eq!(frame(input.as_bytes(), chunk, 1_000).records(), whole);
    }

    /// A run that is ended goes on from where it was with another framer.
    #[test]
    fn a_framer_goes_on_where_another_was_left(input in input(), chunk in 1..50usize, longest in 10..200usize) {
        let bytes = input.as_bytes();
        let mut read = Vec::new();
        let mut position = Position::default();
        while (position.offset as usize) < bytes.len() {
            let mut framed = Framed::new(longest);
            framed.framer = Framer::new(position, longest);
            let rest = &bytes[position.offset as usize..];
            for chunk in rest.chunks(chunk) {
                framed.push(chunk);
                if !framed.given.is_empty() {
                    break;
                }
            }
            if framed.given.is_empty() {
                framed.with(|framer, give| framer.finish(give));
            }
            position = framed.framer.position();
            read.extend(framed.given.into_iter().flat_map(|given| given.original));
        }
        prop_assert_eq!(String::from_utf8(read).unwrap(), input);
    }
}

#[test]
fn documents_become_lines_of_the_same_length() {
    let framed = frame(b"{\n \"a\": [1,\n2]\n}\n{\n}", 100, 100);
    let taken: Vec<_> = framed.given.iter().map(|given| &*given.taken).collect();
    assert_eq!(taken, [&b"{  \"a\": [1, 2] }\n"[..], b"{ }"]);
    assert_records("{\n \"a\": [1,\n2]\n}\n{\n}", &["{  \"a\": [1, 2] }", "{ }"]);
}

/// The mark made each line of a document one of its own.
#[test]
fn a_document_may_begin_with_a_byte_order_mark() {
    assert_records("\u{FEFF}{\n\"a\": 1\n}\n{\n}\n", &["{ \"a\": 1 }", "{ }"]);
}

/// The layout of the first line was taken for that of all.
#[test]
fn lines_and_documents_may_follow_each_other() {
    assert_records(
        "{\"a\":1}\n{\n\"b\": 2\n}\nnonsense\n{\"c\":3}\n[\n{},\n{}]\n{\"d\":4}",
        &["{\"a\":1}", "{ \"b\": 2 }", "nonsense", "{\"c\":3}", "[ {}, {}]", "{\"d\":4}"],
    );
}

/// They were one record, or were left to the next run each time.
#[test]
fn values_with_nothing_in_between_are_records_of_their_own() {
    assert_records("{\"a\":1}{\"b\":2}{\"c\":3}", &["{\"a\":1}", "{\"b\":2}", "{\"c\":3}"]);
    assert_records("{\"a\":1} {\"b\":2}\n{\"c\":3}{\"d\":4}\n", &["{\"a\":1}", "{\"b\":2}", "{\"c\":3}", "{\"d\":4}"]);
    assert_records("{\"a\":\"}{\"}\n{\"b\":2}\n", &["{\"a\":\"}{\"}", "{\"b\":2}"]);
}

/// Behind a line that was one record, white space between two hid the second.
#[test]
fn values_with_white_space_or_nothing_in_between_are_found_in_any_line() {
    assert_records(
        "{\"a\":1}\n{\"b\":2} {\"c\":3}\n[{}][{}]\n{\"d\":4}\r{\"e\":5}\t[{}]",
        &["{\"a\":1}", "{\"b\":2}", "{\"c\":3}", "[{}]", "[{}]", "{\"d\":4}", "{\"e\":5}", "[{}]"],
    );
    let long = format!("{{\"a\":\"{}\"}}", "x".repeat(100_000));
    for between in ["", " ", "\r", "\n", "  \t"] {
        let input = [long.as_str(); 5].join(between);
        assert_eq!(frame(input.as_bytes(), 70_000, 1_000_000).records(), [long.as_str(); 5], "{between:?}");
    }
}

/// All that came behind was taken for its rest.
#[test]
fn what_is_damaged_takes_nothing_along() {
    assert_records(
        "{\"a\":{\"b\":1\n{\"a\":1}\n{\"a\":2,\n{\"a\":3}\n",
        &["{\"a\":{\"b\":1", "{\"a\":1}", "{\"a\":2,", "{\"a\":3}"],
    );
    assert_records("{\n\"a\": 1,\n{\n\"a\": 2\n}\n{\n}\n", &["{ \"a\": 1,", "{ \"a\": 2 }", "{ }"]);
    assert_records("{\"a\":1},\n{\"a\":2}\n", &["{\"a\":1},", "{\"a\":2}"]);
    assert_records("{\"a\":1\n  {\"a\":2}\n", &["{\"a\":1", "{\"a\":2}"]);
}

/// Each byte was looked at again with each that came, and all were kept.
#[test]
fn white_space_is_given_out_as_it_comes() {
    let mut framed = Framed::new(10);
    for _ in 0..100 {
        framed.push(b"\n\n \n");
        assert!(framed.framer.is_empty());
    }
    framed.push(b"{}\n");
    assert_eq!(framed.records(), ["{}"]);
}

/// It made the rest of its input lines.
#[test]
fn what_is_behind_a_document_that_is_too_long_is_read() {
    let long = format!("{{\n \"a\": [\"{}\"\n]\n}}\n", "}x{".repeat(100));
    for chunk in [1, 7, 50, 1_000] {
        let framed = frame(format!("{{}}\n{long}{{\n \"b\": 2\n}}\n{{\"c\":3}}\n").as_bytes(), chunk, 100);
        assert_eq!(framed.records(), ["{}", "{  \"b\": 2 }", "{\"c\":3}"], "chunks of {chunk}");
        let first = framed.given.iter().filter(|given| given.kind == Kind::TooLong { first: true });
        assert_eq!(first.count(), 1);
    }
}

#[test]
fn a_pause_gives_out_what_is_whole() {
    let mut framed = Framed::new(100);
    framed.push(b"{\"a\":1}\n{\"b\":2}");
    framed.with(|framer, give| framer.pause(give));
    assert_eq!(framed.records(), ["{\"a\":1}", "{\"b\":2}"]);
    framed.push(b"\n{\"c\":");
    framed.with(|framer, give| framer.pause(give));
    framed.push(b"3}\n");
    assert_eq!(framed.records(), ["{\"a\":1}", "{\"b\":2}", "{\"c\":3}"]);
}
