//! All tests of the input library that need files or a simulated file system.

mod schedules;
mod simulator;
