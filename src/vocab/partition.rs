use serde::{Deserialize, Serialize};

/// The part of the identities whose events a correlator joins, when several share a stream.
///
/// An event belongs to the partition of its identity, for each list of keys by which a rule that it matches tells identities
/// apart. The partition depends on the identity, [`Config::hash_key`](crate::Config::hash_key) and the number of partitions, not
/// on the rules: changing rules moves no identity.
///
/// ```
/// let config: catena::Config = r#"{"partition": {"index": 1, "count": 4}}"#.parse()?;
/// assert_eq!(config.partition, Some(catena::Partition { index: 1, count: 4 }));
/// # Ok::<(), catena::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a mapping with `index` and `count`")]
pub struct Partition {
    /// Which one it is, from 0.
    pub index: u32,
    /// How many there are.
    pub count: u32,
}
