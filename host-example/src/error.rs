use std::fmt;

use crate::sandbox::Fault;

/// Why a component could not be loaded or called.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The bytes are no component, it imports something, or its world is another than `wit/catena.wit`.
    Component(wasmtime::Error),
    /// The component refused a call. It can go on.
    Fault(Fault),
    /// The component failed: it ran into a bug or a limit. It cannot go on.
    Trap(wasmtime::Error),
    /// The component's answer is none that `wit/catena.wit` allows. What it remembers cannot be trusted.
    Answer(String),
}

impl Error {
    /// Whether the component can go on after it.
    pub fn is_fault(&self) -> bool {
        matches!(self, Self::Fault(_))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Component(error) => write!(f, "the component cannot be loaded: {error:#}"),
            Self::Fault(
                Fault::InvalidConfig(why)
                | Fault::InvalidCheckpoint(why)
                | Fault::LimitExceeded(why)
                | Fault::Other(why),
            ) => f.write_str(why),
            Self::Trap(error) => write!(f, "the component failed: {error:#}"),
            Self::Answer(why) => write!(f, "the component's answer breaks its contract: {why}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Component(error) | Self::Trap(error) => Some(error.as_ref()),
            Self::Fault(_) | Self::Answer(_) => None,
        }
    }
}
