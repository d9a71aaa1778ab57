//! Conditions on a record's values: as written in rules and exceptions, and compiled.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::net::IpAddr;

use ipnet::IpNet;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use wildmatch::WildMatch;

use super::OneOrMany;
use crate::event::{Path, Projection, Slot, Values};
use crate::vocab::Error;

/// A condition on the value at a path.
///
/// If the path has several values (`[]`), one match is enough; with `not`, none may match. An absent value matches only
/// `exists: false`.
///
/// ```
/// use catena::{Condition, Operator};
///
/// let condition: Condition =
///     serde_json::from_str(r#"{"field": "requestParameters.encrypted", "equals": false}"#)?;
/// assert!(matches!(condition.operator, Operator::Equals(_)));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(into = "ConditionForm")]
#[non_exhaustive]
pub struct Condition {
    /// The path to the value.
    pub field: Path,
    /// Whether the condition is inverted.
    pub not: bool,
    /// Whether case is ignored for the letters A to Z.
    pub ignore_case: bool,
    /// The test on the value.
    pub operator: Operator,
}

impl Condition {
    /// A condition on the value at `field`, neither inverted nor ignoring case.
    ///
    /// ```
    /// use catena::{Condition, OneOrMany, Operator, Path};
    ///
    /// let field = Path::parse("requestParameters.encrypted").unwrap();
    /// let condition = Condition::new(field, Operator::Equals(OneOrMany::One("false".into())));
    /// assert!(!condition.not);
    /// ```
    pub fn new(field: Path, operator: Operator) -> Self {
        Self { field, not: false, ignore_case: false, operator }
    }
}

/// The test of a [`Condition`] on a value.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Operator {
    /// It equals this, or one of these. Numbers and booleans are compared as they are written.
    Equals(OneOrMany<Scalar>),
    /// It begins with this, or with one of these.
    Prefix(OneOrMany<String>),
    /// It ends with this, or with one of these.
    Suffix(OneOrMany<String>),
    /// The whole value matches this pattern, or one of these: `*` matches anything, `?` one character.
    Glob(OneOrMany<String>),
    /// It is an IP address in this network, or in one of these, such as `10.0.0.0/8` or `2001:db8::/32`.
    Cidr(OneOrMany<String>),
    /// It is present and not empty (`true`), or it is not (`false`).
    Exists(bool),
    /// It is a number below this one.
    Below(i64),
    /// It is a number above this one.
    Above(i64),
}

/// A condition as written: one optional member per operator, of which exactly one is present.
#[derive(Clone, Default, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a mapping, a condition")]
struct ConditionForm {
    field: Option<Path>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    not: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    ignore_case: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    equals: Option<OneOrMany<Scalar>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    prefix: Option<OneOrMany<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    suffix: Option<OneOrMany<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    glob: Option<OneOrMany<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cidr: Option<OneOrMany<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    exists: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    below: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    above: Option<i64>,
}

impl<'de> Deserialize<'de> for Condition {
    /// As a map of its own, so that errors carry the position of the condition and not of what follows it.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ConditionVisitor)
    }
}

struct ConditionVisitor;

impl<'de> Visitor<'de> for ConditionVisitor {
    type Value = Condition;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a condition")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Condition, A::Error> {
        let form = ConditionForm::deserialize(MapAccessDeserializer::new(map))?;
        Condition::try_from(form).map_err(A::Error::custom)
    }
}

impl TryFrom<ConditionForm> for Condition {
    type Error = String;

