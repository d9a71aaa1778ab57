//! All tests of the host, one module per behaviour.

mod guest;
mod hostile;
mod soak;
