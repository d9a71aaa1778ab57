//! Other schemas whose documents carry audit records, one file each.

mod ecs;
mod ocsf;

use super::cloud::Mapping;

/// All mappings.
pub(crate) static MAPPINGS: [&Mapping; 2] = [&ecs::ECS, &ocsf::OCSF];
