//! `catena cluster init`, and the configuration of a fleet.

use std::path::PathBuf;

use catena_cluster::{Difference, Error, Nats, Retention};
use clap::Parser;
use tracing::{info, warn};

use super::arguments::Init;
use crate::cli::{Arguments, Command};
use crate::setup::configuration;

/// The configuration in a file, with its rule files, as `catena run` reads it.
pub fn configured(file: Option<&PathBuf>) -> Result<String, Error> {
    let mut given = vec!["catena".into(), "run".into()];
    if let Some(file) = file {
        given.extend(["--config".into(), file.clone().into_os_string()]);
    }
    let arguments = Arguments::try_parse_from(given).map_err(|error| Error::Invalid(error.to_string()))?;
    let Command::Run(run) = arguments.command else { return Ok("{}".to_owned()) };
    configuration(&run).map(|configured| configured.json).map_err(|error| Error::Invalid(error.message))
}

/// `catena cluster init`. Returns what it did, a line each.
pub async fn init(nats: &Nats, arguments: &Init, config: &str) -> Result<String, Error> {
    let (component, sandbox) = super::component(&arguments.versioned)?;
    sandbox.open(config)?;
    let retention = Retention {
        replicas: arguments.replicas,
        waiting_bytes: arguments.waiting_bytes,
        output_bytes: arguments.output_bytes,
        output_seconds: arguments.output_seconds,
    };
    for address in &arguments.monitor {
        check_server(address);
    }
    if arguments.monitor.is_empty() {
        info!("--monitor is not given: whether the servers write at once (sync_interval: always) is not checked");
    }
    let would = arguments.dry_run;
    let differences = catena_cluster::init(nats, &component, config, arguments.partitions, &retention, would).await?;
    let verb = if would { "would" } else { "did" };
    let line = |difference: &Difference| match &difference.setting {
        None => format!("{}: {verb} create it: {}\n", difference.stream, described(&difference.should_be)),
        Some(setting) => {
            let (is, should_be) = (&difference.is, &difference.should_be);
            format!("{}: {verb} change {setting} from {is} to {should_be}\n", difference.stream)
        }
    };
    let lines: String = differences.iter().map(line).collect();
    Ok(if lines.is_empty() { "All streams are as they should be.\n".to_owned() } else { lines })
}

/// The configuration of a stream in words.
fn described(stream: &str) -> String {
    let stream: serde_json::Value = serde_json::from_str(stream).unwrap_or_default();
    let subjects = stream["subjects"].as_array().into_iter().flatten().filter_map(|subject| subject.as_str());
    let bytes = match stream["max_bytes"].as_i64() {
        Some(bytes) if bytes >= 0 => format!("at most {bytes} bytes"),
        _ => "as many bytes as there is room for".to_owned(),
    };
    let age = match stream["max_age"].as_u64().unwrap_or_default() / 1_000_000_000 {
        0 => String::new(),
        seconds => format!(", for {seconds} s"),
    };
    let subjects = subjects.collect::<Vec<_>>().join(", ");
    format!("{} copies, {bytes}{age}; subjects {subjects}", stream["num_replicas"])
}

/// Warns about a server that acknowledges what it has not written: a power failure of two of three loses it (Jepsen, "NATS 2.12.1").
fn check_server(address: &str) {
    let asked = ureq::get(format!("{}/varz", address.trim_end_matches('/'))).call();
    let answer = asked.map_err(|error| error.to_string()).and_then(|mut response| {
        let text = response.body_mut().read_to_string().map_err(|error| error.to_string())?;
        serde_json::from_str::<serde_json::Value>(&text).map_err(|error| error.to_string())
    });
    match answer {
        Ok(varz) => {
            let config = &varz["jetstream"]["config"];
            if config["sync_always"] != true {
                let interval = config["sync_interval"].as_u64().unwrap_or_default() / 1_000_000_000;
                warn!(
                    "{address}: acknowledges records before they are written (every {interval} s): a power failure of several servers can \
                     lose them; set jetstream {{ sync_interval: always }}"
                );
            }
        }
        Err(why) => warn!("{address}: cannot be checked: {why}"),
    }
}
