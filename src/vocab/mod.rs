//! Types shared by all layers. Of the other modules, this one depends only on [`util`](crate::util).

mod attack;
mod call_outcome;
mod confidence;
mod duration;
mod error;
mod identity_key;
mod json;
mod limits;
mod mode;
mod partition;
mod provider;
mod severity;
mod techniques;
mod timestamp;

pub use attack::{Attack, AttackVersion};
pub(crate) use attack::{IdAndName, ResolvedTechnique};
pub(crate) use call_outcome::CallOutcome;
pub use call_outcome::WantedOutcome;
pub use confidence::Confidence;
pub use duration::Duration;
pub use error::{Error, ParseError};
pub use identity_key::IdentityKey;
pub(crate) use json::{read_embedded, read_json};
pub use limits::Limits;
pub use mode::Mode;
pub use partition::Partition;
pub use provider::Provider;
pub use severity::Severity;
pub use timestamp::Timestamp;
