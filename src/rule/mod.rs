//! Rules: what they say ([`Rule`], as data) and what the engine makes of them.

mod compile;
mod format;
mod path;

pub use format::{Attack, Outcome, Provider, Rule, Severity, Step};
pub use path::Path;

pub(crate) use compile::{Binding, JoinStep, RulePlan, Rules, StepPlan};
pub(crate) use path::Segment;

use crate::Error;

/// The built-in rules, as JSON: the files under `rules/`, turned into JSON when the crate is built.
const BUILT_IN: &str = include_str!(concat!(env!("OUT_DIR"), "/rules.json"));

/// The rules that come with the engine, in the order of their ids.
///
/// # Errors
///
/// None in a build that passed its tests: the files are checked there.
pub fn built_in() -> Result<Vec<Rule>, Error> {
    serde_json::from_str(BUILT_IN).map_err(|error| Error::config("built-in rules", error.to_string()))
}
