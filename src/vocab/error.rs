use std::fmt;
use std::sync::Arc;

/// The reason why the engine refused a call. Nothing was consumed and no state changed.
///
/// A single unreadable record is not an error: it becomes a [`Rejection`](crate::Rejection).
///
/// ```
/// let error = catena::Config::from_json(r#"{"limits": {"pending": -1}}"#).unwrap_err();
/// assert!(error.to_string().starts_with("invalid configuration at limits.pending: "));
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Error {
    /// The configuration, or a rule in it, is invalid.
    #[non_exhaustive]
    InvalidConfig {
        /// The path in the JSON document, such as `rules[0].steps[1].actions`; empty for the whole document.
        path: String,
        /// A description of the problem, with the expected value.
        reason: String,
        /// The JSON parser's error, if the parser found the problem.
        source: Option<Arc<serde_json::Error>>,
    },
    /// The checkpoint is truncated, damaged, or of a version that this engine cannot read. The string gives the reason.
    InvalidCheckpoint(String),
    /// An argument has a value that it cannot have.
    #[non_exhaustive]
    InvalidArgument {
        /// The argument's name.
        name: &'static str,
        /// A description of the problem, with the expected value.
        reason: String,
    },
    /// The call exceeds a limit of the engine. The string says which.
    LimitExceeded(String),
}

impl Error {
    /// An [`InvalidConfig`](Self::InvalidConfig) that the engine itself found, not the JSON parser.
    pub(crate) fn config(path: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::InvalidConfig { path: path.into(), reason: reason.into(), source: None }
    }

    /// An [`InvalidArgument`](Self::InvalidArgument).
    pub(crate) fn argument(name: &'static str, reason: impl Into<String>) -> Self {
        Self::InvalidArgument { name, reason: reason.into() }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InvalidConfig { path, reason, .. } if path.is_empty() => write!(f, "invalid configuration: {reason}"),
            Self::InvalidConfig { path, reason, .. } => write!(f, "invalid configuration at {path}: {reason}"),
            Self::InvalidCheckpoint(reason) => write!(f, "invalid checkpoint: {reason}"),
            Self::InvalidArgument { name, reason } => write!(f, "invalid argument {name}: {reason}"),
            Self::LimitExceeded(reason) => write!(f, "limit exceeded: {reason}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::InvalidConfig { source: Some(source), .. } => Some(&**source),
            _ => None,
        }
    }
}

/// The error of parsing a text that is not a valid [`Duration`](crate::Duration) or [`Timestamp`](crate::Timestamp).
///
/// ```
/// let error = "15 minutes".parse::<catena::Duration>().unwrap_err();
/// assert!(error.to_string().starts_with(r#""15 minutes" is not a whole number and a unit"#));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseError {
    /// The text that was parsed.
    pub(super) text: String,
    /// The expected format.
    pub(super) expected: &'static str,
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is not {}", self.text, self.expected)
    }
}

impl std::error::Error for ParseError {}
