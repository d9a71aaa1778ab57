//! Parses the time formats of records.

use std::borrow::Cow;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Why an event has no time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TimeProblem {
    /// The record has no time.
    Missing,
    /// The record's time, given here, is in no known format or before 1970.
    NotATime(String),
}

/// Parses the time of a record, in milliseconds since 1970.
///
/// # Errors
///
/// [`TimeProblem::Missing`] without a text, [`TimeProblem::NotATime`] if the text cannot be parsed.
pub(super) fn parse_event_time(text: Option<Cow<'_, str>>) -> Result<i64, TimeProblem> {
    let text = text.ok_or(TimeProblem::Missing)?;
    parse(&text).ok_or_else(|| TimeProblem::NotATime(text.into_owned()))
}

/// Milliseconds since 1970, rounded down; `None` for text in an unknown format, and for times before 1970.
///
/// CloudTrail writes whole seconds in UTC; emulators write fractions (localstack/localstack#9346). Exports from Azure
/// and from tables may have a space instead of the `T`, omit the zone (which is then UTC), or write month/day/year with
/// or without AM and PM. OCSF writes milliseconds since 1970.
fn parse(text: &str) -> Option<i64> {
    let text = text.trim();
    // Windows PowerShell writes `/Date(1688991025678)/`.
    let text = text.strip_prefix("/Date(").and_then(|text| text.strip_suffix(")/")).unwrap_or(text);
    if text.len() == 13 && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.parse().ok();
    }
    let rfc_3339 = |text: &str| OffsetDateTime::parse(text, &Rfc3339).ok();
    let rewritten = || if text.contains('/') { rfc3339_from_us(text) } else { complete_rfc3339(text) };
    let nanos = rfc_3339(text).or_else(|| rfc_3339(&rewritten()?))?.unix_timestamp_nanos();
    i64::try_from(nanos.div_euclid(1_000_000)).ok().filter(|millis| *millis >= 0)
}

/// Rewrites times like `2022-02-08 09:23:37` in RFC 3339.
fn complete_rfc3339(text: &str) -> Option<String> {
    let (date, rest) = text.split_at_checked(10)?;
    let time = rest.strip_prefix(['T', 't', ' '])?;
    // BigQuery writes the zone as a word.
    let time = time.strip_suffix(" UTC").unwrap_or(time);
    let zoned = time.contains(['Z', 'z', '+', '-']);
    Some(format!("{date}T{}{}", time.replace(' ', ""), if zoned { "" } else { "Z" }))
}

/// Rewrites times like `1/9/2007 9:41:00 AM +01:00` in RFC 3339.
fn rfc3339_from_us(text: &str) -> Option<String> {
    let mut parts = text.split_whitespace();
    let mut date = parts.next()?.split('/');
    let (month, day, year) = (date.next()?, date.next()?, date.next()?);
    let (hour, rest) = parts.next()?.split_once(':')?;
    let mut hour: u8 = hour.parse().ok()?;
    let mut zone = "Z";
    for part in parts {
        match part {
            "AM" => hour %= 12,
            "PM" => hour = hour % 12 + 12,
            _ => zone = part,
        }
    }
    Some(format!("{year}-{month:0>2}-{day:0>2}T{hour:02}:{rest}{zone}"))
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
            ("2026-01-05T10:00:00.1234567Z", 1_767_607_200_123),
            ("2021-10-19T02:57:47.834659236Z", 1_634_612_267_834),
            ("2024-04-02 15:13:06.000000000", 1_712_070_786_000),
            ("2024-04-02T15:13:06", 1_712_070_786_000),
            ("2022-02-08 09:23:37+11:00", 1_644_272_617_000),
            ("01/09/2007 09:41:00", 1_168_335_660_000),
            ("1/9/2007 9:41:00 AM", 1_168_335_660_000),
            ("1/9/2007 10:41:00 AM +01:00", 1_168_335_660_000),
            ("1/9/2007 12:00:01 AM", 1_168_300_801_000),
            ("1/9/2007 12:00:01 PM", 1_168_344_001_000),
            ("1688991025678", 1_688_991_025_678),
            ("/Date(1688991025678)/", 1_688_991_025_678),
            ("2023-07-10 12:10:25.678000 UTC", 1_688_991_025_678),
        ] {
            assert_eq!(parse(text), Some(millis), "{text}");
        }
    }

    #[test]
    fn invalid_times_are_refused() {
        for text in [
            "",
            "yesterday",
            "2023-07-10",
            "2023-02-30T00:00:00Z",
            "1969-12-31T23:59:59Z",
            "1688991025",
            "13/13/2007 1:00:00 AM",
            "1/9/2007",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
