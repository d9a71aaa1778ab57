//! All tests of the host, one behaviour a module.

mod guest;
mod hostile;
mod soak;
