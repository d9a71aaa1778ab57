//! A host for the Catena component, on wasmtime: small enough to read in one sitting and to copy from.
//!
//! # Example
//!
//! ```
//! use catena_host::{BUILT_IN, Limits, Sandbox};
//!
//! let sandbox = Sandbox::new(BUILT_IN, Limits::default())?;
//! let mut correlator = sandbox.open("{}")?;
//! let outcome = correlator.process(b"{\"eventName\":\"DescribeInstances\"}\n", 1_767_607_200_000)?;
//! assert_eq!((outcome.records, outcome.matched), (1, 0));
//! # Ok::<(), catena_host::Error>(())
//! ```

#![deny(unsafe_code, missing_docs)]

mod answer;
mod assembly;
mod error;
mod limits;
mod sandbox;
mod shards;
mod supervisor;

pub use error::Error;
pub use limits::Limits;
pub use sandbox::{BUILT_IN, Correlator, Fault, Finding, Metric, Outcome, Rejection, Route, Sandbox, Severity, Splice};
pub use shards::Shards;
pub use supervisor::{Bounds, Health, POISON, Supervisor};
