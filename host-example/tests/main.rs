//! All tests of the host, one module per behaviour.

mod distribution;
mod fuel;
mod guest;
mod hostile;
mod soak;
