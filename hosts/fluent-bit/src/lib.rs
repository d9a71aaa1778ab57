//! The Catena engine behind the interface of Fluent Bit's `filter_wasm`: one record in, one record or nothing out.
//!
//! Findings ride in the record that completed them. See README.md for the configuration of Fluent Bit.

#![deny(unsafe_code, missing_docs)]
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::unreachable)
)]

#[cfg(target_arch = "wasm32")]
mod abi;
mod filter;
mod kept;
mod record;

pub use filter::{Filter, Losses};
