//! Times as records write them.

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Milliseconds since 1970 of an RFC 3339 time; `None` for anything else, and for times before 1970.
///
/// CloudTrail writes whole seconds in UTC; emulators write fractions (localstack/localstack#9346).
pub(super) fn parse(text: &str) -> Option<i64> {
    let nanos = OffsetDateTime::parse(text.trim(), &Rfc3339).ok()?.unix_timestamp_nanos();
    i64::try_from(nanos.div_euclid(1_000_000)).ok().filter(|millis| *millis >= 0)
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn times_are_read_to_the_millisecond() {
        for (text, millis) in [
            ("2023-07-10T12:10:25Z", 1_688_991_025_000),
            ("2023-07-10T12:10:25.678Z", 1_688_991_025_678),
            ("2023-07-10T12:10:25.6789Z", 1_688_991_025_678),
            ("2023-07-10T14:10:25+02:00", 1_688_991_025_000),
            ("1970-01-01T00:00:00Z", 0),
        ] {
            assert_eq!(parse(text), Some(millis), "{text}");
        }
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in ["", "yesterday", "2023-07-10", "2023-02-30T00:00:00Z", "1969-12-31T23:59:59Z", "1688991025"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
