//! What this engine is, for a host that asks.

use serde_json::json;

use crate::config::{Config, schema};
use crate::correlator::{FORMAT, METRICS};
use crate::rule;
use crate::util::invariant::Invariant as _;

/// The version of the contract in `wit/catena.wit`.
const CONTRACT: &str = "catena:pipeline@1.0.0";

/// What this engine is, as one JSON object.
///
/// Costs a parse of the built-in rules.
///
/// ```
/// let description: serde_json::Value = serde_json::from_str(&catena::describe()).unwrap();
/// assert_eq!(description["name"], "catena");
/// assert_eq!(description["rules"][0]["id"], "aws-image-staging-export");
/// ```
#[cold]
pub fn describe() -> String {
    let rules = rule::built_in().invariant("tests parse the built-in rules");
    let exceptions = rule::built_in_exceptions().invariant("tests parse the built-in exceptions");
    let limits = Config::default().limits;
    let description = json!({
        "name": env!("CARGO_PKG_NAME"),
        "version": env!("CARGO_PKG_VERSION"),
        "revision": option_env!("CATENA_REVISION"),
        "contract": CONTRACT,
        "rules": rules.iter().map(|rule| json!({
            "id": rule.id,
            "version": rule.version,
            "title": rule.title,
            "severity": rule.severity,
            "severity_id": rule.severity.id(),
            "attack": rule.attack,
            "steps": rule.steps.len(),
        })).collect::<Vec<_>>(),
        "exceptions": exceptions.iter().map(|exception| json!({
            "id": exception.id,
            "reason": exception.reason,
        })).collect::<Vec<_>>(),
        "metrics": METRICS,
        "checkpoints": { "writes": FORMAT, "reads": (1..=FORMAT).collect::<Vec<_>>() },
        "limits": limits,
        "config": schema(),
    });
    description.to_string()
}
