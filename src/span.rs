//! Spans of time as rules and configurations write them: `900s`, `15m`, `1h`, `7d`.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::parsed;

/// A span of time, to the millisecond. Written as a whole number and a unit: `ms`, `s`, `m`, `h` or `d`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    millis: i64,
}

/// The units, longest first, so that a span is written in the longest that divides it.
const UNITS: [(&str, i64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// No window or lateness is longer: ten years, far below where sums of instants could overflow.
const LONGEST: i64 = 3_653 * 86_400_000;

impl Span {
    /// A span of so many minutes.
    pub const fn from_minutes(minutes: u32) -> Self {
        Self { millis: minutes as i64 * 60_000 }
    }

    /// The span in milliseconds.
    pub const fn as_millis(self) -> i64 {
        self.millis
    }

    fn parse(text: &str) -> Option<Self> {
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at_checked(digits)?;
        let (_, factor) = UNITS.iter().find(|(name, _)| *name == unit.trim())?;
        let millis = number.parse::<i64>().ok()?.checked_mul(*factor)?;
        (millis <= LONGEST).then_some(Self { millis })
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, factor) = UNITS.iter().find(|(_, factor)| self.millis % factor == 0).unwrap_or(&("ms", 1));
        write!(f, "{}{unit}", self.millis / factor)
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let expected = "a whole number and a unit, such as 900s, 15m, 1h or 7d, of at most 10 years";
        parsed::deserialize(deserializer, expected, Self::parse)
    }
}

#[cfg(test)]
mod tests {
    use super::Span;

    #[test]
    fn a_span_is_read_and_written_in_the_longest_unit_that_divides_it() {
        for (text, millis, written) in [
            ("900s", 900_000, "15m"),
            ("90s", 90_000, "90s"),
            ("24h", 86_400_000, "1d"),
            ("0s", 0, "0d"),
            ("7ms", 7, "7ms"),
        ] {
            let span = Span::parse(text).unwrap();
            assert_eq!((span.as_millis(), span.to_string().as_str()), (millis, written));
        }
    }

    #[test]
    fn what_is_no_span_is_refused() {
        for text in ["", "15", "m", "1.5h", "-1s", "15 minutes", "99999999999999999999d", "3654d"] {
            assert_eq!(Span::parse(text), None, "{text}");
        }
    }
}
