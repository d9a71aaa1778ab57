//! The clouds that the engine reads, a file each.

mod aws;
mod azure;
mod gcp;

use super::cloud::Cloud;
use crate::vocab::Provider;

/// All clouds, in the order in which a record is offered to them.
pub(crate) static CLOUDS: [&Cloud; 3] = [&gcp::GCP, &azure::AZURE, &aws::AWS];

/// The cloud of a provider.
pub(crate) fn cloud_of(provider: Provider) -> &'static Cloud {
    let [first, ..] = CLOUDS;
    let found = CLOUDS.into_iter().find(|cloud| cloud.provider == provider);
    debug_assert!(found.is_some(), "every provider has its cloud");
    found.unwrap_or(first)
}
