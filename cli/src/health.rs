use std::time::Duration;

use super::terminal::say;
use super::{CliError, DONE, FAILED, cli};

/// How long the run may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// `catena health`: asks a run how it is.
pub fn health(arguments: &cli::Health) -> Result<u8, CliError> {
    let agent = ureq::Agent::config_builder().timeout_global(Some(PATIENCE)).http_status_as_error(false).build();
    let url = format!("http://{}/health", arguments.address);
    let asked = agent.new_agent().get(&url).call();
    let mut answer = asked.map_err(|error| CliError::new(format!("{} does not answer: {error}", arguments.address)))?;
    let text = answer.body_mut().read_to_string().unwrap_or_default();
    say!("{}", text.trim_end())?;
    Ok(if answer.status().is_success() { DONE } else { FAILED })
}
