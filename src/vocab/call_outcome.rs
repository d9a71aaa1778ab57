use serde::{Deserialize, Serialize};

/// How an audited call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum CallOutcome {
    /// The call succeeded.
    Success,
    /// The call was denied or failed. A dry run counts as a failure, because nothing was done.
    Failure,
    /// The call has started, and the record does not say how it ended.
    Unknown,
}

/// The outcome a call must have for a step to match.
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
    /// The call succeeded.
    #[default]
    Success,
    /// The call was denied or failed, or was a dry run.
    Failure,
    /// Any outcome, including an unknown one.
    Any,
}

impl CallOutcome {
    /// Every outcome. Checkpoints hold their places in this list.
    pub(crate) const ALL: [Self; 3] = [Self::Success, Self::Failure, Self::Unknown];

    /// The outcome's name, which is that of ECS.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failure => "failure",
            Self::Unknown => "unknown",
        }
    }
}

impl WantedOutcome {
    /// Whether a call with this outcome may match.
    pub(crate) fn includes(self, outcome: CallOutcome) -> bool {
        match self {
            Self::Success => outcome == CallOutcome::Success,
            Self::Failure => outcome == CallOutcome::Failure,
            Self::Any => true,
        }
    }
}
