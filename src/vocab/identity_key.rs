use serde::{Deserialize, Serialize};

/// The member of a record that identifies the caller.
///
/// Rules and configurations list several. A record's identity is the value of the first listed key that it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum IdentityKey {
    /// The role of a session, regardless of the session name: AWS `userIdentity.sessionContext.sessionIssuer.arn`.
    Role,
    /// The caller: AWS `userIdentity.arn`, which ends with the session name for a role; Azure's caller; GCP's
    /// principal.
    Arn,
    /// AWS `userIdentity.principalId` without the session name; Azure's object id; GCP's subject.
    Principal,
    /// AWS `userIdentity.accessKeyId`; Azure's application id.
    AccessKey,
    /// The same as [`Arn`](Self::Arn), for rules that deliberately correlate within one session.
    Session,
}

impl IdentityKey {
    /// The keys used if neither the rule nor the configuration lists any.
    pub const DEFAULT: [Self; 4] = [Self::Role, Self::Arn, Self::Principal, Self::AccessKey];

    /// The name used in rules and configurations.
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
