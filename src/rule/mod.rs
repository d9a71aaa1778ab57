//! Rules: what they say ([`Rule`], as data) and what the engine makes of them.

mod check;
mod compile;
mod condition;
mod exception;
mod format;
mod join_order;

pub use condition::{Condition, Operator, Scalar};
pub use exception::{Day, Exception, ExceptionAction, TimeOfDay, TimeOfWeek};
pub use format::{Ignored, OneOrMany, Rule, Step};

pub(crate) use compile::{Binding, RulePlan, Rules, StepPlan};
pub(crate) use exception::ExceptionPlan;
pub(crate) use join_order::{JoinStep, Shared};

use crate::vocab::{Error, read_json};

/// The built-in rules, as JSON: the files under `rules/`, turned into JSON when the crate is built.
const BUILT_IN: &str = include_str!(concat!(env!("OUT_DIR"), "/rules.json"));

/// The built-in exceptions, likewise from `rules/exceptions/`.
const BUILT_IN_EXCEPTIONS: &str = include_str!(concat!(env!("OUT_DIR"), "/exceptions.json"));

/// The rules that come with the engine, in the order of their ids.
///
/// # Errors
///
/// None in a build that passed its tests: the files are checked there.
pub fn built_in() -> Result<Vec<Rule>, Error> {
    read_json(BUILT_IN)
}

/// The exceptions that come with the engine, in the order of their ids. They are off until a configuration names them.
///
/// # Errors
///
/// As [`built_in`].
pub fn built_in_exceptions() -> Result<Vec<Exception>, Error> {
    read_json(BUILT_IN_EXCEPTIONS)
}
