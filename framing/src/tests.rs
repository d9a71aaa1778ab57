//! Framing of inputs in all layouts.

use std::convert::Infallible;

use proptest::prelude::*;

use super::*;

/// An emitted batch.
struct Given {
    original: Vec<u8>,
    taken: Vec<u8>,
    line: u64,
    offset: u64,
    kind: Kind,
}

/// A framer and everything that it has emitted.
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

    /// The lines that the component gets, without surrounding white space and byte order mark.
    fn records(&self) -> Vec<String> {
        let records = self.given.iter().filter(|given| given.kind == Kind::Records);
        let lines = records.flat_map(|given| given.taken.split(|byte| *byte == b'\n'));
        let texts = lines.map(|line| String::from_utf8_lossy(line).trim_start_matches('\u{FEFF}').trim().to_owned());
        texts.filter(|text| !text.is_empty()).collect()
    }
}

/// Frames `input` in chunks of `chunk` bytes.
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
    fn no_byte_is_lost_or_moved_for_any_chunk_size(input in input(), chunk in 1..50usize, longest in 10..200usize) {
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
    fn records_do_not_depend_on_the_chunk_size(input in input(), chunk in 1..50usize) {
        let whole = frame(input.as_bytes(), input.len().max(1), 1_000).records();
        prop_assert_eq!(frame(input.as_bytes(), chunk, 1_000).records(), whole);
    }

    /// A run that was stopped is continued with a new framer.
    #[test]
    fn a_new_framer_resumes_at_the_position_of_another(input in input(), chunk in 1..50usize, longest in 10..200usize) {
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
fn multi_line_values_are_flattened_to_lines_of_the_same_length() {
    let framed = frame(b"{\n \"a\": [1,\n2]\n}\n{\n}", 100, 100);
    let taken: Vec<_> = framed.given.iter().map(|given| &*given.taken).collect();
    assert_eq!(taken, [&b"{  \"a\": [1, 2] }\n"[..], b"{ }"]);
    assert_records("{\n \"a\": [1,\n2]\n}\n{\n}", &["{  \"a\": [1, 2] }", "{ }"]);
}

/// Regression: after a byte order mark, each line of a multi-line value became a record.
#[test]
fn a_multi_line_value_may_begin_with_a_byte_order_mark() {
    assert_records("\u{FEFF}{\n\"a\": 1\n}\n{\n}\n", &["{ \"a\": 1 }", "{ }"]);
}

/// Regression: the layout of the first line was assumed for the whole input.
#[test]
fn lines_and_multi_line_values_may_be_mixed() {
    assert_records(
        "{\"a\":1}\n{\n\"b\": 2\n}\nnonsense\n{\"c\":3}\n[\n{},\n{}]\n{\"d\":4}",
        &["{\"a\":1}", "{ \"b\": 2 }", "nonsense", "{\"c\":3}", "[ {}, {}]", "{\"d\":4}"],
    );
}

/// Regression: they became a single record, or were left to the next run every time.
#[test]
fn values_without_a_separator_are_separate_records() {
    assert_records("{\"a\":1}{\"b\":2}{\"c\":3}", &["{\"a\":1}", "{\"b\":2}", "{\"c\":3}"]);
    assert_records("{\"a\":1} {\"b\":2}\n{\"c\":3}{\"d\":4}\n", &["{\"a\":1}", "{\"b\":2}", "{\"c\":3}", "{\"d\":4}"]);
    assert_records("{\"a\":\"}{\"}\n{\"b\":2}\n", &["{\"a\":\"}{\"}", "{\"b\":2}"]);
}

/// Regression: after a line with one record, white space between two values hid the second one.
#[test]
fn several_values_are_found_on_any_line_with_or_without_white_space() {
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

/// Regression: everything after a damaged value was taken for its rest.
#[test]
fn a_damaged_value_does_not_swallow_what_follows() {
    assert_records(
        "{\"a\":{\"b\":1\n{\"a\":1}\n{\"a\":2,\n{\"a\":3}\n",
        &["{\"a\":{\"b\":1", "{\"a\":1}", "{\"a\":2,", "{\"a\":3}"],
    );
    assert_records("{\n\"a\": 1,\n{\n\"a\": 2\n}\n{\n}\n", &["{ \"a\": 1,", "{ \"a\": 2 }", "{ }"]);
    assert_records("{\"a\":1},\n{\"a\":2}\n", &["{\"a\":1},", "{\"a\":2}"]);
    assert_records("{\"a\":1\n  {\"a\":2}\n", &["{\"a\":1", "{\"a\":2}"]);
}

/// Regression: all white space was kept, and scanned again for each new byte.
#[test]
fn white_space_is_emitted_at_once() {
    let mut framed = Framed::new(10);
    for _ in 0..100 {
        framed.push(b"\n\n \n");
        assert!(framed.framer.is_empty());
    }
    framed.push(b"{}\n");
    assert_eq!(framed.records(), ["{}"]);
}

/// Regression: the rest of the input was treated as lines.
#[test]
fn records_after_a_value_that_is_too_long_are_read() {
    let long = format!("{{\n \"a\": [\"{}\"\n]\n}}\n", "}x{".repeat(100));
    for chunk in [1, 7, 50, 1_000] {
        let framed = frame(format!("{{}}\n{long}{{\n \"b\": 2\n}}\n{{\"c\":3}}\n").as_bytes(), chunk, 100);
        assert_eq!(framed.records(), ["{}", "{  \"b\": 2 }", "{\"c\":3}"], "chunks of {chunk}");
        let first = framed.given.iter().filter(|given| given.kind == Kind::TooLong { first: true });
        assert_eq!(first.count(), 1);
    }
}

#[test]
fn a_pause_emits_complete_values() {
    let mut framed = Framed::new(100);
    framed.push(b"{\"a\":1}\n{\"b\":2}");
    framed.with(|framer, give| framer.pause(give));
    assert_eq!(framed.records(), ["{\"a\":1}", "{\"b\":2}"]);
    framed.push(b"\n{\"c\":");
    framed.with(|framer, give| framer.pause(give));
    framed.push(b"3}\n");
    assert_eq!(framed.records(), ["{\"a\":1}", "{\"b\":2}", "{\"c\":3}"]);
}
