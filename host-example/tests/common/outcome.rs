//! What an outcome makes of its batch.

use catena_host::Outcome;

/// The output: `batch` with the splices applied.
pub fn apply(outcome: &Outcome, batch: &[u8]) -> Vec<u8> {
    let (mut output, mut from) = (Vec::new(), 0);
    for splice in &outcome.splices {
        output.extend_from_slice(&batch[from..splice.start as usize]);
        output.extend_from_slice(splice.text.as_bytes());
        from = splice.end as usize;
    }
    output.extend_from_slice(&batch[from..]);
    output
}
