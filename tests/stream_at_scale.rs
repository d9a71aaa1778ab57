//! A busy account: 200,000 records, delayed by up to five minutes, 1% of them duplicated, with chains and near misses.
//! Every true chain is found exactly once and no false one is, also across restarts and shards.

use std::collections::BTreeSet;

use crate::common::NOW;
use crate::common::run::event_ids;
use catena::Finding;
use catena_synthetic::{Random, Stream, chain, time_text};

const CHAINS: usize = 300;
const STAGING: &str = "aws-snapshot-staging";

/// The lines in arrival order, and the event ids of the true chains.
fn stream() -> (Vec<String>, BTreeSet<Vec<String>>) {
    let noise = Stream { records: 200_000, chains: 0, duplicate_percent: 0, ..Stream::default() };
    let mut random = Random::new(11);
    let mut truth = BTreeSet::new();
    let mut lines: Vec<(u64, String)> = noise.lines().into_iter().map(|line| (time_of(&line), line)).collect();
    for number in 0..CHAINS as u64 {
        let start = noise.start + random.below(9_000);
        let [volume, snapshot, instance] = chain(&format!("chain-{}", number % 40), start, 1_000 + number);
        let moved = |line: &str, from: u64, to: u64| line.replace(&time_text(start + from), &time_text(start + to));
        let steps = match number % 6 {
            // Near misses: a launch an hour after the start, steps out of order, a launch by another identity.
            3 => [volume, snapshot, moved(&instance, 135, 3_600)],
            4 => [moved(&volume, 0, 60), snapshot, instance],
            5 => [volume, snapshot, instance.replace("user/chain-", "user/other-")],
            // True chains. Every third one happens within one second.
            0 => [volume, moved(&snapshot, 11, 0), moved(&instance, 135, 0)],
            _ => [volume, snapshot, instance],
        };
        if number % 6 < 3 {
            truth.insert(steps.each_ref().map(|line| id_of(line)).to_vec());
        }
        lines.extend(steps.map(|line| (time_of(&line), line)));
    }
    for _ in 0..lines.len() / 100 {
        let again = lines[random.below(lines.len() as u64) as usize].clone();
        lines.push(again);
    }
    let mut arriving: Vec<_> = lines.into_iter().map(|(time, line)| (time + random.below(301), line)).collect();
    arriving.sort();
    (arriving.into_iter().map(|(_, line)| line).collect(), truth)
}

fn member<'a>(line: &'a str, name: &str) -> &'a str {
    let start = line.find(&format!("\"{name}\":\"")).expect("the member should be present") + name.len() + 4;
    &line[start..start + line[start..].find('"').expect("the value should be terminated")]
}

fn id_of(line: &str) -> String {
    member(line, "eventID").to_owned()
}

/// Seconds since 1970. The whole stream falls on one day.
fn time_of(line: &str) -> u64 {
    let time = member(line, "eventTime");
    let part = |range: std::ops::Range<usize>| time[range].parse::<u64>().expect("the part should be a number");
    crate::common::START - 10 * 3_600 + part(11..13) * 3_600 + part(14..16) * 60 + part(17..19)
}

/// The event ids of the chains among the findings. Panics if a chain occurs twice.
fn chains(findings: Vec<Finding>) -> BTreeSet<Vec<String>> {
    let chains: Vec<_> = findings.iter().filter(|finding| finding.rule == STAGING).map(event_ids).collect();
    let different: BTreeSet<_> = chains.iter().cloned().collect();
    assert_eq!(different.len(), chains.len(), "a chain was found twice");
    different
}

#[test]
fn every_true_chain_is_found_exactly_once_and_no_false_one() {
    let (lines, truth) = stream();
    assert_eq!(truth.len(), CHAINS / 2);
    let batch = lines.join("\n");

    let found = crate::common::run::open("{}").unwrap().process(batch.as_bytes(), NOW).unwrap().findings;
    assert_eq!(chains(found), truth, "in one batch");

    let mut random = Random::new(5);
    let mut cuts: Vec<_> = (0..100).map(|_| random.below(lines.len() as u64) as usize).collect();
    cuts.sort_unstable();
    let mut correlator = crate::common::run::open("{}").unwrap();
    let (mut found, mut from) = (Vec::new(), 0);
    for to in cuts.into_iter().chain([lines.len()]) {
        let part = lines[from..to].join("\n");
        found.extend(correlator.process(part.as_bytes(), NOW).unwrap().findings);
        correlator = crate::common::run::resume("{}", &correlator.checkpoint()).unwrap();
        from = to;
    }
    assert_eq!(chains(found), truth, "with a hundred restarts");

    let mut shards = vec![Vec::new(); 8];
    for route in crate::common::run::open("{}").unwrap().route(batch.as_bytes(), 8).unwrap() {
        let run = &batch.as_bytes()[route.start as usize..route.end as usize];
        for partition in route.partitions {
            shards[partition as usize].extend_from_slice(run);
        }
    }
    let process = |shard: &Vec<u8>| crate::common::run::open("{}").unwrap().process(shard, NOW).unwrap().findings;
    assert_eq!(chains(shards.iter().flat_map(process).collect()), truth, "in eight shards");
}
