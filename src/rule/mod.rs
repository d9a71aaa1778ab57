//! Rules: their data format ([`Rule`]) and their compiled form.

mod check;
mod compile;
mod condition;
mod exception;
mod finding_key;
mod format;
mod join_order;

pub use condition::{Condition, Operator, Scalar};
pub use exception::{Day, Exception, ExceptionAction, TimeOfDay, TimeOfWeek};
pub use format::{Ignored, OneOrMany, Rule, Step};

pub(crate) use compile::{Binding, RulePlan, Rules, StepPlan, step_bit};
pub(crate) use exception::ExceptionPlan;
pub(crate) use finding_key::{FindingKey, KeyName};
pub(crate) use join_order::{JoinOrder, JoinStep, Shared};

use crate::vocab::{Error, read_embedded};

/// The built-in rules: the files in `rules/`, converted to JSON and compressed by the build script.
const BUILT_IN: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/rules.json.gz"));

/// The built-in exceptions: the files in `rules/exceptions/`, converted likewise.
const BUILT_IN_EXCEPTIONS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/exceptions.json.gz"));

/// The built-in rules, ordered by id. Decompresses and parses the embedded JSON on every call.
///
/// ```
/// assert!(catena::built_in()?.iter().any(|rule| rule.id == "gcp-snapshot-staging"));
/// # Ok::<(), catena::Error>(())
/// ```
///
/// # Errors
///
/// None in a build that passes its tests, which check the files.
pub fn built_in() -> Result<Vec<Rule>, Error> {
    read_embedded(BUILT_IN)
}

/// The built-in exceptions, ordered by id. Each is off unless the configuration names it. Parses the embedded JSON on
/// every call.
///
/// ```
/// assert!(catena::built_in_exceptions()?.iter().any(|exception| exception.id == "auto-scaling"));
/// # Ok::<(), catena::Error>(())
/// ```
///
/// # Errors
///
/// As for [`built_in`].
pub fn built_in_exceptions() -> Result<Vec<Exception>, Error> {
    read_embedded(BUILT_IN_EXCEPTIONS)
}
