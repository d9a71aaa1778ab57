use bytes::Bytes;

use crate::sandbox::Outcome;

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

impl Outcome {
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
