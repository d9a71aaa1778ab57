//! Builds the component: `cargo build --release --target wasm32-unknown-unknown` of the workspace's root package, in a
//! separate target folder.
//!
//! `CATENA_COMPONENT=FILE` embeds a prebuilt component instead.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use wasm_encoder::{ComponentNameSection, ComponentSection as _, CustomSection};

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-env-changed=CATENA_COMPONENT");
    let component = match env::var_os("CATENA_COMPONENT") {
        Some(file) => {
            let file = PathBuf::from(file).canonicalize()?;
            println!("cargo:rerun-if-changed={}", file.display());
            file
        }
        None => {
            let root = Path::new(&env::var("CARGO_MANIFEST_DIR")?).join("..").canonicalize()?;
            for input in [
                "src",
                "wit",
                "rules",
                "docs/config.schema.json",
                "docs/rule.schema.json",
                "build.rs",
                "Cargo.toml",
                "Cargo.lock",
                ".cargo/config.toml",
            ] {
                println!("cargo:rerun-if-changed={}", root.join(input).display());
            }
            for name in ["CATENA_SOURCE", "CATENA_REVISION"] {
                println!("cargo:rerun-if-env-changed={name}");
            }
            let contract = fs::read_to_string(root.join("wit/catena.wit"))?;
            let component = with_metadata(fs::read(build(&root)?)?, &contract)?;
            let file = Path::new(&env::var("OUT_DIR")?).join("catena.wasm");
            fs::write(&file, component)?;
            file
        }
    };
    println!("cargo:rustc-env=CATENA_BUILT_COMPONENT={}", component.display());
    Ok(())
}

/// Adds what registries show to a component: the fields of `wasm-metadata` as custom sections, and the contract with its
/// documentation, which a component does not keep by itself.
fn with_metadata(mut component: Vec<u8>, contract: &str) -> Result<Vec<u8>, Box<dyn Error>> {
    let mut names = ComponentNameSection::new();
    names.component("catena");
    names.append_to_component(&mut component);
    let package = |name: &str| env::var(format!("CARGO_PKG_{name}"));
    let given = |name: &str| env::var(name).ok();
    let fields = [
        ("version", Some(package("VERSION")?)),
        ("description", Some(DESCRIPTION.to_owned())),
        ("licenses", Some(package("LICENSE")?)),
        ("authors", Some(package("AUTHORS")?)),
        ("source", given("CATENA_SOURCE")),
        ("revision", given("CATENA_REVISION")),
        ("package-docs", Some(package_docs(contract))),
        ("wit", Some(contract.to_owned())),
    ];
    for (name, text) in fields {
        let Some(text) = text else { continue };
        CustomSection { name: name.into(), data: text.as_bytes().into() }.append_to_component(&mut component);
    }
    Ok(component)
}

const DESCRIPTION: &str =
    "Correlation of cloud audit records: batches of records in, edits of the stream and findings out";

/// The documentation of the package in the form of `wit-component`: a version byte and JSON. A component has none for its
/// interfaces, because it does not keep their package.
fn package_docs(contract: &str) -> String {
    let docs: Vec<&str> = contract.lines().map_while(|line| line.strip_prefix("///")).map(str::trim_start).collect();
    let docs = docs.join("\n").replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    format!("\u{1}{{\"docs\":\"{docs}\",\"worlds\":{{\"root\":{{\"docs\":\"{DESCRIPTION}\"}}}}}}")
}

fn build(root: &Path) -> Result<PathBuf, Box<dyn Error>> {
    let target = Path::new(&env::var("OUT_DIR")?).join("component");
    let mut cargo = Command::new(env::var("CARGO")?);
    cargo.current_dir(root).args(["build", "--release", "--package", "catena", "--lib"]);
    cargo.args(["--target", "wasm32-unknown-unknown"]).arg("--target-dir").arg(&target);
    // The settings of the outer build must not leak into this one.
    let inherited = ["CARGO_ENCODED_", "CARGO_FEATURE_", "CARGO_CFG_", "CARGO_PROFILE_"];
    for (name, _) in env::vars_os() {
        if inherited.iter().any(|prefix| name.to_string_lossy().starts_with(prefix)) {
            cargo.env_remove(name);
        }
    }
    for name in ["RUSTFLAGS", "RUSTC_WRAPPER", "RUSTC_WORKSPACE_WRAPPER", "CARGO_BUILD_TARGET", "CARGO_TARGET_DIR"] {
        cargo.env_remove(name);
    }
    if !cargo.status()?.success() {
        return Err("cannot build the component. If the target is missing, run: \
                    rustup target add wasm32-unknown-unknown"
            .into());
    }
    Ok(target.join("wasm32-unknown-unknown/release/catena.wasm"))
}
