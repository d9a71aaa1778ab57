use serde::{Deserialize, Serialize};

/// The member of a record that identifies the caller.
///
/// Rules and configurations list several; the first one that a record has is its identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum IdentityKey {
    /// The role of a session, whatever the session is called: AWS `userIdentity.sessionContext.sessionIssuer.arn`.
    Role,
    /// The caller: AWS `userIdentity.arn`, which ends with the session's name for a role; Azure's caller; GCP's principal.
    Arn,
    /// AWS `userIdentity.principalId` without its session part.
    Principal,
    /// AWS `userIdentity.accessKeyId`.
    AccessKey,
    /// The same as [`Arn`](Self::Arn); the name for rules that want one session on purpose.
    Session,
}

impl IdentityKey {
    /// The keys that apply if neither the rule nor the configuration lists any.
    pub const DEFAULT: [Self; 4] = [Self::Role, Self::Arn, Self::Principal, Self::AccessKey];

    /// The name in rules.
    ///
    /// ```
    /// assert_eq!(catena::IdentityKey::AccessKey.as_str(), "access-key");
    /// ```
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Role => "role",
            Self::Arn => "arn",
            Self::Principal => "principal",
            Self::AccessKey => "access-key",
            Self::Session => "session",
        }
    }
}
