//! Catena (Latin: chain) finds attack chains in streams of cloud audit records.
//!
//! It processes batches of audit records as they pass, detects the creation of cloud instances (MITRE ATT&CK
//! T1578.002), joins the calls of one identity into chains (a volume created, a snapshot taken of it, an instance
//! launched from that snapshot, within 15 minutes), and returns the edits to the stream and the findings.
//!
//! # Overview
//!
//! - [`Correlator`] is the engine: [`process`](Correlator::process) takes a batch and returns its [`Outcome`].
//! - [`Config`] is its configuration. A [`Rule`] describes one detection or chain, as data.
//! - The crate compiles to a WebAssembly component: the world of `wit/catena.wit`, no imports, the same outcomes.
//!
//! It is deterministic, single-threaded, bounded in memory, and correct for late, duplicate and out-of-order records.
//! It is not a collector, a store or a query language, and it never reads the clock.
//!
//! # Cost
//!
//! One pass over the bytes at memory speed for records that no rule can match, usually 99 of 100; one parse and a few
//! hash lookups for the others.
//!
//! # Example
//!
//! ```
//! use catena::{Config, Correlator, Timestamp};
//!
//! let mut correlator = Correlator::new(Config::default())?;
//! let record = r#"{"eventID":"1","eventTime":"2026-01-05T10:00:00Z","eventSource":"ec2.amazonaws.com",
//!     "eventName":"RunInstances","userIdentity":{"arn":"arn:aws:iam::111122223333:user/alice"},
//!     "responseElements":{"instancesSet":{"items":[{"instanceId":"i-0123456789abcdef0"}]}}}"#
//!     .replace('\n', "");
//! let outcome = correlator.process(record.as_bytes(), Timestamp::from_millis(1_767_607_200_000))?;
//! assert_eq!(outcome.records, 1);
//! assert_eq!(outcome.findings[0].rule, "aws-instance-created");
//!
//! // The output is the input with the splices applied: here, one more member.
//! let output = String::from_utf8(outcome.apply(record.as_bytes())).unwrap();
//! assert!(output.starts_with(&record[..record.len() - 1]));
//! assert!(output.contains(r#","catena":{"matches":[{"analytic":{"uid":"aws-instance-created"}"#));
//! # Ok::<(), catena::Error>(())
//! ```

#![deny(unsafe_code, missing_docs)]
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::unreachable)
)]

mod chain;
#[cfg(all(target_arch = "wasm32", feature = "component"))]
mod component;
mod config;
mod correlator;
mod describe;
mod emit;
mod event;
mod finding;
mod rule;
mod scan;
mod util;
mod vocab;

pub use config::{Config, Place, RecordSearch};
pub use correlator::{Correlator, METRICS, Metric, MetricInfo, MetricKind, Route};
pub use describe::describe;
pub use emit::{Outcome, Reason, Rejection, Splice, Unrecognised, UnrecognisedKind, join_annotations};
pub use event::Path;
pub use finding::{Finding, FindingFormat};
pub use rule::{
    Condition, Day, Exception, ExceptionAction, Ignored, OneOrMany, Operator, Rule, Scalar, Step, TimeOfDay,
    TimeOfWeek, built_in, built_in_exceptions,
};
pub use scan::JsonScanner;
pub use vocab::{
    Attack, AttackVersion, Confidence, Duration, Error, IdentityKey, Limits, Mode, ParseError, Partition, Provider,
    Severity, Timestamp, WantedOutcome,
};
