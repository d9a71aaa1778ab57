//! The supported clouds, one file each.

mod aws;
mod azure;
mod gcp;

use super::cloud::Cloud;
use crate::vocab::Provider;

/// All clouds, in the order in which they are tried on a record.
pub(crate) static CLOUDS: [&Cloud; 3] = [&gcp::GCP, &azure::AZURE, &aws::AWS];

/// The description of a provider's cloud.
pub(crate) fn cloud_of(provider: Provider) -> &'static Cloud {
    let [first, ..] = CLOUDS;
    let found = CLOUDS.into_iter().find(|cloud| cloud.provider == provider);
    debug_assert!(found.is_some(), "every provider has a cloud");
    found.unwrap_or(first)
}
