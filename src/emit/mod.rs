//! The output of a batch: its outcome, and the splices that turn the batch into the output stream.

mod annotation;
mod outcome;
mod output;
mod splice;
mod verdict;

pub use annotation::join_annotations;
pub(crate) use annotation::{AnnotatedStep, Annotation, AnnotationMember};
pub use outcome::{Outcome, Reason, Rejection, Unrecognised, UnrecognisedKind};
pub(crate) use output::Output;
pub use splice::Splice;
pub(crate) use splice::offset;
pub(crate) use verdict::Verdict;
