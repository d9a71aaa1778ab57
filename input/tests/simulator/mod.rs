//! A simulator of everything that happens to log files: writers, rotations, copies, truncations, torn writes and crashes, on
//! a file system in memory and with a clock that only moves when told. A seed replays a schedule exactly.

mod disk;
mod reader;
pub mod schedule;
