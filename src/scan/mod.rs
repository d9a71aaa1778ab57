//! Raw bytes to records: where each line and record ends, what kind of line it is, and whether a record can matter.
//!
//! Nothing here parses JSON or knows a cloud. What clouds contribute, the keys of their actions and the members of their
//! containers, comes in as data when a [`Scanner`] is built.

mod anchors;
mod batch;
mod blocks;
mod json_scan;
mod prefilter;
mod sniff;

pub(crate) use batch::{Defect, Piece, Pieces, RecordSpan};
pub(crate) use blocks::{is_space, skip_space};
pub use json_scan::JsonScanner;
pub(crate) use prefilter::{ActionKey, KeyMeaning, MAX_VERSION, Prefilter};
pub(crate) use sniff::{LineShapes, Sniffer};

/// Everything that cutting a batch into records needs: what the rules look for, and what lines can be.
#[derive(Debug)]
pub(crate) struct Scanner {
    pub prefilter: Prefilter,
    pub sniffer: Sniffer,
}
