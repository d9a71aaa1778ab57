use std::ops::Range;

use bytes::BytesMut;
use memchr::memchr;
use serde_json::{Value, json};

use crate::{Route, Splice};

/// The configuration of the correlator of one of several partitions.
pub fn with_partition(config: &str, index: u32, count: u32) -> String {
    let mut config: Value = serde_json::from_str(config).unwrap_or_else(|_| json!({}));
    if let Some(members) = config.as_object_mut() {
        members.insert("partition".to_owned(), json!({"index": index, "count": count}));
    }
    config.to_string()
}

/// Appends the run at `at` of the `routes` of a batch to the batch of a partition: on a line of its own, even if it was an element of a
/// container. Returns the offset at which it begins.
pub fn push_run(batch: &[u8], routes: &[Route], at: usize, to: &mut BytesMut) -> usize {
    let Some(run) = routes.get(at).map(range) else { return to.len() };
    if is_cut_off(batch, &run, routes.get(at + 1)) {
        to.extend_from_slice(b"[");
    }
    let start = to.len();
    to.extend_from_slice(batch.get(run).unwrap_or_default());
    if to.last() != Some(&b'\n') {
        to.extend_from_slice(b"\n");
    }
    start
}

/// What the correlators of several partitions do to one record, in the order of the partitions: an annotation by any of them counts, and
/// all of them make one, by `join`. Splices that only a faulty component inserts may not be joined; then one is kept.
pub fn together(mut by_partition: Vec<Vec<Splice>>, join: impl Fn(&[&str]) -> Option<String>) -> Vec<Splice> {
    if by_partition.len() == 1 {
        return by_partition.pop().unwrap_or_default();
    }
    let inserted = by_partition.iter().flatten().filter(|splice| splice.start == splice.end);
    let texts: Vec<&str> = inserted.clone().map(|splice| splice.text.as_str()).collect();
    match inserted.clone().next() {
        Some(Splice { start, end, text }) => {
            let text = join(&texts).unwrap_or_else(|| text.clone());
            vec![Splice { start: *start, end: *end, text }]
        }
        None => by_partition.into_iter().next().unwrap_or_default(),
    }
}

/// Whether a run is the last part of a truncated container, with nothing after it on its line. On a line of its own it
/// could pass for a record.
fn is_cut_off(batch: &[u8], run: &Range<usize>, next: Option<&Route>) -> bool {
    if run.start == 0 || batch.get(run.start - 1) == Some(&b'\n') || batch.get(run.end.max(1) - 1) == Some(&b'\n') {
        return false;
    }
    let rest = batch.get(run.end..).unwrap_or_default();
    let line_end = memchr(b'\n', rest).unwrap_or(rest.len());
    let goes_on = next.is_some_and(|next| (next.start as usize) < run.end + line_end);
    !goes_on && rest[..line_end].trim_ascii().is_empty()
}

fn range(route: &Route) -> Range<usize> {
    route.start as usize..route.end as usize
}
