use serde::{Deserialize, Serialize};

/// How an audited call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum CallOutcome {
    /// It did what was asked.
    Success,
    /// It was refused or failed. So does a dry run: nothing was done.
    Failure,
    /// It has begun, and the record does not say how it ended.
    Unknown,
}

/// How a call must have ended for a step to match.
///
/// ```
/// let step = r#"{"id": "denied", "provider": "aws", "service": "ec2.amazonaws.com",
///     "actions": ["RunInstances"], "outcome": "failure"}"#;
/// let step: catena::Step = serde_json::from_str(step)?;
/// assert_eq!(step.outcome, catena::WantedOutcome::Failure);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WantedOutcome {
    /// It did what was asked.
    #[default]
    Success,
    /// It was refused or failed, as a dry run does.
    Failure,
    /// Any outcome.
    Any,
}

impl WantedOutcome {
    pub(crate) fn includes(self, outcome: CallOutcome) -> bool {
        match self {
            Self::Success => outcome == CallOutcome::Success,
            Self::Failure => outcome == CallOutcome::Failure,
            Self::Any => true,
        }
    }
}
