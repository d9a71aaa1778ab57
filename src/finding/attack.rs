//! ATT&CK, as far as findings name it.

use serde::Serialize;

use crate::rule::Attack;

/// The matrix that the tactics below are those of.
pub(super) const VERSION: &str = "18.1";

/// Up to version 18, Modify Cloud Compute Infrastructure (T1578) serves Defense Evasion; in version 19 that tactic is
/// split.
const DEFENSE_EVASION: Named = Named { uid: "TA0005", name: "Defense Evasion" };

/// OCSF's `attack` object.
#[derive(Serialize)]
pub(super) struct AttackObject<'a> {
    version: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    tactic: Option<Named<'static>>,
    technique: Technique<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sub_technique: Option<Named<'a>>,
}

/// OCSF's `tactic` and `sub_technique` objects.
#[derive(Clone, Copy, Serialize)]
struct Named<'a> {
    uid: &'a str,
    name: &'a str,
}

/// OCSF's `technique` object.
#[derive(Serialize)]
struct Technique<'a> {
    uid: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
}

impl<'a> AttackObject<'a> {
    pub(super) fn of(attack: &'a Attack) -> Self {
        let sub_technique = Named { uid: &attack.technique, name: &attack.name };
        let (uid, name, sub_technique) = match attack.technique.split_once('.') {
            Some((parent, _)) => (parent, parent_name(parent), Some(sub_technique)),
            None => (attack.technique.as_str(), Some(attack.name.as_str()), None),
        };
        let tactic = (uid == "T1578").then_some(DEFENSE_EVASION);
        Self { version: VERSION, tactic, technique: Technique { uid, name }, sub_technique }
    }
}

fn parent_name(technique: &str) -> Option<&'static str> {
    (technique == "T1578").then_some("Modify Cloud Compute Infrastructure")
}
