//! Exceptions: known activity that looks like an attack but is not one.

use std::fmt;
use std::hash::{Hash, Hasher};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use time::{OffsetDateTime, Time, Weekday};

use super::Condition;
use super::condition::CompiledCondition;

use crate::event::{Event, Projection};
use crate::util::digest::Digest;
use crate::util::text_form;
use crate::vocab::{Error, Provider, Timestamp};

/// A known benign cause of findings. It holds for a finding only if it holds for the events of all its required steps, so
/// that no single record can excuse the others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a mapping, an exception")]
pub struct Exception {
    /// The exception's id. Lower-case letters, digits and hyphens.
    pub id: String,
    /// Why this is not an attack; must not be empty. Findings carry it.
    pub reason: String,
    /// The ids of the rules it applies to; empty means all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<String>,
    /// The cloud whose records it applies to.
    pub provider: Provider,
    /// The event time from which it no longer holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Timestamp>,
    /// What happens to the finding.
    #[serde(default)]
    pub action: ExceptionAction,
    /// Conditions on the record; all of them must hold.
    #[serde(default, rename = "where", skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// The time of the week at which the event must have happened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub between: Option<TimeOfWeek>,
}

/// Checkpoints contain this hash. Times are hashed as text in their usual form, as version 0.1 pre-releases hashed
/// them, so that an update does not drop the exceptions of pending events.
impl Hash for Exception {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let Self { id, reason, rules, provider, expires, action, conditions, between } = self;
        (id, reason, rules, provider).hash(state);
        expires.map(|expires| expires.to_string().replace(".000Z", "Z")).hash(state);
        (action, conditions, between).hash(state);
    }
}

/// What happens to an excepted finding.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ExceptionAction {
    /// It is emitted with the status Suppressed and the reason.
    #[default]
    Tag,
    /// It is not emitted, only counted.
    Drop,
}

/// A range of minutes of the day, in UTC, on some days of the week. It crosses midnight if `from` is later than `to`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a mapping, a time of the week")]
pub struct TimeOfWeek {
    /// The days, `mon` to `sun`; empty means every day. A range across midnight belongs to the day on which it starts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub days: Vec<Day>,
    /// The first minute.
    pub from: TimeOfDay,
    /// The minute after the last one.
    pub to: TimeOfDay,
}

/// A minute of the day. Its text is `HH:MM`.
///
/// ```
/// let time: catena::TimeOfDay = serde_json::from_str(r#""22:30""#)?;
/// assert_eq!(time.to_string(), "22:30");
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TimeOfDay {
    hour: u8,
    minute: u8,
}

impl TimeOfDay {
    fn parse(text: &str) -> Option<Self> {
        let (hour, minute) = text.split_once(':').filter(|_| !text.contains('+'))?;
        let time = Time::from_hms(hour.parse().ok()?, minute.parse().ok()?, 0).ok()?;
        Some(Self::of(time))
    }

    /// The minute of a time.
    fn of(time: Time) -> Self {
        Self { hour: time.hour(), minute: time.minute() }
    }
}

/// As text; see the hash of [`Exception`].
impl Hash for TimeOfDay {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.to_string().hash(state);
    }
}

impl fmt::Display for TimeOfDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}", self.hour, self.minute)
    }
}

impl Serialize for TimeOfDay {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for TimeOfDay {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        text_form::deserialize(deserializer, "a time of day as HH:MM", Self::parse)
    }
}

/// A day of the week.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "the names say it")]
pub enum Day {
    Mon,
    Tue,
    Wed,
    Thu,
    Fri,
    Sat,
    Sun,
}

/// A compiled exception.
#[derive(Debug)]
pub(crate) struct ExceptionPlan {
    pub exception: Exception,
    /// Hash of the whole exception, its reason included.
    pub fingerprint: [u8; 16],
    conditions: Vec<CompiledCondition>,
}

