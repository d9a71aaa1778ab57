//! Reloads the configuration and the rules of a run.

use std::sync::Arc;

use catena_host::Sandbox;
use tracing::{error, info, warn};

use crate::cli;
use crate::metric;
use crate::pipeline::Pipeline;
use crate::setup::{Configuration, configuration};

/// Names the rules whose pending events were discarded when the pipeline was opened.
pub fn tell_reset(pipeline: &mut Pipeline) {
    for metric in metric::named(&pipeline.report().metrics, "reset").filter(|metric| metric.value > 0) {
        warn!("rule {} was changed or removed: its pending events are discarded", metric::kind(metric));
    }
}

/// What it takes to open the pipeline of a run again with another configuration.
pub struct Reload {
    pub arguments: cli::Run,
    pub sandbox: Arc<Sandbox>,
    pub current: Configuration,
}

impl Reload {
    /// Reads the configuration and its rule files again, and replaces the pipeline, which must be drained, by one that has
    /// its state. An invalid configuration is refused, and the pipeline stays. Returns true if it was replaced.
    pub fn reload(&mut self, pipeline: &mut Pipeline) -> bool {
        let next = match configuration(&self.arguments) {
            Ok(next) if next == self.current => {
                info!("the configuration has not changed");
                return false;
            }
            Ok(next) if next.mode != self.current.mode => {
                error!("the configuration is not reloaded: another mode takes a restart");
                return false;
            }
            Ok(next) => next,
            Err(error) => {
                error!("the configuration is not reloaded: {}", error.message);
                return false;
            }
        };
        let jobs = usize::from(self.arguments.jobs);
        let opened = pipeline
            .checkpoints()
            .and_then(|checkpoints| Pipeline::open(&self.sandbox, &next.json, next.mode.into(), jobs, &checkpoints));
        match opened {
            Ok(opened) => {
                *pipeline = opened;
                self.current = next;
                info!("the configuration is reloaded");
                tell_reset(pipeline);
                true
            }
            Err(error) => {
                let file = self.arguments.config.as_deref().map(|file| format!("{}: ", file.display()));
                error!("the configuration is not reloaded: {}{error}", file.unwrap_or_default());
                false
            }
        }
    }
}
