use std::hash::{Hash, Hasher};

use serde::{Deserialize, Serialize};

/// A cloud.
///
/// A new one is added here, in a file under `event/clouds/`, and in the list there.
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
    /// The name in rules and findings.
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

/// AWS adds nothing to a hash: AWS rules keep the fingerprints they had before there was another cloud, so that
/// checkpoints of that time still resume.
impl Hash for Provider {
    fn hash<H: Hasher>(&self, state: &mut H) {
        if *self != Self::Aws {
            self.as_str().hash(state);
        }
    }
}
