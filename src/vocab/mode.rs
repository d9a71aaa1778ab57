use serde::{Deserialize, Serialize};

/// What happens to the stream.
///
/// ```
/// assert_eq!(catena::Config::default().mode, catena::Mode::Enrich);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Everything passes; records that match a rule are annotated.
    #[default]
    Enrich,
    /// Only records that match a rule pass, annotated.
    Filter,
    /// Nothing passes; only findings come out.
    Findings,
}
