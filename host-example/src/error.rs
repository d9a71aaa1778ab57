use std::fmt;

use crate::sandbox::{Fault, FaultKind};

/// Why a component could not be loaded or called.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The bytes are not a component, the component has imports, or its world is not that of `wit/catena.wit`.
    Component(wasmtime::Error),
    /// The component refused a call. It remains usable.
    Fault(Fault),
    /// The component trapped, because of a bug or a limit. It is no longer usable.
    Trap(wasmtime::Error),
    /// The component's answer violates `wit/catena.wit`. Its state cannot be trusted.
    InvalidAnswer(String),
}

impl Error {
    /// Whether the component remains usable after this error.
    pub fn is_fault(&self) -> bool {
        matches!(self, Self::Fault(_))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Component(error) => write!(f, "the component cannot be loaded: {error:#}"),
            Self::Fault(Fault { kind, path, message }) => match kind {
                FaultKind::InvalidConfig if path.is_empty() => write!(f, "invalid configuration: {message}"),
                FaultKind::InvalidConfig => write!(f, "invalid configuration at {path}: {message}"),
                FaultKind::InvalidCheckpoint => write!(f, "invalid checkpoint: {message}"),
                FaultKind::InvalidArgument => write!(f, "invalid argument {path}: {message}"),
                FaultKind::LimitExceeded => write!(f, "limit exceeded: {message}"),
                FaultKind::Other => f.write_str(message),
            },
            Self::Trap(error) => write!(f, "the component failed: {error:#}"),
            Self::InvalidAnswer(why) => write!(f, "the component's answer violates its contract: {why}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Component(error) | Self::Trap(error) => Some(error.as_ref()),
            Self::Fault(_) | Self::InvalidAnswer(_) => None,
        }
    }
}
