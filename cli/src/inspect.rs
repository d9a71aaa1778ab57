//! `catena inspect`: what a component says of itself.

use std::fs;

use catena_component::COMPONENT;
use serde_json::Value;
use wasmtime::component::types::ComponentItem;

use super::setup::{Cache, load};
use super::terminal::say;
use super::{CliError, DONE, cli};

/// `catena inspect`.
pub fn inspect(arguments: &cli::Inspect) -> Result<u8, CliError> {
    let file = arguments.component.as_deref();
    let sandbox = load(file, Cache::Default)?;
    let description = sandbox.describe().map_err(|error| CliError::new(error.to_string()))?;
    if let Some(to) = &arguments.save {
        let saved = match file {
            None => fs::write(to, COMPONENT),
            Some(file) => fs::copy(file, to).map(|_| ()),
        };
        saved.map_err(|error| CliError::new(format!("cannot write {}: {error}", to.display())))?;
    }
    if arguments.json {
        say!("{description}")?;
        return Ok(DONE);
    }
    let (name, size) = match file {
        None => ("built-in component".to_owned(), COMPONENT.len() as u64),
        Some(file) => (file.display().to_string(), fs::metadata(file).map_or(0, |metadata| metadata.len())),
    };
    let description: Value = serde_json::from_str(&description)
        .map_err(|error| CliError::new(format!("{name}: its description is not JSON: {error}")))?;
    let text = |pointer: &str| match description.pointer(pointer) {
        None | Some(Value::Null) => "unknown".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    };
    say!("{name}: {size} bytes")?;
    say!("name: {} {}, revision {}", text("/name"), text("/version"), text("/revision"))?;
    say!("contract: {}", text("/contract"))?;
    let world = sandbox.component().component_type();
    let imports: Vec<_> = world.imports(sandbox.engine()).map(|(name, _)| name.to_owned()).collect();
    say!("imports: {}", if imports.is_empty() { "none".to_owned() } else { imports.join(", ") })?;
    say!("exports:")?;
    for (name, item) in world.exports(sandbox.engine()) {
        say!("  {name}")?;
        let ComponentItem::ComponentInstance(interface) = item.ty else { continue };
        for (name, item) in interface.exports(sandbox.engine()) {
            if let ComponentItem::ComponentFunc(_) = item.ty {
                say!("    {name}")?;
            }
        }
    }
    say!("checkpoints: writes version {}, reads {}", text("/checkpoints/writes"), text("/checkpoints/reads"))?;
    say!("rules:")?;
    for rule in description["rules"].as_array().into_iter().flatten() {
        let of = |name: &str| rule[name].as_str().unwrap_or_default();
        let attack = rule["attack"].as_array().into_iter().flatten();
        let attack: Vec<_> = attack.filter_map(|attack| attack["technique"].as_str()).collect();
        say!("  {:<30} {:<8} {}  [{}]", of("id"), of("severity"), of("title"), attack.join(", "))?;
    }
    let named = |list: &str, name: &str| {
        let all = description[list].as_array().into_iter().flatten();
        all.filter_map(|one| one[name].as_str()).collect::<Vec<_>>().join(", ")
    };
    say!("exceptions: {}", named("exceptions", "id"))?;
    say!("metrics: {}", named("metrics", "name"))?;
    say!("settings: {}", settings(&description["config"]).join(", "))?;
    say!("with units, meanings, limits and the JSON Schema of configurations: catena inspect --json")?;
    Ok(DONE)
}

/// The names of the settings that a schema lists.
fn settings(schema: &Value) -> Vec<&str> {
    schema["properties"].as_object().into_iter().flatten().map(|(name, _)| name.as_str()).collect()
}
