use std::fmt;

use serde::{Deserialize, Serialize};

/// The severity of a finding, in the terms of OCSF's `severity_id`.
///
/// ```
/// use catena::Severity;
///
/// assert!(Severity::High > Severity::Medium);
/// assert_eq!(Severity::High.to_string(), "high");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing.
    Informational,
    /// Expected in many environments.
    Low,
    /// Worth investigating.
    Medium,
    /// Worth investigating immediately.
    High,
    /// Worth paging the on-call engineer.
    Critical,
}

impl Severity {
    /// The name used in rules.
    ///
    /// ```
    /// assert_eq!(catena::Severity::Low.as_str(), "low");
    /// ```
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Informational => "informational",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
