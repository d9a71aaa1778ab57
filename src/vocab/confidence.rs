use serde::{Deserialize, Serialize};

/// The confidence of a finding, in the terms of OCSF's `confidence_id`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Confidence {
    /// The records do not show everything the finding relies on.
    Low,
    /// The finding is likely to be correct.
    Medium,
    /// The records prove the finding.
    #[default]
    High,
}

impl Confidence {
    /// The name used in rules.
    ///
    /// ```
    /// assert_eq!(catena::Confidence::default().as_str(), "high");
    /// ```
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        }
    }
}
