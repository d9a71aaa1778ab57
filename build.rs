//! Converts the rule files in `rules/` to the JSON that the engine embeds, compressed to a seventh.

use std::error::Error;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

use flate2::Compression;
use flate2::write::GzEncoder;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=rules");
    let out = env::var("OUT_DIR")?;
    for (name, folder) in [("rules", "rules"), ("exceptions", "rules/exceptions")] {
        let file = fs::File::create(Path::new(&out).join(format!("{name}.json.gz")))?;
        let mut gzip = GzEncoder::new(file, Compression::best());
        gzip.write_all(json(Path::new(folder))?.as_bytes())?;
        gzip.finish()?;
    }
    Ok(())
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
