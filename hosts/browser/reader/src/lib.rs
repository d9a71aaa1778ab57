//! Reads files of audit records in a browser, as a component of `wit/reader.wit`: with the decoders and the framing of the
//! program, and zip archives in addition.

#![deny(unsafe_code, missing_docs)]

mod archive;
#[cfg(target_arch = "wasm32")]
mod component;
mod parts;
mod slice;

pub use parts::{Event, Parts};
pub use slice::{Blob, Slice};
