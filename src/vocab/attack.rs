//! The part of MITRE ATT&CK that findings refer to.

use std::fmt;

use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::techniques::{TACTICS, TECHNIQUES};

/// An ATT&CK technique or sub-technique that a rule detects.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a mapping with `technique`")]
#[non_exhaustive]
pub struct Attack {
    /// The id of the technique or sub-technique, such as `T1578.002`.
    pub technique: String,
    /// The name of that technique or sub-technique.
    pub name: String,
    /// The id of the tactic, such as `TA0010`, in place of all that the technique has in the matrix.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tactic: Option<String>,
}

impl Attack {
    /// A technique or sub-technique by its id and name.
    ///
    /// ```
    /// let attack = catena::Attack::new("T1578.002", "Create Cloud Instance");
    /// assert_eq!(attack.technique, "T1578.002");
    /// ```
    pub fn new(technique: impl Into<String>, name: impl Into<String>) -> Self {
        Self { technique: technique.into(), name: name.into(), tactic: None }
    }
}

/// The version of ATT&CK whose tactics findings report.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub enum AttackVersion {
    /// 18 and earlier: Modify Cloud Compute Infrastructure (T1578) belongs to Defense Evasion.
    #[default]
    #[serde(rename = "18")]
    V18,
    /// 19 and later: Defense Evasion is split, and T1578 belongs to Defense Impairment.
    #[serde(rename = "19")]
    V19,
}

impl AttackVersion {
    /// The release reported in findings.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::V18 => "18.1",
            Self::V19 => "19.0",
        }
    }
}

/// Reads a text or, because YAML has no quotes around `18`, a number.
impl<'de> Deserialize<'de> for AttackVersion {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        struct Version;
        impl Visitor<'_> for Version {
            type Value = AttackVersion;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("18 or 19")
            }

            fn visit_str<E: de::Error>(self, version: &str) -> Result<AttackVersion, E> {
                match version {
                    "18" => Ok(AttackVersion::V18),
                    "19" => Ok(AttackVersion::V19),
                    _ => Err(E::unknown_variant(version, &["18", "19"])),
                }
            }

            fn visit_u64<E: de::Error>(self, version: u64) -> Result<AttackVersion, E> {
                match version {
                    18 => Ok(AttackVersion::V18),
                    19 => Ok(AttackVersion::V19),
                    _ => Err(E::invalid_value(de::Unexpected::Unsigned(version), &self)),
                }
            }
        }
        json.deserialize_any(Version)
    }
}

/// The id and the name of a tactic, technique or sub-technique.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct IdAndName<'a> {
    /// The id, such as `TA0005`.
    pub uid: &'a str,
    /// The name that belongs to the id.
    pub name: &'a str,
}

/// A technique with its tactics and its parent.
pub(crate) struct ResolvedTechnique<'a> {
    /// The tactics: that of the rule if it names one, otherwise all of the technique, in the order of the matrix. The name of one
    /// is empty if it is not known.
    pub tactics: Vec<IdAndName<'a>>,
    /// The technique, or the parent of the sub-technique. The parent's name is empty if it is not known.
    pub technique: IdAndName<'a>,
    /// The sub-technique, if the rule names one.
    pub sub_technique: Option<IdAndName<'a>>,
}

/// The tactic that Modify Cloud Compute Infrastructure belongs to from version 19 on.
const DEFENSE_IMPAIRMENT: IdAndName<'static> = IdAndName { uid: "TA0112", name: "Defense Impairment" };

/// The tactic that version 19 divides.
const DEFENSE_EVASION: &str = "TA0005";

impl<'a> ResolvedTechnique<'a> {
    /// Looks up the tactics and the parent of a technique.
    ///
    /// The table is that of version 18. For version 19 it is known which part of Defense Evasion T1578 has become; for other
    /// techniques that part is left out.
    pub(crate) fn of(attack: &'a Attack, version: AttackVersion) -> Self {
        let named = IdAndName { uid: &attack.technique, name: &attack.name };
        let uid = attack.technique.split('.').next().unwrap_or_default();
        let known = number(uid).and_then(|number| {
            let place = TECHNIQUES.binary_search_by_key(&number, |(number, ..)| *number).ok()?;
            TECHNIQUES.get(place)
        });
        let (tactics, parent) = known.map_or((0, ""), |(_, tactics, name)| (*tactics, *name));
        let of_table = (0..).zip(TACTICS).filter(|(bit, _)| tactics & (1_u16 << bit) != 0);
        let of_table = of_table.map(|(_, (uid, name))| IdAndName { uid, name });
        let tactics = match (&attack.tactic, version, uid) {
            (Some(uid), ..) => {
                let name = TACTICS.iter().find(|(known, _)| known == uid).map_or("", |(_, name)| name);
                let tactic = IdAndName { uid, name };
                vec![if *uid == DEFENSE_IMPAIRMENT.uid { DEFENSE_IMPAIRMENT } else { tactic }]
            }
            (None, AttackVersion::V19, "T1578") => vec![DEFENSE_IMPAIRMENT],
            (None, AttackVersion::V19, _) => of_table.filter(|tactic| tactic.uid != DEFENSE_EVASION).collect(),
            (None, AttackVersion::V18, _) => of_table.collect(),
        };
        let is_sub = attack.technique.contains('.');
        let technique = if is_sub { IdAndName { uid, name: parent } } else { named };
        Self { tactics, technique, sub_technique: is_sub.then_some(named) }
    }
}

/// The number of a technique's id.
fn number(id: &str) -> Option<u16> {
    id.strip_prefix('T')?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tactics(technique: &str, tactic: Option<&str>, version: AttackVersion) -> Vec<String> {
        let attack = Attack { tactic: tactic.map(str::to_owned), ..Attack::new(technique, "n") };
        let resolved = ResolvedTechnique::of(&attack, version);
        resolved.tactics.iter().map(|tactic| format!("{} {}", tactic.uid, tactic.name)).collect()
    }

    #[test]
    fn a_technique_has_the_tactics_of_the_matrix() {
        let v18 = |technique| tactics(technique, None, AttackVersion::V18);
        assert_eq!(v18("T1578.002"), ["TA0005 Defense Evasion"]);
        assert_eq!(v18("T1537"), ["TA0010 Exfiltration"]);
        let all =
            ["TA0001 Initial Access", "TA0003 Persistence", "TA0004 Privilege Escalation", "TA0005 Defense Evasion"];
        assert_eq!(v18("T1078.004"), all);
        assert_eq!(v18("T9999"), Vec::<String>::new());
        assert_eq!(tactics("T1578.002", None, AttackVersion::V19), ["TA0112 Defense Impairment"]);
        assert_eq!(tactics("T1078", None, AttackVersion::V19), all[..3]);
    }

    #[test]
    fn a_rule_overrides_the_tactic() {
        assert_eq!(tactics("T1578.002", Some("TA0009"), AttackVersion::V18), ["TA0009 Collection"]);
        assert_eq!(tactics("T1578.002", Some("TA9999"), AttackVersion::V19), ["TA9999 "]);
    }

    #[test]
    fn the_table_is_sorted_and_every_technique_has_a_tactic() {
        assert!(TECHNIQUES.is_sorted_by_key(|(number, ..)| *number));
        assert!(TECHNIQUES.iter().all(|(_, tactics, _)| (1..1 << TACTICS.len()).contains(&usize::from(*tactics))));
    }
}