impl ExceptionPlan {
    /// Compiles an exception. Errors name it by `at`, its path in the configuration.
    #[cold]
    pub(crate) fn compile(exception: Exception, projection: &mut Projection, at: &str) -> Result<Self, Error> {
        if exception.reason.trim().is_empty() {
            return Err(Error::config(format!("{at}.reason"), "must not be empty"));
        }
        if exception.conditions.is_empty() && exception.between.is_none() {
            return Err(Error::config(at, "an exception needs `where` or `between`: this one would except everything"));
        }
        let conditions = exception.conditions.iter().enumerate();
        let conditions = conditions
            .map(|(number, condition)| {
                CompiledCondition::compile(condition, projection, &format!("{at}.where[{number}]"))
            })
            .collect::<Result<_, _>>()?;
        let mut digest = Digest::default();
        exception.hash(&mut digest);
        Ok(Self { fingerprint: digest.digest(), conditions, exception })
    }

    /// Whether it holds for an event at `time`, in ms since 1970.
    pub(crate) fn holds(&self, event: &Event<'_>, time: i64) -> bool {
        event.provider == self.exception.provider
            && self.exception.expires.is_none_or(|expires| time < expires.as_event_time())
            && self.is_within_hours(time)
            && self.conditions.iter().all(|condition| condition.holds(&event.values))
    }

    /// Whether it applies to the rule with this id.
    pub(crate) fn applies_to(&self, rule: &str) -> bool {
        self.exception.rules.is_empty() || self.exception.rules.iter().any(|id| id == rule)
    }

    /// Whether `time` is within [`Exception::between`].
    fn is_within_hours(&self, time: i64) -> bool {
        let Some(between) = &self.exception.between else { return true };
        let Ok(time) = OffsetDateTime::from_unix_timestamp(time.div_euclid(1_000)) else { return false };
        let on = |day: Weekday| between.days.is_empty() || between.days.iter().any(|wanted| wanted.weekday() == day);
        let (TimeOfWeek { from, to, .. }, clock) = (between, TimeOfDay::of(time.time()));
        if from <= to {
            on(time.weekday()) && *from <= clock && clock < *to
        } else {
            (on(time.weekday()) && *from <= clock) || (on(time.weekday().previous()) && clock < *to)
        }
    }
}

impl Day {
    fn weekday(self) -> Weekday {
        match self {
            Self::Mon => Weekday::Monday,
            Self::Tue => Weekday::Tuesday,
            Self::Wed => Weekday::Wednesday,
            Self::Thu => Weekday::Thursday,
            Self::Fri => Weekday::Friday,
            Self::Sat => Weekday::Saturday,
            Self::Sun => Weekday::Sunday,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Regression: an update that parsed times while reading changed the fingerprints of all exceptions with times.
    /// Pending events then lost them, and a known-benign chain raised a new alert.
    #[test]
    fn fingerprints_are_those_of_all_versions() {
        let fingerprint = |text: &str| {
            let exception = serde_json::from_str(text).unwrap();
            let plan = ExceptionPlan::compile(exception, &mut Projection::default(), "").unwrap();
            plan.fingerprint.iter().map(|byte| format!("{byte:02x}")).collect::<String>()
        };
        let with_hours = r#"{"id":"nightly","reason":"a job","provider":"aws",
            "between":{"days":["mon","fri"],"from":"22:30","to":"05:00"}}"#;
        assert_eq!(fingerprint(with_hours), "e946bad4d44b2e075d0786d33d6fcca6");
        let with_date = r#"{"id":"drill","reason":"a drill","provider":"azure","rules":["azure-snapshot"],"action":"drop",
            "expires":"2027-01-31T00:00:00Z","where":[{"field":"caller","prefix":["backup"],"ignore_case":true}]}"#;
        assert_eq!(fingerprint(with_date), "643fb2412c71a1bb1aa74e2c466495d1");
        let with_fraction = r#"{"id":"precise","reason":"a drill","provider":"gcp",
            "expires":"2027-01-31T00:00:00.500Z","where":[{"field":"caller","exists":true,"not":true}]}"#;
        assert_eq!(fingerprint(with_fraction), "f763a4d3c70aeb3d8fc965990f372bab");
    }
}
