use std::fmt;

/// What can go wrong in a fleet.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The servers do not answer, or refuse. It may pass.
    Nats(String),
    /// The process was told to stop while it waited for servers. What it waited to store may be stored or not; nothing is half stored.
    Stopped,
    /// Another process has committed for the same stage: this one must stop.
    Fenced(String),
    /// This process and the deployment differ: in the component, the configuration or the number of partitions.
    Epoch(String),
    /// What was given, or what is stored, is not what it should be.
    Invalid(String),
    /// Not everything was done that was asked for, and what was not was told.
    Incomplete(String),
    /// The component.
    Component(catena_host::Error),
    /// A file.
    Io(std::io::Error),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nats(why) => write!(f, "NATS: {why}"),
            Self::Stopped => f.write_str("stopped while the servers did not answer"),
            Self::Fenced(what) => write!(f, "{what}: another process has taken over"),
            Self::Epoch(why) | Self::Invalid(why) | Self::Incomplete(why) => f.write_str(why),
            Self::Component(error) => error.fmt(f),
            Self::Io(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Error {}

impl From<catena_host::Error> for Error {
    fn from(error: catena_host::Error) -> Self {
        Self::Component(error)
    }
}

impl From<serde_json::Error> for Error {
    fn from(error: serde_json::Error) -> Self {
        Self::Invalid(error.to_string())
    }
}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        Self::Io(error)
    }
}
