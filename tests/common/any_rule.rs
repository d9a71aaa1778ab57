//! Generators for arbitrary rules and record streams, and a brute-force oracle for their findings.

use std::collections::{BTreeMap, BTreeSet};

use catena::{Finding, Operator, Rule};
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
    let per = prop::option::of(prop::sample::subsequence(vec!["x", "y"], 0..=2));
    (steps, any::<bool>(), prop::bool::weighted(0.3), 1..=10u64, per).prop_map(|(steps, ordered, unlinked, within, per)| {
        let step = |(number, (actions, bind, conditions, optional)): (usize, (Vec<&str>, _, Value, bool))| {
            json!({"id": format!("step-{number}"), "provider": "aws", "service": "s", "actions": actions,
                   "bind": bind, "where": conditions, "optional": optional})
        };
        let steps: Vec<_> = steps.into_iter().enumerate().map(step).collect();
        let bound = |name: &&str| steps.iter().any(|step| step["bind"].get(name).is_some());
        let resources: Value = ["x", "y"].iter().filter(|name| bound(name)).map(|name| (*name, *name)).collect();
        json!({"id": "any", "version": 1, "title": "t", "severity": "low", "within": format!("{within}m"), "per": per,
               "ordered": ordered, "unlinked": unlinked, "steps": steps, "resources": resources})
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

/// What makes two findings one, see [`Rule::per`].
pub type Subject = Vec<String>;

/// The expected findings: for each subject, the event ids of the required steps of every chain, found by trying every
/// assignment of records to steps.
pub fn oracle(rule: &Rule, records: &[Value]) -> BTreeMap<Subject, BTreeSet<Vec<String>>> {
    let steps = required(rule);
    let mut found = BTreeMap::<_, BTreeSet<_>>::new();
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
                        !bound(chain[left], steps[left], name).is_disjoint(&bound(chain[right], steps[right], name))
                    })
            })
            && (steps.len() == 1 || span <= rule.within.unwrap().as_millis() as u64 / 1_000);
        if fits {
            let ids: Vec<_> = chain.iter().map(|record| record["eventID"].as_str().unwrap().to_owned()).collect();
            for subject in subjects(rule, &chain) {
                found.entry(subject).or_default().insert(ids.clone());
            }
        }
    }
    found
}

fn required(rule: &Rule) -> Vec<&catena::Step> {
    rule.steps.iter().filter(|step| !step.optional).collect()
}

/// The subjects of a chain: the combinations of the values of each name, or its last event.
fn subjects(rule: &Rule, chain: &[&Value]) -> Vec<Subject> {
    let steps = required(rule);
    let last = steps.len() - 1;
    let binders =
        |name: &str| (0..steps.len()).rev().filter(|at| steps[*at].bind.contains_key(name)).collect::<Vec<_>>();
    let joining = rule.joining_names();
    let default = || {
        joining.iter().filter(|name| binders(name).len() > 1 && binders(name)[0] == last).map(|name| name.to_string())
    };
    let names = rule.per.clone().unwrap_or_else(|| default().collect());
    let values = |name: &String| {
        let at = binders(name);
        let values = bound(chain[at[0]], steps[at[0]], name);
        match at.get(1).filter(|_| joining.contains(&name.as_str())) {
            Some(other) => values.intersection(&bound(chain[*other], steps[*other], name)).take(1).cloned().collect(),
            None => values,
        }
    };
    let mut subjects = vec![Vec::new()];
    for name in &names {
        let values = values(name);
        let longer = subjects
            .iter()
            .flat_map(|subject| values.iter().map(move |value| [&subject[..], &[format!("{name}={value}")]].concat()));
        subjects = longer.collect();
    }
    if names.is_empty() || subjects.is_empty() {
        return vec![vec![chain[last]["eventID"].to_string()]];
    }
    let identity = chain[last]["userIdentity"]["arn"].to_string();
    subjects.into_iter().map(|subject| [vec![identity.clone()], subject].concat()).collect()
}

/// Checks that the findings are those expected: one for each subject, each with a chain of it.
pub fn check(rule: &Rule, records: &[Value], found: &[Finding]) {
    let expected = oracle(rule, records);
    let mut seen = BTreeSet::new();
    for finding in found {
        let body: Value = serde_json::from_str(&finding.body).unwrap();
        let events = body["finding_info"]["related_events"].as_array().unwrap();
        let optional =
            |event: &&Value| rule.steps.iter().any(|step| step.optional && event["title"] == step.id.as_str());
        let ids: Vec<_> = events
            .iter()
            .filter(|event| !optional(event))
            .map(|event| event["uid"].as_str().unwrap().to_owned())
            .collect();
        let record = |id: &String| records.iter().find(|record| record["eventID"] == id.as_str()).unwrap();
        let chain: Vec<_> = ids.iter().map(record).collect();
        let resources = body["resources"].as_array().cloned().unwrap_or_default();
        // The finding lists one value of each name that distinguishes it.
        let listed = |part: &String| {
            part.split_once('=').is_none_or(|(name, value)| {
                let values: Vec<_> = resources.iter().filter(|resource| resource["type"] == name).collect();
                values.len() == 1 && values[0]["uid"] == value
            })
        };
        let mut own = subjects(rule, &chain);
        if own.len() > 1 {
            own.retain(|subject| subject.iter().all(listed));
        }
        assert_eq!(own.len(), 1, "{body}");
        assert!(expected.get(&own[0]).is_some_and(|chains| chains.contains(&ids)), "{ids:?} is no chain of {own:?}");
        assert!(seen.insert(own[0].clone()), "{own:?} was reported twice");
    }
    assert_eq!(seen, expected.keys().cloned().collect());
}

fn bound(record: &Value, step: &catena::Step, name: &str) -> BTreeSet<String> {
    step.bind[name].iter().flat_map(|path| values(record, path.as_str())).collect()
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
