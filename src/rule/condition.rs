//! Conditions on a record's values, as rules and exceptions write them and as the engine tests them.

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;
use serde::de::Visitor;
use serde::{Deserialize, Deserializer, Serialize};
use wildmatch::WildMatch;

use super::{OneOrMany, Path};
use crate::Error;
use crate::event::{Projection, Slot, Values};

/// A condition on the value at a path.
///
/// It has one operator. Where the path leads to several values (`[]`), one that fits is enough; with `not`, none may fit.
/// What is absent fits nothing but `exists: false`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Condition {
    /// The way to the value.
    pub field: Option<Path>,
    /// Turns the condition round.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub not: bool,
    /// Whether upper and lower case are the same, for the letters A to Z.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ignore_case: bool,
    /// The value is this one, or one of these. Numbers and truth values are compared as they are written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub equals: Option<OneOrMany<Scalar>>,
    /// The value begins with this, or with one of these.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix: Option<OneOrMany<String>>,
    /// The value ends with this, or with one of these.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suffix: Option<OneOrMany<String>>,
    /// The whole value is of this form, or of one of these: `*` stands for anything, `?` for one character.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub glob: Option<OneOrMany<String>>,
    /// The value is an address in this network, or in one of these, such as `10.0.0.0/8` or `2001:db8::/32`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cidr: Option<OneOrMany<String>>,
    /// Whether there is a value that is not empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exists: Option<bool>,
    /// The value is a number below this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub below: Option<i64>,
    /// The value is a number above this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub above: Option<i64>,
}

/// A text, number or truth value, compared by its text.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(transparent)]
pub struct Scalar(String);

impl Scalar {
    /// The text that it is compared by.
    pub fn as_str(&self) -> &str {
        &self.0
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
        f.write_str("a text, a whole number, true or false")
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

/// A condition, compiled.
#[derive(Clone, Debug)]
pub(crate) struct Test {
    slot: Slot,
    not: bool,
    ignore_case: bool,
    operator: Operator,
}

#[derive(Clone, Debug)]
enum Operator {
    Equals(Vec<String>),
    Prefix(Vec<String>),
    Suffix(Vec<String>),
    Glob(Vec<WildMatch>),
    Cidr(Vec<IpNet>),
    Exists(bool),
    Below(i64),
    Above(i64),
}

impl Test {
    /// Compiles a condition that stands at `at`.
    #[cold]
    pub(crate) fn compile(condition: &Condition, projection: &mut Projection, at: &str) -> Result<Self, Error> {
        let Some(field) = &condition.field else {
            return Err(Error::config(at, "the condition has no `field`"));
        };
        let slot = projection.add(field).ok_or_else(|| Error::config(at, TOO_MANY_PATHS))?;
        let fold = |text: &String| if condition.ignore_case { text.to_ascii_lowercase() } else { text.clone() };
        let texts = |texts: &OneOrMany<String>| texts.iter().map(fold).collect::<Vec<_>>();
        let mut operators = Vec::new();
        operators.extend(
            condition
                .equals
                .as_ref()
                .map(|values| Operator::Equals(values.iter().map(|value| fold(&value.0)).collect())),
        );
        operators.extend(condition.prefix.as_ref().map(|values| Operator::Prefix(texts(values))));
        operators.extend(condition.suffix.as_ref().map(|values| Operator::Suffix(texts(values))));
        operators.extend(
            condition
                .glob
                .as_ref()
                .map(|values| Operator::Glob(texts(values).iter().map(|pattern| WildMatch::new(pattern)).collect())),
        );
        if let Some(networks) = &condition.cidr {
            operators.push(Operator::Cidr(networks_of(networks, &format!("{at}.cidr"))?));
        }
        operators.extend(condition.exists.map(Operator::Exists));
        operators.extend(condition.below.map(Operator::Below));
        operators.extend(condition.above.map(Operator::Above));
        match <[Operator; 1]>::try_from(operators) {
            Ok([operator]) => Ok(Self { slot, not: condition.not, ignore_case: condition.ignore_case, operator }),
            Err(operators) => {
                let why = "expected exactly one of equals, prefix, suffix, glob, cidr, exists, below and above";
                Err(Error::config(at, format!("{why}; there are {}", operators.len())))
            }
        }
    }

    /// Whether the condition holds for a record.
    pub(crate) fn holds(&self, values: &Values<'_>) -> bool {
        let found = match self.operator {
            Operator::Exists(wanted) => values.exists(self.slot) == wanted,
            _ => values.all(self.slot).any(|value| self.fits(value)),
        };
        found != self.not
    }

    fn fits(&self, value: &str) -> bool {
        let folded;
        let value = if self.ignore_case {
            folded = value.to_ascii_lowercase();
            &folded
        } else {
            value
        };
        match &self.operator {
            Operator::Equals(texts) => texts.iter().any(|text| value == text),
            Operator::Prefix(texts) => texts.iter().any(|text| value.starts_with(text)),
            Operator::Suffix(texts) => texts.iter().any(|text| value.ends_with(text)),
            Operator::Glob(patterns) => patterns.iter().any(|pattern| pattern.matches(value)),
            Operator::Cidr(networks) => {
                value.parse::<IpAddr>().is_ok_and(|address| networks.iter().any(|network| network.contains(&address)))
            }
            Operator::Below(bound) => number(value).is_some_and(|(floor, _)| floor < *bound),
            Operator::Above(bound) => {
                number(value).is_some_and(|(floor, more)| floor > *bound || (floor == *bound && more))
            }
            Operator::Exists(_) => true,
        }
    }
}

pub(super) const TOO_MANY_PATHS: &str = "the rules together name more paths than can be told apart";

/// The whole number at or below a decimal one, and whether that one is more. `None` where the text is no number, or one
/// with an exponent.
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

fn networks_of(networks: &OneOrMany<String>, at: &str) -> Result<Vec<IpNet>, Error> {
    let network = |text: &String| {
        let network = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
        network.map_err(|_| Error::config(at, format!("{text:?} is no network: expected one such as 10.0.0.0/8")))
    };
    networks.iter().map(network).collect()
}

#[cfg(test)]
mod tests {
    use super::number;

    #[test]
    fn decimal_numbers_are_told_by_their_floor() {
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
