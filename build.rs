//! Turns the rule files under `rules/` into the JSON that the engine reads.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::{env, fs};

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=rules");
    let mut files: Vec<PathBuf> =
        fs::read_dir("rules")?.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>()?;
    files.retain(|file| file.extension().is_some_and(|extension| extension == "yaml"));
    files.sort();
    let mut rules = Vec::new();
    for file in files {
        let text = fs::read_to_string(&file)?;
        let rule: serde_json::Value =
            serde_saphyr::from_str(&text).map_err(|error| format!("{}: {error}", file.display()))?;
        rules.push(rule);
    }
    let json = serde_json::to_string(&rules)?;
    fs::write(Path::new(&env::var("OUT_DIR")?).join("rules.json"), json)?;
    Ok(())
}
