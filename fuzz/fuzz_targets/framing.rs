//! However an input is cut into chunks, the framer gives out all of its bytes once and in order, and the records do not
//! depend on the chunks.

#![no_main]

use std::convert::Infallible;

use bytes::Bytes;
use catena_input::framing::{Batch, Framer, Kind, Lines, Position};
use libfuzzer_sys::fuzz_target;

const MAX_RECORD: usize = 200;

/// The bytes given out, the same as the component gets them, and where each batch began.
fn frame(input: &[u8], chunks: impl Iterator<Item = usize>) -> (Vec<u8>, Vec<u8>) {
    let (mut original, mut taken) = (Vec::new(), Vec::new());
    let mut take = |batch: Batch| -> Result<(), Infallible> {
        assert_eq!(batch.offset, original.len() as u64);
        assert_eq!(batch.line, 1 + original.iter().filter(|byte| **byte == b'\n').count() as u64);
        assert_eq!(batch.bytes().len(), batch.original.len());
        original.extend_from_slice(&batch.original);
        if batch.kind == Kind::Records {
            taken.extend_from_slice(batch.bytes());
            taken.push(b'\n');
        }
        Ok(())
    };
    let mut framer = Framer::new(Position::default(), MAX_RECORD);
    let mut rest = input;
    for chunk in chunks {
        let (now, later) = rest.split_at(chunk.clamp(1, rest.len().max(1)).min(rest.len()));
        rest = later;
        if now.is_empty() {
            break;
        }
        let Ok(()) = framer.push(Bytes::copy_from_slice(now), Lines::of(now), &mut take);
    }
    let Ok(()) = framer.push(Bytes::copy_from_slice(rest), Lines::of(rest), &mut take);
    let Ok(()) = framer.finish(&mut take);
    (original, taken)
}

fuzz_target!(|data: (Vec<u8>, &[u8])| {
    let (chunks, input) = data;
    let (whole, by_whole) = frame(input, std::iter::once(input.len()));
    let (cut, by_cut) = frame(input, chunks.iter().map(|chunk| usize::from(*chunk)));
    assert_eq!(whole, input);
    assert_eq!(cut, input);
    let lines = |taken: &[u8]| {
        let lines = taken.split(|byte| *byte == b'\n').map(|line| line.trim_ascii().to_vec());
        lines.filter(|line| !line.is_empty()).collect::<Vec<_>>()
    };
    // An over-long record may be recognised at a different byte depending on the chunks; everything else must be equal.
    if input.len() < MAX_RECORD {
        assert_eq!(lines(&by_whole), lines(&by_cut));
    }
});
