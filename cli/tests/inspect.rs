//! `catena inspect` describes a component.

use crate::common::{file, run, stderr, stdout};

#[test]
fn the_built_in_component_is_described() {
    let told = stdout(&run(["inspect"], b""));
    for expected in [
        &format!("built-in component: {} bytes", catena_component::COMPONENT.len()),
        concat!("name: catena ", env!("CARGO_PKG_VERSION"), ", revision unknown"),
        "contract: catena:pipeline@1.0.0",
        "imports: none",
        "    [static]correlator.open",
        "  aws-snapshot-staging           high     EBS volume created",
    ] {
        assert!(told.contains(expected), "{expected}: {told}");
    }
}

#[test]
fn a_component_file_is_described_and_run_like_the_built_in_one() {
    let folder = tempfile::tempdir().unwrap();
    let component = file(folder.path(), "catena.wasm", catena_component::COMPONENT);
    let told = run(["inspect".as_ref(), component.as_os_str()], b"");
    assert!(stdout(&told).starts_with(&component.display().to_string()), "{}", stderr(&told));
    let input = crate::common::records().join("\n");
    let found = run(
        ["run".as_ref(), "--mode=findings".as_ref(), "--component".as_ref(), component.as_os_str()],
        input.as_bytes(),
    );
    assert_eq!(crate::common::rules(&found).len(), 2);
}

#[test]
fn the_whole_description_is_json_with_the_schema_of_configurations() {
    let told: serde_json::Value = serde_json::from_str(&stdout(&run(["inspect", "--json"], b""))).unwrap();
    assert_eq!(told["contract"], "catena:pipeline@1.0.0");
    assert_eq!(told["rules"].as_array().unwrap().len(), catena::built_in().unwrap().len());
    assert_eq!(told["checkpoints"]["writes"], 4);
    assert_eq!(told["limits"]["batch_bytes"], 268_435_456);
    assert_eq!(told["config"]["$defs"]["rule"]["$id"], "urn:catena:rule");
    let metric = &told["metrics"][3];
    assert_eq!(
        (&metric["name"], &metric["kind"], &metric["labels"][0]),
        (&"findings".into(), &"counter".into(), &"rule".into())
    );
}

/// The schema is written by hand: a setting that it lacks would be refused by editors, one that the engine lacks by runs.
#[test]
fn the_schema_lists_exactly_the_settings_that_the_engine_has() {
    let told: serde_json::Value = serde_json::from_str(&stdout(&run(["inspect", "--json"], b""))).unwrap();
    let names = |value: &serde_json::Value| -> std::collections::BTreeSet<String> {
        value.as_object().unwrap().keys().cloned().collect()
    };
    let config: serde_json::Value = serde_json::from_str(&catena::Config::default().to_json()).unwrap();
    assert_eq!(names(&told["config"]["properties"]), names(&config));
    let mut limits = names(&told["config"]["properties"]["limits"]["properties"]);
    assert!(limits.remove("neighbours"), "an old name");
    assert_eq!(limits, names(&config["limits"]));
    for (name, schema) in told["config"]["properties"].as_object().unwrap() {
        if let Some(default) =
            schema.get("default").filter(|_| !["allowed_lateness", "clock_skew"].contains(&name.as_str()))
        {
            assert_eq!(default, &config[name], "the default of {name}");
        }
    }
}

#[test]
fn the_built_in_component_is_saved_for_other_hosts() {
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().join("catena.wasm");
    let told = run(["inspect".as_ref(), "--save".as_ref(), to.as_os_str()], b"");
    assert!(told.status.success(), "{}", stderr(&told));
    assert_eq!(std::fs::read(&to).unwrap(), catena_component::COMPONENT);
}
