use std::fmt;

use serde::de::{self, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::event::{Path, Segment};

/// Where records are looked for in a record that is itself no event, such as `{"log": "…"}`. In JSON `"anywhere"`, `"off"`, or a
/// list of paths.
///
/// What is inside an event is never searched, and known envelopes are always read.
///
/// ```
/// use catena::{Config, RecordSearch};
///
/// let config = Config::from_json(r#"{"record_search": ["log", "results[].message"]}"#)?;
/// assert!(matches!(config.record_search, RecordSearch::Paths(_)));
/// assert!(Config::from_json(r#"{"record_search": "everywhere"}"#).is_err());
/// # Ok::<(), catena::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum RecordSearch {
    /// In every value, at most 16 objects and lists deep, and in texts in texts at most four deep.
    #[default]
    Anywhere,
    /// Nowhere.
    Off,
    /// In the values at these paths only, and below them.
    Paths(Vec<Place>),
}

/// A path, and the names of its members. Lists are passed whether or not the path says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    path: Path,
    names: Vec<String>,
}

impl Place {
    /// The place at a path.
    ///
    /// ```
    /// let path = catena::Path::parse("results[].message").unwrap();
    /// assert_eq!(catena::Place::at(path).path().as_str(), "results[].message");
    /// ```
    pub fn at(path: Path) -> Self {
        let name = |segment| match segment {
            Segment::Member(name) => Some(String::from(name)),
            Segment::Elements => None,
        };
        Self { names: path.segments().filter_map(name).collect(), path }
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The names of the members that lead to it.
    pub(crate) fn names(&self) -> &[String] {
        &self.names
    }
}

impl Serialize for RecordSearch {
    fn serialize<S: Serializer>(&self, json: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Anywhere => json.serialize_str("anywhere"),
            Self::Off => json.serialize_str("off"),
            Self::Paths(places) => json.collect_seq(places.iter().map(Place::path)),
        }
    }
}

impl<'de> Deserialize<'de> for RecordSearch {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        json.deserialize_any(Written)
    }
}

struct Written;

impl<'de> Visitor<'de> for Written {
    type Value = RecordSearch;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("`anywhere`, `off` or a list of paths")
    }

    fn visit_str<E: de::Error>(self, word: &str) -> Result<RecordSearch, E> {
        match word {
            "anywhere" => Ok(RecordSearch::Anywhere),
            "off" => Ok(RecordSearch::Off),
            _ => Err(E::invalid_value(de::Unexpected::Str(word), &self)),
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<RecordSearch, A::Error> {
        let mut places = Vec::new();
        while let Some(path) = list.next_element()? {
            places.push(Place::at(path));
        }
        Ok(RecordSearch::Paths(places))
    }
}
