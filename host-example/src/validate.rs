//! Validates the component's answers against its contract: a host must not slice its buffer at offsets from a component
//! that it has not checked.

use crate::Outcome;
use crate::sandbox::Route;

/// Checks the outcome of a batch of `length` bytes: all ranges are within it and in order, and the counts agree.
pub(crate) fn check(outcome: &Outcome, length: usize) -> Result<(), String> {
    in_order("splice", length, outcome.splices.iter().map(|splice| (splice.start, splice.end)))?;
    // Adjacent records of a container may be rejected, so these ranges may touch.
    in_order("rejection", length, outcome.rejections.iter().map(|rejection| (rejection.start, rejection.end)))?;
    in_order("unrecognised record", length, outcome.unrecognised.iter().map(|record| (record.start, record.end)))?;
    if let Some(finding) = outcome.findings.iter().find(|finding| !is_within(length, finding.start, finding.end)) {
        return Err(format!("a finding is at {}..{} of {length} bytes", finding.start, finding.end));
    }
    let rejected = outcome.rejections.len() as u64;
    let Outcome { records, matched, dropped, .. } = *outcome;
    check_records(records.into(), length)?;
    if u64::from(dropped) + rejected > u64::from(records) || matched > records {
        return Err(format!(
            "{records} records, of which {matched} matched, {dropped} were dropped, {rejected} rejected"
        ));
    }
    Ok(())
}

/// Checks the routes of a batch of `length` bytes over `partitions` partitions.
pub(crate) fn check_routes(routes: &[Route], length: usize, partitions: u32) -> Result<(), String> {
    in_order("route", length, routes.iter().map(|route| (route.start, route.end)))?;
    check_records(routes.iter().map(|route| u64::from(route.records)).sum(), length)?;
    for route in routes {
        if let Some(partition) = route.partitions.iter().find(|partition| **partition >= partitions) {
            return Err(format!("a route goes to partition {partition} of {partitions}"));
        }
        if !route.partitions.is_sorted_by(|one, next| one < next) {
            return Err(format!("a route goes to the partitions {:?}, which are not in order", route.partitions));
        }
    }
    Ok(())
}

/// A record takes at least one byte, except for the missing rest of a truncated last container.
fn check_records(records: u64, length: usize) -> Result<(), String> {
    if records > length as u64 + 1 {
        return Err(format!("{records} records in {length} bytes"));
    }
    Ok(())
}

fn is_within(length: usize, start: u32, end: u32) -> bool {
    start <= end && end as usize <= length
}

fn in_order(what: &str, length: usize, ranges: impl Iterator<Item = (u32, u32)>) -> Result<(), String> {
    let mut previous_end = 0;
    for (at, (start, end)) in ranges.enumerate() {
        if !is_within(length, start, end) {
            return Err(format!("{what} {at} is at {start}..{end} of {length} bytes"));
        }
        if start < previous_end {
            return Err(format!("{what} {at} at {start}..{end} begins before the one before it ends"));
        }
        previous_end = end;
    }
    Ok(())
}
