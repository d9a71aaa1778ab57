//! A host for the Catena component, built on wasmtime: small enough to read in one sitting and to copy from.
//!
//! It depends only on the contract in `wit/catena.wit`. [`Sandbox`] loads a component and calls it under [`Limits`];
//! [`Supervisor`] recovers from its traps.
//!
//! # Example
//!
//! ```
//! # use catena_component::COMPONENT;
//! use catena_host::{Limits, Sandbox};
//!
//! let sandbox = Sandbox::new(COMPONENT, Limits::default())?;
//! let mut correlator = sandbox.open("{}")?;
//! let batch = b"{\"eventName\":\"DescribeInstances\"}\n";
//! let outcome = correlator.process(batch, 1_767_607_200_000)?;
//! assert_eq!((outcome.records, outcome.matched), (1, 0));
//! assert_eq!(outcome.apply(batch), batch);
//! # Ok::<(), catena_host::Error>(())
//! ```

#![deny(unsafe_code, missing_docs)]

mod error;
mod limits;
mod merge;
mod outcome;
mod partition;
mod sandbox;
mod supervisor;
mod validate;

pub use error::Error;
pub use limits::Limits;
pub use merge::{Fate, Merge};
pub use outcome::{Mode, Outcome, Splice};
pub use partition::{push_run, together, with_partition};
pub use sandbox::{Correlator, Fault, FaultKind, Finding, Metric, MetricKind, Rejection, Route, Sandbox, Unrecognised};
pub use supervisor::{Bounds, Health, POISON, Supervisor};

/// The program in the guide compiles.
#[cfg(doctest)]
#[doc = include_str!("../../docs/embedding.md")]
struct Guide;
