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

    /// All severities, in ascending order.
    pub const ALL: [Self; 5] = [Self::Informational, Self::Low, Self::Medium, Self::High, Self::Critical];

    /// The severity with this `severity_id`, or the nearest.
    ///
    /// ```
    /// assert_eq!(catena::Severity::from_id(99), catena::Severity::Critical);
    /// ```
    pub fn from_id(id: u8) -> Self {
        Self::ALL.into_iter().find(|severity| severity.id() >= id).unwrap_or(Self::Critical)
    }

    /// OCSF's `severity_id`, from 1 to 5.
    ///
    /// ```
    /// assert_eq!(catena::Severity::Informational.id(), 1);
    /// ```
    pub fn id(self) -> u8 {
        match self {
            Self::Informational => 1,
            Self::Low => 2,
            Self::Medium => 3,
            Self::High => 4,
            Self::Critical => 5,
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
