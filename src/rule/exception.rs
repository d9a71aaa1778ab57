//! Exceptions: what is known to look like an attack and to be none.

use std::hash::Hash;

use serde::{Deserialize, Serialize};
use time::format_description::well_known::Rfc3339;
use time::{OffsetDateTime, Time, Weekday};

use super::condition::Test;
use super::{Condition, Provider};
use crate::Error;
use crate::digest::Digest;
use crate::event::{Event, Projection};

/// A reason not to be alarmed. It holds for a finding where it holds for every one of its events, so that no single
/// record can excuse the others.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exception {
    /// Its name.
    pub id: String,
    /// Why this is no attack. Findings carry it.
    pub reason: String,
    /// The rules it is for; all where it names none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<String>,
    /// The cloud whose records it speaks of.
    pub provider: Provider,
    /// The time from which it no longer holds, RFC 3339 (`2027-01-31T00:00:00Z`), in event time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<String>,
    /// What becomes of the finding.
    #[serde(default)]
    pub action: ExceptionAction,
    /// What must hold for the record: all of these.
    #[serde(default, rename = "where", skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// When it must have happened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub between: Option<TimeOfWeek>,
}

/// What becomes of a finding that is excepted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ExceptionAction {
    /// It is emitted with status Suppressed and the reason.
    #[default]
    Tag,
    /// It is not emitted, only counted.
    Drop,
}

/// A part of the day, in UTC, on some days of the week.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TimeOfWeek {
    /// The days, `mon` to `sun`; all where there are none. A part over midnight belongs to the day that it begins on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub days: Vec<Day>,
    /// The first minute, `HH:MM`.
    pub from: String,
    /// The minute behind the last, `HH:MM`.
    pub to: String,
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

/// An exception, compiled.
#[derive(Debug)]
pub(crate) struct ExceptionPlan {
    pub exception: Exception,
    pub fingerprint: [u8; 16],
    tests: Vec<Test>,
    expires: Option<i64>,
    between: Option<(Time, Time)>,
}

impl ExceptionPlan {
    /// Compiles an exception that stands at `at`.
    #[cold]
    pub(crate) fn compile(exception: Exception, projection: &mut Projection, at: &str) -> Result<Self, Error> {
        if exception.reason.trim().is_empty() {
            return Err(Error::config(format!("{at}.reason"), "expected a reason that a person understands"));
        }
        if exception.conditions.is_empty() && exception.between.is_none() {
            return Err(Error::config(at, "an exception needs `where` or `between`: this one would except everything"));
        }
        let conditions = exception.conditions.iter().enumerate();
        let tests = conditions
            .map(|(number, condition)| Test::compile(condition, projection, &format!("{at}.where[{number}]")))
            .collect::<Result<_, _>>()?;
        let expires = exception.expires.as_deref().map(|text| {
            let time = OffsetDateTime::parse(text, &Rfc3339).map(|time| time.unix_timestamp().saturating_mul(1_000));
            let why = format!("{text:?} is no time: expected one such as 2027-01-31T00:00:00Z");
            time.map_err(|_| Error::config(format!("{at}.expires"), why))
        });
        let between = exception.between.as_ref().map(|between| {
            let from = minute(&between.from, &format!("{at}.between.from"))?;
            Ok::<_, Error>((from, minute(&between.to, &format!("{at}.between.to"))?))
        });
        let mut digest = Digest::default();
        exception.hash(&mut digest);
        Ok(Self {
            fingerprint: digest.digest(),
            tests,
            expires: expires.transpose()?,
            between: between.transpose()?,
            exception,
        })
    }

    /// Whether it holds for an event.
    pub(crate) fn holds(&self, event: &Event<'_>, time: i64) -> bool {
        event.provider == self.exception.provider
            && self.expires.is_none_or(|expires| time < expires)
            && self.is_then(time)
            && self.tests.iter().all(|test| test.holds(&event.values))
    }

    /// Whether it is for a rule.
    pub(crate) fn is_for(&self, rule: &str) -> bool {
        self.exception.rules.is_empty() || self.exception.rules.iter().any(|id| id == rule)
    }

    fn is_then(&self, time: i64) -> bool {
        let (Some((from, to)), Some(between)) = (self.between, &self.exception.between) else { return true };
        let Ok(time) = OffsetDateTime::from_unix_timestamp(time.div_euclid(1_000)) else { return false };
        let on = |day: Weekday| between.days.is_empty() || between.days.iter().any(|wanted| wanted.weekday() == day);
        let clock = time.time();
        if from <= to {
            on(time.weekday()) && from <= clock && clock < to
        } else {
            (on(time.weekday()) && from <= clock) || (on(time.weekday().previous()) && clock < to)
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

fn minute(text: &str, at: &str) -> Result<Time, Error> {
    let parts = text.split_once(':').and_then(|(hour, minute)| Some((hour.parse().ok()?, minute.parse().ok()?)));
    parts
        .and_then(|(hour, minute)| Time::from_hms(hour, minute, 0).ok())
        .ok_or_else(|| Error::config(at, format!("{text:?} is no time of day: expected HH:MM")))
}
