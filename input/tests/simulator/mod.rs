//! A simulator of everything that happens to log files: writers, rotations, copies, truncations, torn writes and
//! crashes, on an in-memory file system with a simulated clock. A seed replays a schedule exactly.

mod disk;
mod reader;
pub mod schedule;
