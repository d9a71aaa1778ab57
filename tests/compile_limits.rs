//! Rules and configurations of any size are compiled, or refused with the limit that they exceed. None of these may take
//! more than a moment; they took minutes.

use crate::common::run::open;
use serde_json::{Value, json};

fn step(number: usize, bind: Value) -> Value {
    json!({"id": format!("s{number}"), "provider": "aws", "service": "s", "actions": [format!("A{number}")], "bind": bind})
}

fn rule(id: &str, unlinked: bool, steps: Vec<Value>) -> Value {
    json!({"id": id, "version": 1, "title": "t", "severity": "low", "within": "15m", "unlinked": unlinked, "steps": steps})
}

fn refusal(config: &Value) -> String {
    open(&config.to_string()).err().map_or_else(String::new, |error| error.to_string())
}

#[test]
fn a_rule_has_at_most_64_steps() {
    let unlinked = (0..200).map(|number| step(number, json!({}))).collect();
    let linked = (0..3_000).map(|number| step(number, json!({"x": "p"}))).collect();
    for rule in [rule("r", true, unlinked), rule("r", false, linked)] {
        assert!(refusal(&json!({"rules": [rule]})).contains("a rule has at most 64 steps"));
    }
    for unlinked in [true, false] {
        let bind = |number: usize| if unlinked { json!({}) } else { json!({"x": "p", format!("y{number}"): "q"}) };
        let steps = (0..64).map(|number| step(number, bind(number))).collect();
        assert_eq!(refusal(&json!({"rules": [rule("r", unlinked, steps)]})), "");
    }
}

#[test]
fn a_configuration_names_at_most_65_535_paths() {
    let paths = |from: usize, count: usize| -> Value { (from..from + count).map(|at| format!("p{at}")).collect() };
    let steps = |count: usize| vec![step(0, json!({"x": paths(0, count)})), step(1, json!({"x": paths(count, count)}))];
    assert!(refusal(&json!({"rules": [rule("r", false, steps(35_000))]})).contains("too many different paths"));
    assert_eq!(refusal(&json!({"rules": [rule("r", false, steps(30_000))]})), "");
    let names = || -> Value { (0..30_000).map(|at| (format!("n{at}"), json!(format!("p{at}")))).collect() };
    assert_eq!(refusal(&json!({"rules": [rule("r", false, vec![step(0, names()), step(1, names())])]})), "");
}

#[test]
fn fifteen_thousand_exceptions_and_three_thousand_rules_load() {
    let exception = |number: usize| {
        json!({"id": format!("e{number}"), "reason": "r", "provider": "aws", "rules": [format!("r{}", number % 3_000)],
               "where": [{"field": "userIdentity.arn", "equals": format!("arn:{number}")}]})
    };
    let chain = |number: usize| {
        rule(&format!("r{number}"), false, vec![step(0, json!({"x": "p"})), step(1, json!({"x": "q"}))])
    };
    let config = json!({"rules": (0..3_000).map(chain).collect::<Vec<_>>(),
                        "exceptions": (0..15_000).map(exception).collect::<Vec<_>>()});
    assert_eq!(refusal(&config), "");
}

#[test]
fn an_id_has_at_most_128_bytes() {
    let steps = || vec![step(0, json!({}))];
    assert_eq!(refusal(&json!({"rules": [rule(&"a".repeat(128), false, steps())]})), "");
    assert!(refusal(&json!({"rules": [rule(&"a".repeat(129), false, steps())]})).contains("at most 128 bytes"));
}
