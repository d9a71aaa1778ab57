//! `catena cluster init`, and the configuration of a fleet.

use std::path::PathBuf;

use catena_cluster::{Error, Nats, Retention};
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

/// `catena cluster init`.
pub async fn init(nats: &Nats, arguments: &Init) -> Result<(), Error> {
    let config = configured(arguments.config.as_ref())?;
    let (component, sandbox) = super::component(&arguments.versioned)?;
    sandbox.open(&config)?;
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
    let differences = catena_cluster::init(nats, &component, &config, arguments.partitions, &retention, would).await?;
    let verb = if would { "would" } else { "did" };
    for difference in &differences {
        match &difference.setting {
            None => println!("{}: {verb} create it: {}", difference.stream, difference.should_be),
            Some(setting) => {
                let (is, should_be) = (&difference.is, &difference.should_be);
                println!("{}: {verb} change {setting} from {is} to {should_be}", difference.stream);
            }
        }
    }
    if differences.is_empty() {
        println!("All streams are as they should be.");
    }
    Ok(())
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
