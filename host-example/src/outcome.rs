use bytes::Bytes;

use crate::sandbox::{Finding, Rejection, Unrecognised, bindings};

/// Which records pass to the output: the `mode` of the configuration. The host needs it to merge the outcomes of parts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Everything passes; records that match a rule are annotated.
    #[default]
    Enrich,
    /// Only records that match a rule pass, annotated.
    Filter,
    /// Nothing passes; only findings come out.
    Findings,
}

/// The result of processing a batch, see `outcome` in `wit/catena.wit`.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Number of records in the batch, including unreadable ones.
    pub records: u32,
    /// Number of records that match a step of some rule.
    pub matched: u32,
    /// Number of records that were read and leave the stream.
    pub dropped: u32,
    /// The changes that turn the batch into the output, in ascending order, without overlap.
    pub splices: Vec<Splice>,
    /// In the order of the records that completed them.
    pub findings: Vec<Finding>,
    /// In ascending order.
    pub rejections: Vec<Rejection>,
    /// The first record of each kind that was not recognised, in ascending order.
    pub unrecognised: Vec<Unrecognised>,
    /// For later versions of the component: a JSON object.
    pub extra: Option<String>,
}

/// Replaces bytes `start` to `end` (exclusive) of the batch with `text`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Splice {
    /// The offset of the first byte.
    pub start: u32,
    /// The offset after the last byte; equal to `start` for an insertion.
    pub end: u32,
    /// The replacement; empty for a deletion.
    pub text: String,
}

impl Outcome {
    /// Takes the edits of the contract apart.
    pub(crate) fn read(answer: bindings::Outcome) -> Result<Self, String> {
        let bindings::Edits { places, text } = answer.edits;
        let (triples, rest) = places.as_chunks::<3>();
        let mut at = 0;
        let mut splice = |&[start, end, length]: &[u32; 3]| {
            let text = text.get(at..at + length as usize)?.to_owned();
            at += text.len();
            Some(Splice { start, end, text })
        };
        let splices: Option<_> = triples.iter().map(&mut splice).collect();
        let splices = splices.filter(|_| rest.is_empty() && at == text.len());
        Ok(Self {
            records: answer.records,
            matched: answer.matched,
            dropped: answer.dropped,
            splices: splices.ok_or("the edits do not fit their text")?,
            findings: answer.findings,
            rejections: answer.rejections,
            unrecognised: answer.unrecognised,
            extra: answer.extra,
        })
    }

    /// The output: `batch` with the splices applied.
    pub fn apply(&self, batch: &[u8]) -> Vec<u8> {
        let mut output = Vec::with_capacity(batch.len());
        let mut from = 0;
        for splice in &self.splices {
            output.extend_from_slice(&batch[from..splice.start as usize]);
            output.extend_from_slice(splice.text.as_bytes());
            from = splice.end as usize;
        }
        output.extend_from_slice(&batch[from..]);
        output
    }

    /// The output in pieces that share the memory of `batch`, except for the inserted texts.
    pub fn pieces(self, batch: &Bytes) -> Vec<Bytes> {
        let mut pieces = Vec::with_capacity(2 * self.splices.len() + 1);
        let mut from = 0;
        for splice in self.splices {
            pieces.push(batch.slice(from..splice.start as usize));
            pieces.push(Bytes::from(splice.text));
            from = splice.end as usize;
        }
        pieces.push(batch.slice(from..));
        pieces.retain(|piece| !piece.is_empty());
        pieces
    }
}
