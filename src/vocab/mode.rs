use serde::{Deserialize, Serialize};

/// The engine's output mode.
///
/// ```
/// assert_eq!(catena::Config::default().mode, catena::Mode::Enrich);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Pass all records; annotate those that match a rule.
    #[default]
    Enrich,
    /// Pass only records that match a rule, annotated.
    Filter,
    /// Pass no records; output only findings.
    Findings,
}
