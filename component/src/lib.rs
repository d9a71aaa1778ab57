//! The Catena component, built by this crate's build script, for programs and tests that embed it.

/// The component: a WebAssembly binary with the world of `wit/catena.wit`.
pub const COMPONENT: &[u8] = include_bytes!(env!("CATENA_BUILT_COMPONENT"));
