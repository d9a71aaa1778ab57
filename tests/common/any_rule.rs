//! Generators for arbitrary rules and record streams, and a brute-force oracle for their findings.

use std::collections::BTreeSet;

use catena::{Operator, Rule};
use catena_synthetic::time_text;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::START;

const PATHS: [&str; 3] = ["p", "q", "r.items[].s"];

/// Generates rules of one to three steps over a few actions, names and paths. Some of them are invalid.
pub fn rule() -> impl Strategy<Value = Value> {
    let name = prop::sample::select(vec!["x", "y"]);
    let binding = (name, prop::sample::subsequence(PATHS.to_vec(), 1..=2));
    let condition = prop::sample::select(vec![
        json!([]),
        json!([]),
        json!([{"field": "q", "exists": true}]),
        json!([{"field": "p", "equals": ["1", 2], "not": true}]),
        json!([{"field": "r.items[].s", "below": 3}]),
    ]);
    let step = (
        prop::sample::subsequence(vec!["A", "B", "C"], 1..=2),
        prop::collection::btree_map(
            binding.clone().prop_map(|(name, _)| name),
            binding.prop_map(|(_, paths)| paths),
            0..3,
        ),
        condition,
        prop::bool::weighted(0.15),
    );
    let steps = prop::collection::vec(step, 1..=3);
    (steps, any::<bool>(), prop::bool::weighted(0.3), 1..=10u64).prop_map(|(steps, ordered, unlinked, within)| {
        let step = |(number, (actions, bind, conditions, optional)): (usize, (Vec<&str>, _, Value, bool))| {
            json!({"id": format!("step-{number}"), "provider": "aws", "service": "s", "actions": actions,
                   "bind": bind, "where": conditions, "optional": optional})
        };
        let steps: Vec<_> = steps.into_iter().enumerate().map(step).collect();
        json!({"id": "any", "version": 1, "title": "t", "severity": "low", "within": format!("{within}m"),
               "ordered": ordered, "unlinked": unlinked, "steps": steps})
    })
}

/// Generates records with few distinct identities and values.
pub fn records(most: usize) -> impl Strategy<Value = Vec<Value>> {
    let value = || prop::sample::select(vec![json!("1"), json!(2), json!("3"), Value::Null]);
    let record = (
        // Never further apart than the allowed lateness, so records may arrive in any order.
        0..=900u64,
        prop::sample::select(vec![Value::Null, json!("a"), json!("a"), json!("b")]),
        prop::sample::select(vec!["A", "B", "C"]),
        (value(), value(), prop::collection::vec(value(), 0..3)),
    );
    let record = record.prop_map(|(time, identity, action, (p, q, list))| {
        let items: Vec<_> = list.into_iter().map(|value| json!({ "s": value })).collect();
        json!({"eventTime": time_text(START + time), "eventSource": "s", "eventName": action,
               "userIdentity": {"arn": identity}, "p": p, "q": q, "r": {"items": items}})
    });
    prop::collection::vec(record, 1..=most).prop_map(|mut records| {
        for (number, record) in records.iter_mut().enumerate() {
            record["eventID"] = format!("e{number}").into();
        }
        records
    })
}

/// The event ids of each finding's required steps, found by trying every assignment of records to steps.
pub fn oracle(rule: &Rule, records: &[Value]) -> BTreeSet<Vec<String>> {
    let steps: Vec<_> = rule.steps.iter().filter(|step| !step.optional).collect();
    let mut found = BTreeSet::new();
    for number in 0..records.len().pow(steps.len() as u32) {
        let places: Vec<_> = (0..steps.len()).map(|at| number / records.len().pow(at as u32) % records.len()).collect();
        let chain: Vec<_> = places.iter().map(|place| &records[*place]).collect();
        let times: Vec<_> = chain.iter().map(|record| seconds(record)).collect();
        let span = times.iter().max().unwrap() - times.iter().min().unwrap();
        let identity = |record: &&&Value| record["userIdentity"]["arn"].as_str().map(str::to_owned);
        let pairs = || (0..steps.len()).flat_map(|left| (left + 1..steps.len()).map(move |right| (left, right)));
        let fits = chain.iter().zip(&steps).all(|(record, step)| is_step(record, step))
            && (steps.len() == 1 || chain.first().as_ref().and_then(identity).is_some())
            && pairs().all(|(left, right)| {
                let shared = steps[left].bind.keys().filter(|name| steps[right].bind.contains_key(*name));
                places[left] != places[right]
                    && identity(&&chain[left]) == identity(&&chain[right])
                    && (!rule.ordered || times[left] <= times[right])
                    && shared.into_iter().all(|name| {
                        let values = |at: usize| {
                            steps[at].bind[name]
                                .iter()
                                .flat_map(|path| values(chain[at], path.as_str()))
                                .collect::<BTreeSet<_>>()
                        };
                        !values(left).is_disjoint(&values(right))
                    })
            })
            && (steps.len() == 1 || span <= rule.within.unwrap().as_millis() as u64 / 1_000);
        if fits {
            found.insert(chain.iter().map(|record| record["eventID"].as_str().unwrap().to_owned()).collect());
        }
    }
    found
}

fn is_step(record: &Value, step: &catena::Step) -> bool {
    step.actions.iter().any(|action| record["eventName"] == action.as_str())
        && step.conditions.iter().all(|condition| {
            let values = values(record, condition.field.as_str());
            let holds = match condition.operator {
                Operator::Equals(_) => values.iter().any(|value| value == "1" || value == "2"),
                Operator::Exists(wanted) => values.is_empty() != wanted,
                Operator::Below(bound) => values.iter().any(|value| value.parse::<i64>().unwrap() < bound),
                _ => unreachable!("the generator produces no other operator"),
            };
            holds != condition.not
        })
}

fn values(record: &Value, path: &str) -> Vec<String> {
    let text =
        |value: &Value| value.as_str().map(str::to_owned).or_else(|| value.as_u64().map(|number| number.to_string()));
    match path {
        "r.items[].s" => record["r"]["items"].as_array().unwrap().iter().filter_map(|item| text(&item["s"])).collect(),
        path => text(&record[path]).into_iter().collect(),
    }
}

fn seconds(record: &Value) -> u64 {
    let text = record["eventTime"].as_str().unwrap();
    let part = |range: std::ops::Range<usize>| text[range].parse::<u64>().unwrap();
    part(11..13) * 3_600 + part(14..16) * 60 + part(17..19)
}
