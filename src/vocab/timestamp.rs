use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::error::ParseError;
use crate::util::text_form;

/// A point in time, in whole milliseconds since 1970-01-01T00:00:00Z.
///
/// Its text form is RFC 3339. It is written in UTC; any offset can be parsed.
///
/// ```
/// use catena::Timestamp;
///
/// let time: Timestamp = "2026-01-05T11:00:00+01:00".parse()?;
/// assert_eq!(time, Timestamp::from_millis(1_767_607_200_000));
/// assert_eq!(time.to_string(), "2026-01-05T10:00:00.000Z");
/// # Ok::<(), catena::ParseError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp {
    millis: u64,
}

impl Timestamp {
    /// The start of the year 2000. Nothing that a cloud has recorded is older.
    pub(crate) const YEAR_2000: Self = Self::from_millis(946_684_800_000);

    /// The end of the year 9999, the last with a text form.
    pub(crate) const YEAR_10000: Self = Self::from_millis(253_402_300_800_000);

    /// The timestamp `millis` milliseconds after the start of 1970 in UTC.
    ///
    /// ```
    /// assert_eq!(catena::Timestamp::from_millis(0).to_string(), "1970-01-01T00:00:00.000Z");
    /// ```
    pub const fn from_millis(millis: u64) -> Self {
        Self { millis }
    }

    /// The milliseconds since 1970-01-01T00:00:00Z.
    ///
    /// ```
    /// assert_eq!(catena::Timestamp::from_millis(7).as_millis(), 7);
    /// ```
    pub const fn as_millis(self) -> u64 {
        self.millis
    }

    /// The milliseconds as a signed number, as event time is represented; `i64::MAX` if they do not fit.
    pub(crate) fn as_event_time(self) -> i64 {
        i64::try_from(self.millis).unwrap_or(i64::MAX)
    }

    /// Converts event time, which is never before 1970.
    pub(crate) fn from_event_time(millis: i64) -> Self {
        Self { millis: u64::try_from(millis).unwrap_or_default() }
    }

    /// Parses RFC 3339, rounded down to milliseconds. `None` for times before 1970.
    fn parse(text: &str) -> Option<Self> {
        let nanos = OffsetDateTime::parse(text, &Rfc3339).ok()?.unix_timestamp_nanos();
        u64::try_from(nanos.div_euclid(1_000_000)).ok().map(Self::from_millis)
    }
}

impl From<std::time::SystemTime> for Timestamp {
    /// Converts a system time. Times before 1970 become 1970.
    fn from(time: std::time::SystemTime) -> Self {
        let since = time.duration_since(std::time::SystemTime::UNIX_EPOCH).unwrap_or_default();
        Self { millis: u64::try_from(since.as_millis()).unwrap_or(u64::MAX) }
    }
}

impl FromStr for Timestamp {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text).ok_or_else(|| ParseError { text: text.to_owned(), expected: EXPECTED })
    }
}

/// The format, as error messages describe it.
const EXPECTED: &str = "a time in RFC 3339, such as 2027-01-31T00:00:00Z";

impl fmt::Display for Timestamp {
    /// Writes RFC 3339 in UTC; nothing for a time after the year 9999.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanos = i128::from(self.millis) * 1_000_000;
        let Ok(at) = OffsetDateTime::from_unix_timestamp_nanos(nanos) else { return Ok(()) };
        let (year, month, day) = at.to_calendar_date();
        let (hour, minute, second, milli) = at.to_hms_milli();
        write!(f, "{year:04}-{:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z", u8::from(month))
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        text_form::deserialize(deserializer, EXPECTED, Self::parse)
    }
}
