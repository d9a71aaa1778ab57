use std::collections::BTreeMap;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::marker::PhantomData;

use serde::de::{self, IntoDeserializer, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::Condition;
use crate::event::Path;
use crate::vocab::{Attack, Confidence, Duration, IdentityKey, Provider, Severity, WantedOutcome};

/// A rule, as written in a file.
///
/// A rule of one step is a detection: it reports a finding for each record that matches. A rule of several steps is a
/// chain: it reports a finding for a set of records, one per step, that have the same identity, are in the order of the
/// steps, lie no further apart than `within`, and agree on every name that two of the steps bind. Sets that agree in
/// what [`per`](Self::per) names are one finding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a mapping, a rule")]
pub struct Rule {
    /// The id in findings, annotations and metrics. Lower-case letters, digits and hyphens.
    pub id: String,
    /// Incremented whenever the rule's meaning changes. Part of a finding's id.
    pub version: u32,
    /// One line that says what the rule detects.
    pub title: String,
    /// What a finding means, and what the rule does not see.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// How severe a finding is.
    pub severity: Severity,
    /// How certain it is that the described activity has happened.
    #[serde(default)]
    pub confidence: Confidence,
    /// Why the confidence is not high. Findings carry it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub confidence_reason: String,
    /// The ATT&CK techniques that the rule detects.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attack: Vec<Attack>,
    /// Where to read more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub references: Vec<String>,
    /// Benign activity that triggers the rule.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub false_positives: Vec<String>,
    /// The longest time from the first record of a chain to the last, inclusive. Required for a chain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within: Option<Duration>,
    /// The keys of the identity that all steps must share; the first key that a record has is its identity. Default:
    /// [`Config::identity`](crate::Config::identity).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<Vec<IdentityKey>>,
    /// Whether the steps must happen in the order in which they are listed.
    #[serde(default = "yes", skip_serializing_if = "is_true")]
    pub ordered: bool,
    /// Whether steps may be joined by identity and time alone.
    #[serde(default, skip_serializing_if = "is_false")]
    pub unlinked: bool,
    /// The names that steps join on. Default: every name that more than one step binds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub join: Option<Vec<String>>,
    /// The names whose values distinguish one finding from another: a finding is made once for each identity, value of
    /// each name, and UTC day of the last step's record; what else completes it is counted as further evidence. An
    /// empty list: one finding for each record of the last step. Default: the names on which the last required step
    /// joins, or an empty list if there are none. If records share several values of a name, the least of them counts. A
    /// record without a value of a name counts as if the list were empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per: Option<Vec<String>>,
    /// The steps: one for a detection, several for a chain.
    pub steps: Vec<Step>,
    /// The bound names that findings list as resources, each with its resource type, such as `AWS::EC2::Volume`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub resources: BTreeMap<String, String>,
    /// Test records that must, or must not, give findings. The engine ignores them.
    #[serde(default, skip_serializing)]
    pub examples: Ignored,
}

/// Any JSON value, ignored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ignored;

impl<'de> Deserialize<'de> for Ignored {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        de::IgnoredAny::deserialize(deserializer).map(|_| Self)
    }
}

/// One step of a rule: the records that it matches, and the values that it binds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a mapping, a step")]
pub struct Step {
    /// The step's id, unique within the rule. Lower-case letters, digits and hyphens.
    pub id: String,
    /// The cloud whose records it matches.
    pub provider: Provider,
    /// The called service, such as `ec2.amazonaws.com`, or several. Required: other services use the same action names.
    pub service: OneOrMany<String>,
    /// The actions, such as `RunInstances`; any of them matches.
    pub actions: Vec<String>,
    /// How the call must have ended.
    #[serde(default)]
    pub outcome: WantedOutcome,
    /// Further conditions on the record; all of them must hold.
    #[serde(default, rename = "where", skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// Names for values of the record, each with one path or several. Steps that bind the same name join on it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub bind: BTreeMap<String, OneOrMany<Path>>,
    /// Whether the chain is complete without this step. An optional step only adds evidence to a finding.
    #[serde(default, skip_serializing_if = "is_false")]
    pub optional: bool,
    /// Whether the chain is not reported if such an event is known when the last of the others comes. The event must share a
    /// name with another step. One that comes later does not withdraw the finding.
    #[serde(default, skip_serializing_if = "is_false")]
    pub absent: bool,
    /// In a rule of one step: report a finding for each value of this bound name, instead of one per record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub each: Option<String>,
}

impl Step {
    /// Whether the chain needs this step.
    pub(crate) fn is_required(&self) -> bool {
        !self.optional && !self.absent
    }
}

/// The hash is part of the rule's fingerprint. A step without a member has the hash that it had before there was that member.
impl Hash for Step {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        let Self { id, provider, service, actions, outcome, conditions, bind, optional, absent, each } = self;
        (id, provider, service, actions, outcome, conditions, bind, optional, each).hash(hasher);
        if *absent {
            absent.hash(hasher);
        }
    }
}

/// One value, or a list of at least one.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(untagged)]
pub enum OneOrMany<T> {
    /// A single value.
    One(T),
    /// Alternatives; any of them will do.
    Many(Vec<T>),
}

impl<T> OneOrMany<T> {
    /// Iterates over the values.
    ///
    /// ```
    /// use catena::OneOrMany;
    ///
    /// let services: OneOrMany<String> = serde_json::from_str(r#"["ec2.amazonaws.com", "rds.amazonaws.com"]"#)?;
    /// assert_eq!(services.iter().count(), 2);
    /// # Ok::<(), serde_json::Error>(())
    /// ```
    pub fn iter(&self) -> std::slice::Iter<'_, T> {
        match self {
            Self::One(one) => std::slice::from_ref(one).iter(),
            Self::Many(many) => many.iter(),
        }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for OneOrMany<T> {
    /// A visitor instead of an untagged enum, whose errors would lose their position and cause.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OneOrManyVisitor(PhantomData))
    }
}

struct OneOrManyVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for OneOrManyVisitor<T> {
    type Value = OneOrMany<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string or a list of strings")
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
