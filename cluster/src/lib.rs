//! A fleet of correlators on NATS JetStream: many machines, no coordination of ours.
//!
//! Records travel in blocks through three streams:
//!
//! ```text
//! ingest ──► CATENA_IN ──► routers ──► CATENA_EVENTS ──► correlator of each partition ──► CATENA_OUT
//!                                                                        joiner ◄── what several share
//! ```
//!
//! Routers, correlators and joiner are stages: each reads one stream in order and writes another in commits: all outputs
//! and a *pointer* to how far it has read, in one atomic batch of the server, fenced by the pointer's last sequence. Two processes
//! that think they own a stage cannot both commit, and one that comes back from the dead is refused whole. So leases only decide who
//! should try. A correlator's state is in checkpoints beside the pointer; after a restart it reads again what came since, and
//! discards the outputs up to the pointer, which is exact because a call depends on nothing but the block and its time of arrival.
//!
//! The modules, in the data's way:
//!
//! | | |
//! |---|---|
//! | `nats`, `nudge`, `streams` | requests to the servers, wake-ups, the streams and subjects |
//! | `commit`, `pointer` | the commit of a stage: all or nothing, and only with the fence |
//! | `block` | records as messages, and back |
//! | `ingest`, `pipe`, `files`, `source` | what is read, how far, and its commits |
//! | `turn`, `router`, `split` | who routes which part of the input, and into what |
//! | `shared`, `joiner` | records that concern several partitions |
//! | `lease`, `roster`, `worker` | who works on what |
//! | `correlator`, `outputs`, `checkpoint` | the stage of a partition |
//! | `deployment` | what all agree on; epochs and their change |
//! | `read`, `status`, `metrics` | for those outside |

#![deny(unsafe_code, missing_docs)]

mod block;
mod checkpoint;
mod commit;
mod correlator;
mod deployment;
mod error;
mod files;
mod ingest;
mod joiner;
mod lease;
mod metrics;
mod nats;
mod nudge;
mod outputs;
mod pipe;
mod pointer;
mod read;
mod roster;
mod router;
mod shared;
mod source;
mod split;
mod status;
mod streams;
mod turn;
mod worker;

pub use block::LONGEST_RECORD;
pub use deployment::{Deployment, change, check_deployed, init};
pub use error::Error;
pub use ingest::{Ingest, Ingested, ingest};
pub use metrics::{CorrelatorStatus, Metrics, Stage, StageCounts};
pub use nats::{Access, Nats};
pub use read::{What, findings, read};
pub use router::route;
pub use source::Source;
pub use status::{PartitionStatus, Status, status};
pub use streams::{Difference, Retention};
pub use worker::{Worker, work};
