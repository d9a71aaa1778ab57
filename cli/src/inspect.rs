use std::fs;

use catena_component::COMPONENT;
use catena_host::Sandbox;
use wasmtime::component::types::ComponentItem;

use super::setup::{Cache, load};
use super::terminal::say;
use super::{CliError, DONE, cli};

/// The prefix of the metric that exists for each rule.
const RULE: &str = "findings:";

/// `catena inspect`.
pub fn inspect(arguments: &cli::Inspect) -> Result<u8, CliError> {
    let file = arguments.component.as_deref();
    let sandbox = load(file, Cache::Default)?;
    let (name, size) = match file {
        None => ("built-in component".to_owned(), COMPONENT.len() as u64),
        Some(file) => (file.display().to_string(), fs::metadata(file).map_or(0, |metadata| metadata.len())),
    };
    say!("{name}: {size} bytes")?;
    say!("world: catena:pipeline/plugin@0.1.0")?;
    describe_types(&sandbox)?;
    describe_rules(&sandbox)?;
    Ok(DONE)
}

fn describe_types(sandbox: &Sandbox) -> Result<(), CliError> {
    let engine = sandbox.engine();
    let world = sandbox.component().component_type();
    let imports: Vec<_> = world.imports(engine).map(|(name, _)| name.to_owned()).collect();
    say!("imports: {}", if imports.is_empty() { "none".to_owned() } else { imports.join(", ") })?;
    say!("exports:")?;
    for (name, item) in world.exports(engine) {
        say!("  {name}")?;
        let ComponentItem::ComponentInstance(interface) = item.ty else { continue };
        for (name, item) in interface.exports(engine) {
            if let ComponentItem::ComponentFunc(_) = item.ty {
                say!("    {name}")?;
            }
        }
    }
    Ok(())
}

fn describe_rules(sandbox: &Sandbox) -> Result<(), CliError> {
    let fail = |error: catena_host::Error| CliError::new(error.to_string());
    let metrics = sandbox.open("{}").map_err(fail)?.metrics().map_err(fail)?;
    let known = catena::built_in().map_err(|error| CliError::new(error.to_string()))?;
    say!("rules:")?;
    for id in metrics.iter().filter_map(|metric| metric.name.strip_prefix(RULE)) {
        match known.iter().find(|rule| rule.id == id) {
            Some(rule) => say!("  {id:<24} {:<8} {}", rule.severity, rule.title)?,
            None => say!("  {id}")?,
        }
    }
    Ok(())
}