    fn try_from(form: ConditionForm) -> Result<Self, String> {
        let ConditionForm { field, not, ignore_case, equals, prefix, suffix, glob, cidr, exists, below, above } = form;
        let field = field.ok_or("the condition has no `field`")?;
        let operators: Vec<_> = [
            equals.map(Operator::Equals),
            prefix.map(Operator::Prefix),
            suffix.map(Operator::Suffix),
            glob.map(Operator::Glob),
            cidr.map(Operator::Cidr),
            exists.map(Operator::Exists),
            below.map(Operator::Below),
            above.map(Operator::Above),
        ]
        .into_iter()
        .flatten()
        .collect();
        match <[Operator; 1]>::try_from(operators) {
            Ok([operator]) => Ok(Self { field, not, ignore_case, operator }),
            Err(operators) => {
                let expected = "expected exactly one of equals, prefix, suffix, glob, cidr, exists, below and above";
                Err(format!("{expected}; there are {}", operators.len()))
            }
        }
    }
}

impl From<Condition> for ConditionForm {
    fn from(Condition { field, not, ignore_case, operator }: Condition) -> Self {
        let mut form = Self { field: Some(field), not, ignore_case, ..Self::default() };
        match operator {
            Operator::Equals(values) => form.equals = Some(values),
            Operator::Prefix(texts) => form.prefix = Some(texts),
            Operator::Suffix(texts) => form.suffix = Some(texts),
            Operator::Glob(patterns) => form.glob = Some(patterns),
            Operator::Cidr(networks) => form.cidr = Some(networks),
            Operator::Exists(exists) => form.exists = Some(exists),
            Operator::Below(bound) => form.below = Some(bound),
            Operator::Above(bound) => form.above = Some(bound),
        }
        form
    }
}

/// Hashes the written form, on which the rule fingerprints in checkpoints depend.
impl Hash for Condition {
    fn hash<H: Hasher>(&self, state: &mut H) {
        ConditionForm::from(self.clone()).hash(state);
    }
}

/// A string, whole number or boolean, compared by its text.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(transparent)]
pub struct Scalar(String);

impl Scalar {
    /// The text that comparisons use.
    ///
    /// ```
    /// let scalar: catena::Scalar = serde_json::from_str("false")?;
    /// assert_eq!(scalar.as_str(), "false");
    /// # Ok::<(), serde_json::Error>(())
    /// ```
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Scalar {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ScalarVisitor)
    }
}

struct ScalarVisitor;

