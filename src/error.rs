use std::fmt;

/// Why the engine refused a whole call. Nothing was consumed and no state changed.
///
/// A single record that cannot be read is no error: it becomes a [`Rejection`](crate::Rejection).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// The configuration, or a rule in it, cannot be used. `at` is the place as a path into the JSON document
    /// (`rules[0].steps[1].actions`), empty where it concerns the whole.
    InvalidConfig {
        /// Where in the configuration.
        at: String,
        /// What is wrong, and what was expected.
        why: String,
    },
    /// The checkpoint is cut, damaged, or of a version that this engine does not read.
    InvalidCheckpoint(String),
    /// The call asks for more than the engine is made to handle.
    LimitExceeded(String),
}

impl Error {
    pub(crate) fn config(at: impl Into<String>, why: impl Into<String>) -> Self {
        Self::InvalidConfig { at: at.into(), why: why.into() }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InvalidConfig { at, why } if at.is_empty() => write!(f, "invalid configuration: {why}"),
            Self::InvalidConfig { at, why } => write!(f, "invalid configuration at {at}: {why}"),
            Self::InvalidCheckpoint(why) => write!(f, "invalid checkpoint: {why}"),
            Self::LimitExceeded(why) => write!(f, "limit exceeded: {why}"),
        }
    }
}

impl std::error::Error for Error {}
