//! From raw bytes to records: finds where each line and record ends, what kind of line it is, and whether a record is a
//! candidate.
//!
//! Nothing here parses JSON or knows about a particular cloud. Each cloud's action keys and container members are
//! passed in as data when a [`Scanner`] is built.

mod actions;
mod anchors;
mod batch;
mod blocks;
mod children;
mod gap;
mod json_scan;
mod prefilter;
mod sniff;
mod spelling;
mod strings;
mod word;

pub(crate) use batch::{Defect, Piece, Pieces, RecordSpan};
pub(crate) use blocks::{is_space, skip_space};
pub(crate) use children::{Child, children};
pub use json_scan::JsonScanner;
pub(crate) use prefilter::{ActionKey, ExpectedValue, MAX_VERSION, Prefilter};
pub(crate) use sniff::{ContainerMembers, Sniffer};
pub(crate) use strings::Strings;

/// Everything needed to cut a batch into records: the keys and actions to search for, and the known line members.
#[derive(Debug)]
pub(crate) struct Scanner {
    /// Selects candidates.
    pub prefilter: Prefilter,
    /// Recognises containers and envelopes.
    pub sniffer: Sniffer,
}
