use std::collections::BTreeMap;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::marker::PhantomData;

use serde::de::{self, IntoDeserializer, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::{Condition, Path};
use crate::Span;

/// A rule, as it is written in a file.
///
/// One step makes a detection: a finding for each record that the step names. Several steps make a chain: a finding for
/// each set of records, one a step, of one identity, in the order of the steps, no further apart than `within`, that
/// agree on every name that two of the steps bind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// The name that findings, annotations and metrics carry. Lower-case letters, digits and hyphens.
    pub id: String,
    /// Counts up with every change of meaning. Part of a finding's id.
    pub version: u32,
    /// One line for a person.
    pub title: String,
    /// What it means when it fires.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// How bad it is.
    pub severity: Severity,
    /// How sure it is that what the rule describes has happened.
    #[serde(default)]
    pub confidence: Confidence,
    /// Why it is not quite sure, for rules of lower confidence. Findings carry it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub confidence_reason: String,
    /// The ATT&CK techniques that it shows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attack: Vec<Attack>,
    /// Where to read more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub references: Vec<String>,
    /// What fires it without an attack.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub false_positives: Vec<String>,
    /// The longest time from the first record of a chain to the last, both included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within: Option<Span>,
    /// Who has to be the same in all steps: the ways to tell, the first that is present wins. The configuration's where
    /// the rule has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<Vec<IdentityWay>>,
    /// Whether the steps must happen in the order in which they are written.
    #[serde(default = "yes", skip_serializing_if = "is_true")]
    pub ordered: bool,
    /// Whether steps may be joined by nothing but identity and time.
    #[serde(default, skip_serializing_if = "is_false")]
    pub unlinked: bool,
    /// The names that join: all that more than one step binds, where the rule does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub join: Option<Vec<String>>,
    /// What has to happen.
    pub steps: Vec<Step>,
    /// The kind of resource behind each bound name that findings list, such as `AWS::EC2::Volume`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub resources: BTreeMap<String, String>,
    /// Records that must make it fire, or must not: for whoever tests the rule. The engine passes over them.
    #[serde(default, skip_serializing)]
    pub examples: Ignored,
}

/// Any JSON, passed over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ignored;

impl<'de> Deserialize<'de> for Ignored {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        de::IgnoredAny::deserialize(deserializer).map(|_| Self)
    }
}

/// One step of a rule: which records it names, and what it takes from them.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// The step's name within the rule.
    pub id: String,
    /// The cloud.
    pub provider: Provider,
    /// The service that was called, such as `ec2.amazonaws.com`, or several: other services have calls of the same name.
    pub service: OneOrMany<String>,
    /// The calls, any of them.
    pub actions: Vec<String>,
    /// How the call ended.
    #[serde(default)]
    pub outcome: WantedOutcome,
    /// What else must hold for the record: all of these.
    #[serde(default, rename = "where", skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// Names for values of the record, each found by one path or by several. Steps that bind the same name join on it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub bind: BTreeMap<String, OneOrMany<Path>>,
    /// Whether the chain is one without it too. It then only adds to what a finding tells.
    #[serde(default, skip_serializing_if = "is_false")]
    pub optional: bool,
    /// In a rule of one step: a finding for each value of this bound name, instead of one for the record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub each: Option<String>,
}

/// An ATT&CK technique or sub-technique with the tactic it serves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attack {
    /// The id, such as `T1578.002`.
    pub technique: String,
    /// The name of that technique, or of that sub-technique.
    pub name: String,
}

/// A cloud.
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

/// How an audited call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Outcome {
    /// It did what was asked.
    Success,
    /// It was refused or went wrong. A dry run is one: nothing was done.
    Failure,
    /// It has begun, and the record does not say how it ended.
    Unknown,
}

/// How a call must have ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WantedOutcome {
    /// It did what was asked.
    #[default]
    Success,
    /// It was refused or went wrong, as a dry run does.
    Failure,
    /// However it ended.
    Any,
}

impl WantedOutcome {
    pub(crate) fn includes(self, outcome: Outcome) -> bool {
        match self {
            Self::Success => outcome == Outcome::Success,
            Self::Failure => outcome == Outcome::Failure,
            Self::Any => true,
        }
    }
}

/// A way to tell who made a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum IdentityWay {
    /// The role behind a session: AWS `userIdentity.sessionContext.sessionIssuer.arn`. The same whatever the session is
    /// called.
    Role,
    /// AWS `userIdentity.arn`. For a role it ends with the session's name.
    Arn,
    /// AWS `userIdentity.principalId` without its session part.
    Principal,
    /// AWS `userIdentity.accessKeyId`.
    AccessKey,
    /// AWS `userIdentity.arn`, as [`Arn`](Self::Arn); the name for rules that ask for one session on purpose.
    Session,
}

impl IdentityWay {
    /// The ways that are tried where neither rule nor configuration says: the role, then the arn, then the principal,
    /// then the access key.
    pub const DEFAULT: [Self; 4] = [Self::Role, Self::Arn, Self::Principal, Self::AccessKey];

    /// The name as rules write it.
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

/// How sure a finding is, in the words of OCSF's `confidence_id`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Confidence {
    /// Something that it rests on is not seen.
    Low,
    /// It is likely.
    Medium,
    /// The records prove it.
    #[default]
    High,
}

/// One thing, or a list of them.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(untagged)]
pub enum OneOrMany<T> {
    /// One.
    One(T),
    /// Several, any of which will do.
    Many(Vec<T>),
}

impl<T> OneOrMany<T> {
    /// All of them.
    pub fn iter(&self) -> std::slice::Iter<'_, T> {
        match self {
            Self::One(one) => std::slice::from_ref(one).iter(),
            Self::Many(many) => many.iter(),
        }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for OneOrMany<T> {
    /// Not by trying one and then the other, so that errors keep their place and reason.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OneOrManyVisitor(PhantomData))
    }
}

struct OneOrManyVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for OneOrManyVisitor<T> {
    type Value = OneOrMany<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text or a list of texts")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
        T::deserialize(text.into_deserializer()).map(OneOrMany::One)
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Self::Value, E> {
        T::deserialize(value.into_deserializer()).map(OneOrMany::One)
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Self::Value, E> {
        T::deserialize(value.into_deserializer()).map(OneOrMany::One)
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Self::Value, E> {
        T::deserialize(value.into_deserializer()).map(OneOrMany::One)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut many = Vec::new();
        while let Some(next) = list.next_element()? {
            many.push(next);
        }
        if many.is_empty() {
            return Err(de::Error::invalid_length(0, &"at least one"));
        }
        Ok(OneOrMany::Many(many))
    }
}

fn yes() -> bool {
    true
}

fn is_true(value: &bool) -> bool {
    *value
}

fn is_false(value: &bool) -> bool {
    !value
}

/// How bad a finding is, in the words of OCSF's `severity_id`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing.
    Informational,
    /// Expected in many environments.
    Low,
    /// Worth a look.
    Medium,
    /// Worth a look now.
    High,
    /// Worth waking someone.
    Critical,
}

/// AWS adds nothing to a hash: rules of AWS have the fingerprints that they had when there was no other cloud, so that
/// checkpoints of that time are taken over.
impl Hash for Provider {
    fn hash<H: Hasher>(&self, state: &mut H) {
        if *self != Self::Aws {
            self.as_str().hash(state);
        }
    }
}

impl Provider {
    /// The name as rules write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Aws => "aws",
            Self::Azure => "azure",
            Self::Gcp => "gcp",
        }
    }
}

impl Severity {
    /// The name as rules write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Informational => "informational",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }
}

impl Confidence {
    /// The name as rules write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