impl Visitor<'_> for ScalarVisitor {
    type Value = Scalar;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string, a whole number, true or false")
    }

    fn visit_str<E>(self, text: &str) -> Result<Scalar, E> {
        Ok(Scalar(text.to_owned()))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Scalar, E> {
        Ok(Scalar(value.to_string()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Scalar, E> {
        Ok(Scalar(value.to_string()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Scalar, E> {
        Ok(Scalar(value.to_string()))
    }
}

/// A compiled condition.
#[derive(Clone, Debug)]
pub(crate) struct CompiledCondition {
    slot: Slot,
    not: bool,
    ignore_case: bool,
    operator: CompiledOperator,
}

#[derive(Clone, Debug)]
enum CompiledOperator {
    Equals(Vec<String>),
    Prefix(Vec<String>),
    Suffix(Vec<String>),
    Glob(Vec<WildMatch>),
    Cidr(Vec<IpNet>),
    Exists(bool),
    Below(i64),
    Above(i64),
}

impl CompiledCondition {
    /// Compiles a condition and adds its path to `projection`. Errors name it by `at`.
    #[cold]
    pub(crate) fn compile(condition: &Condition, projection: &mut Projection, at: &str) -> Result<Self, Error> {
        let slot = projection.add(&condition.field).ok_or_else(|| Error::config(at, TOO_MANY_PATHS))?;
        let fold = |text: &str| if condition.ignore_case { text.to_ascii_lowercase() } else { text.to_owned() };
        let texts = |texts: &OneOrMany<String>| texts.iter().map(|text| fold(text)).collect::<Vec<_>>();
        let operator = match &condition.operator {
            Operator::Equals(values) => CompiledOperator::Equals(values.iter().map(|value| fold(&value.0)).collect()),
            Operator::Prefix(prefixes) => CompiledOperator::Prefix(texts(prefixes)),
            Operator::Suffix(suffixes) => CompiledOperator::Suffix(texts(suffixes)),
            Operator::Glob(patterns) => {
                CompiledOperator::Glob(texts(patterns).iter().map(|pattern| WildMatch::new(pattern)).collect())
            }
            Operator::Cidr(networks) => CompiledOperator::Cidr(networks_of(networks, &format!("{at}.cidr"))?),
            Operator::Exists(wanted) => CompiledOperator::Exists(*wanted),
            Operator::Below(bound) => CompiledOperator::Below(*bound),
            Operator::Above(bound) => CompiledOperator::Above(*bound),
        };
        Ok(Self { slot, not: condition.not, ignore_case: condition.ignore_case, operator })
    }

    /// Whether the condition holds for a record's values.
    pub(crate) fn holds(&self, values: &Values<'_>) -> bool {
        let found = match self.operator {
            CompiledOperator::Exists(wanted) => values.exists(self.slot) == wanted,
            _ => values.all(self.slot).any(|value| self.matches(value)),
        };
        found != self.not
    }

    fn matches(&self, value: &str) -> bool {
        let folded;
        let value = if self.ignore_case {
            folded = value.to_ascii_lowercase();
            &folded
        } else {
            value
        };
        match &self.operator {
            CompiledOperator::Equals(texts) => texts.iter().any(|text| value == text),
            CompiledOperator::Prefix(texts) => texts.iter().any(|text| value.starts_with(text)),
            CompiledOperator::Suffix(texts) => texts.iter().any(|text| value.ends_with(text)),
            CompiledOperator::Glob(patterns) => patterns.iter().any(|pattern| pattern.matches(value)),
            CompiledOperator::Cidr(networks) => {
                value.parse::<IpAddr>().is_ok_and(|address| networks.iter().any(|network| network.contains(&address)))
            }
            CompiledOperator::Below(bound) => number(value).is_some_and(|(floor, _)| floor < *bound),
            CompiledOperator::Above(bound) => {
                number(value).is_some_and(|(floor, more)| floor > *bound || (floor == *bound && more))
            }
            CompiledOperator::Exists(_) => true,
        }
    }
}

/// The error for more than 65,536 distinct paths, or sets of paths, in all rules together.
pub(super) const TOO_MANY_PATHS: &str = "the rules name too many different paths";

/// The floor of a decimal number, and whether the number is greater than its floor. `None` if the text is not a number,
/// has an exponent, or does not fit an `i64`.
fn number(text: &str) -> Option<(i64, bool)> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    if fraction.is_empty() || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let more = fraction.bytes().any(|byte| byte != b'0');
    let towards_zero: i64 = whole.parse().ok()?;
    let floor = if more && whole.starts_with('-') { towards_zero.checked_sub(1)? } else { towards_zero };
    Some((floor, more))
}

/// Parses networks; a bare address is a network of one.
fn networks_of(networks: &OneOrMany<String>, at: &str) -> Result<Vec<IpNet>, Error> {
    let network = |text: &String| {
        let network = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
        network
            .map_err(|_| Error::config(at, format!("{text:?} is not a valid network: expected one such as 10.0.0.0/8")))
    };
    networks.iter().map(network).collect()
}

#[cfg(test)]
mod tests {
    use super::number;

    #[test]
    fn decimal_numbers_compare_by_their_floor() {
        for (text, expected) in [
            ("7", Some((7, false))),
            ("7.0", Some((7, false))),
            ("7.25", Some((7, true))),
            ("-7.25", Some((-8, true))),
            ("-0.5", Some((-1, true))),
            ("9223372036854775807", Some((i64::MAX, false))),
            ("9223372036854775808", None),
            ("", None),
            ("7.", None),
            ("7.x", None),
            ("1e3", None),
            ("seven", None),
        ] {
            assert_eq!(number(text), expected, "{text}");
        }
    }
}
