//! Synthetic audit records, mainly of AWS CloudTrail, for demonstrations, tests and benchmarks.
//!
//! Their structure follows AWS's documentation; every name, id and address is synthetic (documentation account numbers,
//! RFC 5737 networks). The same seed gives the same bytes.
//!
//! # Example
//!
//! ```
//! use catena_synthetic::{Stream, chain};
//!
//! let stream = Stream { records: 1_000, ..Stream::default() };
//! let lines = stream.lines();
//! assert_eq!(lines.len(), 1_000 + 3 + 10, "the records, one chain, one record in a hundred twice");
//! assert!(chain("alice", 0, 1).iter().all(|line| line.contains("ec2.amazonaws.com")));
//! ```

mod cloud;
pub mod costs;
mod files;
mod random;
mod record;
mod rules;
pub mod shapes;
mod workload;

pub use cloud::{azure_line, gcp_line};
pub use files::{File, files};
pub use random::Random;
pub use record::{Call, Record, chain, time_text};
pub use rules::chain_rules;
pub use workload::Workload;

/// Splits bytes into batches of whole lines of at most `size` bytes; a longer line is a batch of its own.
pub fn batches(bytes: &[u8], size: usize) -> Vec<&[u8]> {
    let is_end = |byte: &u8| *byte == b'\n';
    let (mut batches, mut rest) = (Vec::new(), bytes);
    while !rest.is_empty() {
        let most = &rest[..rest.len().min(size)];
        let end = most.iter().rposition(is_end).or_else(|| rest.iter().position(is_end));
        let (batch, after) = rest.split_at(end.map_or(rest.len(), |at| at + 1));
        batches.push(batch);
        rest = after;
    }
    batches
}

/// A stream of records: mostly noise, some records that match rules, some chains.
#[derive(Clone, Debug)]
pub struct Stream {
    /// The seed of all random choices.
    pub seed: u64,
    /// Number of records, not counting chains and duplicates.
    pub records: usize,
    /// How many of these records out of 10,000 are calls that match rules without completing a chain.
    pub of_interest_per_10_000: u32,
    /// Number of chains (volume, snapshot, instance) among them.
    pub chains: usize,
    /// Duplicates, as a percentage of `records`.
    pub duplicate_percent: usize,
    /// Maximum delay of a record after its event, in seconds. 0: in order.
    pub disorder_seconds: u64,
    /// The time of the first event, in seconds since 1970.
    pub start: u64,
    /// Events per second.
    pub per_second: u64,
    /// Number of identities.
    pub identities: u64,
}

impl Default for Stream {
    /// A thousand records in order, with one chain and 1% duplicates.
    fn default() -> Self {
        Self {
            seed: 7,
            records: 1_000,
            of_interest_per_10_000: 100,
            chains: 1,
            duplicate_percent: 1,
            disorder_seconds: 0,
            // 2026-01-05T10:00:00Z
            start: 1_767_607_200,
            per_second: 20,
            identities: 200,
        }
    }
}

impl Stream {
    /// The records in order of arrival, each without its LF.
    pub fn lines(&self) -> Vec<String> {
        let mut random = Random::new(self.seed);
        let span = (self.records as u64 / self.per_second).max(1);
        let mut lines: Vec<(u64, String)> = Vec::with_capacity(self.records + 3 * self.chains);
        for number in 0..self.records as u64 {
            let time = self.start + number / self.per_second;
            let record = Record {
                identity: random.below(self.identities),
                time,
                number,
                call: match random.below(10_000) < u64::from(self.of_interest_per_10_000) {
                    true => Call::of_interest(&mut random),
                    false => Call::noise(&mut random),
                },
            };
            lines.push((time, record.line(self.seed)));
        }
        for number in 0..self.chains as u64 {
            // Early enough that the chain ends before the stream does, if the stream is long enough.
            let start = self.start + random.below(span.saturating_sub(600).max(1));
            let identity = format!("chain-{number}");
            let steps = chain(&identity, start, self.seed ^ (number + 1));
            lines.extend(steps.into_iter().zip([0, 11, 135]).map(|(line, after)| (start + after, line)));
        }
        let doubled = self.records * self.duplicate_percent / 100;
        for _ in 0..doubled {
            let again = random.below(lines.len() as u64) as usize;
            let copy = lines[again].clone();
            lines.push(copy);
        }
        let mut arriving: Vec<_> = lines
            .into_iter()
            .enumerate()
            .map(|(at, (time, line))| (time + random.below(self.disorder_seconds + 1), at, line))
            .collect();
        arriving.sort();
        arriving.into_iter().map(|(_, _, line)| line).collect()
    }

    /// The stream as bytes, each record terminated by LF.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for line in self.lines() {
            bytes.extend_from_slice(line.as_bytes());
            bytes.push(b'\n');
        }
        bytes
    }
}
