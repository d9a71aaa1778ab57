//! Compiled components are cached; an unusable cache costs time and nothing else.

use std::path::Path;

use crate::common::{catena, file, records, stderr};
use catena_component::COMPONENT;
use catena_host::{Limits, Sandbox};
use walkdir::WalkDir;

/// The compiled components in a cache, with the time at which each was written.
fn files(folder: &Path) -> Vec<(std::path::PathBuf, std::time::SystemTime)> {
    let files =
        WalkDir::new(folder).sort_by_file_name().into_iter().flatten().filter(|entry| entry.file_type().is_file());
    let of_code = files.filter(|entry| entry.metadata().is_ok_and(|metadata| metadata.len() > 100_000));
    let written = |entry: &walkdir::DirEntry| entry.metadata().expect("it exists").modified().expect("it has a time");
    of_code.map(|entry| (entry.path().to_owned(), written(&entry))).collect()
}

#[test]
fn a_component_is_compiled_once() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let process = |sandbox: &Sandbox| {
        let batch = records().join("\n");
        sandbox.open("{}").expect("opens").process(batch.as_bytes(), None).expect("is processed").findings.len()
    };
    let first = Sandbox::cached(COMPONENT, Limits::default(), folder.path()).expect("it is compiled");
    let kept = files(folder.path());
    assert_eq!((kept.len(), process(&first)), (1, 2));
    let second = Sandbox::cached(COMPONENT, Limits::default(), folder.path()).expect("it is taken from there");
    // A second compilation would write the file anew.
    assert_eq!((files(folder.path()), process(&second)), (kept, 2));
    // Code compiled without epoch interruption is cached separately.
    Sandbox::cached(COMPONENT, Limits::NONE, folder.path()).expect("it is compiled");
    assert_eq!(files(folder.path()).len(), 2);
}

#[test]
fn an_unusable_cache_folder_is_ignored() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let no_folder = file(folder.path(), "file", "");
    assert!(Sandbox::cached(COMPONENT, Limits::default(), &no_folder).is_err());
    let input = file(folder.path(), "in.ndjson", records().join("\n") + "\n");
    let output = catena(["run", "--log-level", "debug"]).arg(input).env("XDG_CACHE_HOME", &no_folder).output();
    let output = output.expect("it runs");
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stderr(&output).contains("as a cache"), "{}", stderr(&output));
}

/// Regression: Wasmtime removes from the folder of its cache what it does not know, also files of others.
#[test]
fn other_files_in_the_folder_of_a_cache_are_kept() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let theirs = file(folder.path(), "theirs.ndjson", "{}");
    for _ in 0..2 {
        drop(Sandbox::cached(COMPONENT, Limits::default(), folder.path()).expect("it is compiled"));
        std::thread::sleep(std::time::Duration::from_millis(500));
    }
    assert!(theirs.exists());
}
