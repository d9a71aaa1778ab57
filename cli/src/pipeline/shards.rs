//! Splits a batch by identity over several correlators, and merges their outcomes.

use std::ops::Range;

use bytes::{Bytes, BytesMut};
use catena_host::{Fate, Merge, Mode, Outcome, Route, Splice, push_run, together};

/// A batch, split into one shard per partition.
pub struct Shards {
    routes: Vec<Route>,
    batches: Vec<Bytes>,
    /// For each shard, its runs: the offset in the shard and the range in the batch.
    runs: Vec<Vec<(usize, Range<usize>)>>,
}

impl Shards {
    /// Splits a batch according to the result of `Supervisor::route`. Only records that a rule may match are copied.
    pub fn new(batch: &Bytes, routes: Vec<Route>, partitions: u32) -> Self {
        let mut shards = vec![(BytesMut::new(), Vec::new()); partitions as usize];
        for (at, route) in routes.iter().enumerate() {
            let run = range(route);
            for partition in &route.partitions {
                let Some((shard, runs)) = shards.get_mut(*partition as usize) else { continue };
                let start = push_run(batch, &routes, at, shard);
                runs.push((start, run.clone()));
            }
        }
        let (batches, runs) = shards.into_iter().map(|(shard, runs)| (shard.freeze(), runs)).unzip();
        Self { routes, batches, runs }
    }

    /// The batch for each correlator, in the order of the partitions; empty if it has nothing to process.
    pub fn batches(&self) -> &[Bytes] {
        &self.batches
    }

    /// Merges the outcomes of the shards, `None` for empty ones, into that of the batch.
    ///
    /// The result equals that of a single correlator, except that findings are in the order of the shards.
    pub fn join(self, batch: &Bytes, mode: Mode, outcomes: Vec<Option<Outcome>>) -> Outcome {
        let mut merge = Merge::new(batch, mode);
        let mut splices = Vec::new();
        for (outcome, runs) in outcomes.into_iter().zip(&self.runs) {
            let Some(mut outcome) = outcome else {
                splices.push(ShardSplices::default());
                continue;
            };
            // A shard has bytes that the batch lacks. Only a faulty component names those.
            let in_batch = |at: u32, to: u32| {
                let run = runs.partition_point(|(start, _)| *start <= at as usize);
                let (start, run) = runs.get(run.saturating_sub(1))?;
                let of_batch = |offset: u32| (run.start + (offset as usize).saturating_sub(*start)).min(run.end) as u32;
                Some((of_batch(at), of_batch(to)))
            };
            for finding in &mut outcome.findings {
                (finding.start, finding.end) = in_batch(finding.start, finding.end).unwrap_or_default();
            }
            merge.count(&mut outcome);
            for mut rejection in outcome.rejections {
                let Some(place) = in_batch(rejection.start, rejection.end) else { continue };
                (rejection.start, rejection.end) = place;
                merge.outcome.rejections.push(rejection);
            }
            for mut example in outcome.unrecognised {
                let Some(place) = in_batch(example.start, example.end) else { continue };
                (example.start, example.end) = place;
                merge.add_unrecognised(example);
            }
            splices.push(ShardSplices { splices: outcome.splices, next: 0, run: 0 });
        }
        merge.outcome.rejections.sort_by_key(|rejection| rejection.start);
        merge.outcome.unrecognised.sort_by_key(|example| example.start);
        for route in &self.routes {
            let of = |partition: &u32| {
                let (moved, runs) = (splices.get_mut(*partition as usize)?, self.runs.get(*partition as usize)?);
                Some(moved.of_next_run(runs))
            };
            let moved: Vec<_> = route.partitions.iter().filter_map(of).collect();
            let fate = match moved.is_empty() {
                false => Fate::Processed(together(moved, |texts| catena::join_annotations(texts).ok())),
                true => {
                    merge.outcome.records += route.records;
                    merge.outcome.dropped += if mode == Mode::Enrich { 0 } else { route.records };
                    Fate::Unprocessed
                }
            };
            merge.part(range(route), fate);
        }
        merge.finish()
    }
}

fn range(route: &Route) -> Range<usize> {
    route.start as usize..route.end as usize
}

/// The splices of a shard, to be translated to offsets in the batch.
#[derive(Default)]
struct ShardSplices {
    splices: Vec<Splice>,
    /// The first splice that has not been returned in full.
    next: usize,
    run: usize,
}

impl ShardSplices {
    /// The splices within the next run, clipped to it, at their offsets in the batch.
    fn of_next_run(&mut self, runs: &[(usize, Range<usize>)]) -> Vec<Splice> {
        let Some((start, run)) = runs.get(self.run) else { return Vec::new() };
        self.run += 1;
        let end = start + run.len();
        let mut moved = Vec::new();
        while let Some(splice) = self.splices.get_mut(self.next) {
            let (from, to) = (splice.start as usize, splice.end as usize);
            if from >= end {
                break;
            }
            let place = |at: usize| (run.start + at.clamp(*start, end) - start) as u32;
            // A removal may extend into the next run, across the line feed that was added after this one.
            if to >= *start && !(from < *start && to == *start) {
                moved.push(Splice { start: place(from), end: place(to), text: std::mem::take(&mut splice.text) });
            }
            if to > end {
                break;
            }
            self.next += 1;
        }
        moved
    }
}

#[cfg(test)]
mod tests;
