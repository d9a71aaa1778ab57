//! Several correlators that share a stream by identity, merged as `wit/catena.wit` tells hosts to.

use catena::{Config, Correlator, Finding, Partition, join_annotations};

use super::NOW;

/// What comes out of a batch.
#[derive(Debug, Default, PartialEq)]
pub struct Together {
    /// The stream, in modes `enrich` and `filter`, if every line of the batch is a record.
    pub output: String,
    /// The findings, ordered by id.
    pub findings: Vec<Finding>,
    /// Records, matched, dropped, rejected.
    pub counts: [usize; 4],
}

/// What one correlator makes of the batch.
pub fn one(config: &str, batch: &[u8]) -> Together {
    let outcome = super::run::open(config).unwrap().process(batch, NOW).unwrap();
    let output = String::from_utf8(outcome.apply(batch)).unwrap();
    let counts =
        [outcome.records as usize, outcome.matched as usize, outcome.dropped as usize, outcome.rejections.len()];
    Together { output, findings: sorted(outcome.findings), counts }
}

/// What `partitions` correlators make of it, with what they count of its input.
pub fn several(config: &str, batch: &[u8], partitions: u32) -> (Together, u64) {
    let config: Config = config.parse().unwrap();
    let open = |index| {
        let mut config = config.clone();
        config.partition = index;
        Correlator::new(config).unwrap()
    };
    let mut router = open(None);
    let mut shards: Vec<Correlator> =
        (0..partitions).map(|index| open(Some(Partition { index, count: partitions }))).collect();
    let enriches = config.mode == catena::Mode::Enrich;
    let mut together = Together::default();
    // One run at a time: correlators do not care how a stream is cut.
    for route in router.route(batch, partitions).unwrap() {
        let run = &batch[route.start as usize..route.end as usize];
        if route.partitions.is_empty() {
            together.counts[0] += route.records as usize;
            together.counts[2] += if enriches { 0 } else { route.records as usize };
            together.output += if enriches { std::str::from_utf8(run).unwrap() } else { "" };
            continue;
        }
        assert!(route.partitions.len() == 1 || route.records == 1);
        let (mut texts, mut outputs) = (Vec::new(), Vec::new());
        for partition in &route.partitions {
            let outcome = shards[*partition as usize].process(run, NOW).unwrap();
            let numbers = [outcome.records, outcome.matched, outcome.dropped, outcome.rejections.len() as u32];
            together.counts.iter_mut().zip(numbers).for_each(|(sum, number)| *sum += number as usize);
            outputs.push(String::from_utf8(outcome.apply(run)).unwrap());
            texts.extend(outcome.splices.iter().filter(|splice| splice.start == splice.end).cloned());
            together.findings.extend(outcome.findings);
        }
        together.output += &match texts.first().filter(|_| route.partitions.len() > 1) {
            Some(first) => {
                let joined = join_annotations(&texts.iter().map(|splice| &splice.text).collect::<Vec<_>>()).unwrap();
                let (before, after) = std::str::from_utf8(run).unwrap().split_at(first.start as usize);
                format!("{before}{joined}{after}")
            }
            None => outputs.swap_remove(0),
        };
    }
    together.findings = sorted(together.findings);
    let counted = |correlator: &Correlator| {
        let inputs = correlator.metrics().into_iter().filter(|metric| ["input", "unrecognised"].contains(&metric.name));
        inputs.map(|metric| metric.value).sum::<u64>()
    };
    (together, counted(&router) + shards.iter().map(counted).sum::<u64>())
}

/// What the input counts of a single correlator sum to.
pub fn counted_by_one(config: &str, batch: &[u8]) -> u64 {
    let mut correlator = super::run::open(config).unwrap();
    correlator.process(batch, NOW).unwrap();
    let inputs = correlator.metrics().into_iter().filter(|metric| ["input", "unrecognised"].contains(&metric.name));
    inputs.map(|metric| metric.value).sum()
}

fn sorted(mut findings: Vec<Finding>) -> Vec<Finding> {
    findings.sort_by(|one, other| (&one.id, &one.body).cmp(&(&other.id, &other.body)));
    findings.iter_mut().for_each(|finding| (finding.start, finding.end) = (0, 0));
    findings
}
