use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{self, IntoDeserializer, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::Condition;
use crate::event::Path;
use crate::vocab::{Attack, Confidence, Duration, IdentityKey, Provider, Severity, WantedOutcome};

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
    pub within: Option<Duration>,
    /// Who has to be the same in all steps: the ways to tell, the first that is present wins. The configuration's where
    /// the rule has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<Vec<IdentityKey>>,
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
