use std::hash::{Hash, Hasher};

use serde::{Deserialize, Serialize};

/// A cloud provider.
///
/// To add one, add a variant here and a file under `event/clouds/`, and list it in `event/clouds/mod.rs`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Provider {
    /// Amazon Web Services.
    Aws,
    /// Microsoft Azure.
    Azure,
    /// Google Cloud Platform.
    Gcp,
}

impl Provider {
    /// The name used in rules and findings.
    ///
    /// ```
    /// assert_eq!(catena::Provider::Azure.as_str(), "azure");
    /// ```
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Aws => "aws",
            Self::Azure => "azure",
            Self::Gcp => "gcp",
        }
    }
}

/// AWS adds nothing to a hash. AWS rules thus keep the fingerprints they had before other clouds were supported, and
/// checkpoints from that time can still be resumed.
impl Hash for Provider {
    fn hash<H: Hasher>(&self, state: &mut H) {
        if *self != Self::Aws {
            self.as_str().hash(state);
        }
    }
}
