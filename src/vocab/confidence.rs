use serde::{Deserialize, Serialize};

/// How sure a finding is, in the words of OCSF's `confidence_id`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Confidence {
    /// The records do not show everything it rests on.
    Low,
    /// It is likely.
    Medium,
    /// The records prove it.
    #[default]
    High,
}

impl Confidence {
    /// The name in rules.
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
