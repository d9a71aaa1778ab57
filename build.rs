//! Converts the rule files in `rules/` and the schemas in `docs/` to the JSON that the engine embeds, compressed to a seventh.

use std::error::Error;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

use flate2::Compression;
use flate2::write::GzEncoder;

fn main() -> Result<(), Box<dyn Error>> {
    for input in ["rules", CONFIG_SCHEMA, RULE_SCHEMA] {
        println!("cargo:rerun-if-changed={input}");
    }
    println!("cargo:rerun-if-env-changed=CATENA_REVISION");
    embed("rules", &json(Path::new("rules"))?)?;
    embed("exceptions", &json(Path::new("rules/exceptions"))?)?;
    embed("config.schema", &schema()?)
}

const CONFIG_SCHEMA: &str = "docs/config.schema.json";
const RULE_SCHEMA: &str = "docs/rule.schema.json";

fn embed(name: &str, json: &str) -> Result<(), Box<dyn Error>> {
    let file = fs::File::create(Path::new(&env::var("OUT_DIR")?).join(format!("{name}.json.gz")))?;
    let mut gzip = GzEncoder::new(file, Compression::best());
    gzip.write_all(json.as_bytes())?;
    gzip.finish()?;
    Ok(())
}

/// The schema of configurations, with that of rules in it.
fn schema() -> Result<String, Box<dyn Error>> {
    let read = |file: &str| -> Result<serde_json::Value, Box<dyn Error>> {
        Ok(serde_json::from_str(&fs::read_to_string(file).map_err(|error| format!("{file}: {error}"))?)?)
    };
    let mut schema = read(CONFIG_SCHEMA)?;
    let definitions = schema.get_mut("$defs").ok_or("the schema has no definitions")?;
    definitions["rule"] = read(RULE_SCHEMA)?;
    Ok(schema.to_string())
}

/// The YAML files of a folder as a JSON array, ordered by file name. Omits the members that only people and tests read,
/// to keep them out of the component.
fn json(folder: &Path) -> Result<String, Box<dyn Error>> {
    let mut files: Vec<PathBuf> =
        fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>()?;
    files.retain(|file| file.extension().is_some_and(|extension| extension == "yaml"));
    files.sort();
    let mut all = Vec::new();
    for file in files {
        let text = fs::read_to_string(&file)?;
        let mut value: serde_json::Value =
            serde_saphyr::from_str(&text).map_err(|error| format!("{}: {error}", file.display()))?;
        if let Some(members) = value.as_object_mut() {
            for name in ["examples", "false_positives", "references"] {
                members.remove(name);
            }
        }
        all.push(value);
    }
    Ok(serde_json::to_string(&all)?)
}
