//! Builds the component: `cargo build --release --target wasm32-unknown-unknown` of the workspace's root package, in a
//! separate target folder.
//!
//! `CATENA_COMPONENT=FILE` embeds a prebuilt component instead.

use std::env;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::Command;

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
            for input in ["src", "wit", "rules", "build.rs", "Cargo.toml", "Cargo.lock", ".cargo/config.toml"] {
                println!("cargo:rerun-if-changed={}", root.join(input).display());
            }
            build(&root)?
        }
    };
    println!("cargo:rustc-env=CATENA_BUILT_COMPONENT={}", component.display());
    Ok(())
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
