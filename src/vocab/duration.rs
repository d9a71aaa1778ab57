use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::error::ParseError;
use crate::util::text_form;

/// A length of time in whole milliseconds.
///
/// Its text form is a whole number and a unit: `ms`, `s`, `m`, `h` or `d`, at most ten years (3,653 days). It is
/// written in the longest unit that divides it.
///
/// ```
/// use catena::Duration;
///
/// let window: Duration = "900s".parse()?;
/// assert_eq!(window, Duration::from_minutes(15));
/// assert_eq!(window.to_string(), "15m");
/// # Ok::<(), catena::ParseError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Duration {
    millis: i64,
}

/// The units and their milliseconds, longest first, so that a duration is written in the longest unit that divides it.
const UNITS: [(&str, i64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// The longest duration, in milliseconds: ten years, far too short for sums of timestamps to
/// overflow.
const MAX: i64 = 3_653 * 86_400_000;

impl Duration {
    /// A duration of `minutes`, or of ten years if that is shorter.
    ///
    /// ```
    /// assert_eq!(catena::Duration::from_minutes(90).to_string(), "90m");
    /// ```
    pub const fn from_minutes(minutes: u32) -> Self {
        let millis = minutes as i64 * 60_000;
        Self { millis: if millis < MAX { millis } else { MAX } }
    }

    /// The duration in milliseconds.
    ///
    /// ```
    /// assert_eq!(catena::Duration::from_minutes(1).as_millis(), 60_000);
    /// ```
    pub const fn as_millis(self) -> i64 {
        self.millis
    }

    /// Parses the text form. White space may precede the unit.
    fn parse(text: &str) -> Option<Self> {
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at_checked(digits)?;
        let (_, factor) = UNITS.iter().find(|(name, _)| *name == unit.trim())?;
        let millis = number.parse::<i64>().ok()?.checked_mul(*factor)?;
        (millis <= MAX).then_some(Self { millis })
    }
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, factor) = UNITS.iter().find(|(_, factor)| self.millis % factor == 0).unwrap_or(&("ms", 1));
        write!(f, "{}{unit}", self.millis / factor)
    }
}

impl FromStr for Duration {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text).ok_or_else(|| ParseError { text: text.to_owned(), expected: EXPECTED })
    }
}

impl From<Duration> for std::time::Duration {
    fn from(duration: Duration) -> Self {
        Self::from_millis(u64::try_from(duration.millis).unwrap_or_default())
    }
}

/// The format, as error messages describe it.
const EXPECTED: &str = "a whole number and a unit, such as 900s, 15m, 1h or 7d, up to 10 years";

impl Serialize for Duration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Duration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        text_form::deserialize(deserializer, EXPECTED, Self::parse)
    }
}

#[cfg(test)]
mod tests {
    use super::Duration;

    #[test]
    fn a_duration_is_read_and_written_in_the_longest_unit_that_divides_it() {
        for (text, millis, written) in [
            ("900s", 900_000, "15m"),
            ("90s", 90_000, "90s"),
            ("24h", 86_400_000, "1d"),
            ("0s", 0, "0d"),
            ("7ms", 7, "7ms"),
        ] {
            let duration = Duration::parse(text).unwrap();
            assert_eq!((duration.as_millis(), duration.to_string().as_str()), (millis, written));
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for text in ["", "15", "m", "1.5h", "-1s", "15 minutes", "99999999999999999999d", "3654d"] {
            assert_eq!(Duration::parse(text), None, "{text}");
        }
    }
}
