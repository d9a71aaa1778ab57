//! All tests of the program in one binary, one module per behaviour.

mod cache;
mod common;
mod copies;
mod documented;
mod durable;
mod follow;
#[path = "../../host-example/tests/guest.rs"]
mod guest;
mod guide;
mod identity;
mod inspect;
mod listening;
mod metrics_attacks;
mod named_inputs;
mod output_rotations;
mod own_files;
mod pipes;
mod real_servers;
mod rotations;
mod rules;
mod run_inputs;
mod run_layouts;
mod run_live;
mod run_unknown;
mod run_usage;
mod sample;
mod sending;
mod signals;
mod state_damage;
mod tls;
mod tools;
