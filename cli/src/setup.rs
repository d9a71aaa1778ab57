//! Preparation of a run: configuration, component and progress bar.

use std::env;
use std::fs;
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};

use catena::{Correlator, Error};
use catena_component::COMPONENT;
use catena_host::{Limits, Sandbox};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use tracing::debug;

use super::CliError;
use super::cli::{self, Format, Mode};
use super::rules::RuleFile;
use super::yaml::Document;
use catena_input::{Input, Inputs};

/// The configuration of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Configuration {
    /// As the component takes it.
    pub json: String,
    /// The mode that it selects.
    pub mode: Mode,
}

/// Loads the configuration and its rule files. Errors name the file, line and column.
pub fn configuration(arguments: &cli::Run) -> Result<Configuration, CliError> {
    let document = arguments.config.as_deref().map(Document::read).transpose()?;
    let wrong = |path: &str, reason: &str| {
        CliError::usage(match &document {
            Some(document) => document.problem(path, reason),
            None => format!("{path}: {reason}"),
        })
    };
    // An empty file has no settings.
    let mut config = document.as_ref().map(|document| document.json.clone()).filter(|json| !json.is_null());
    let config = config.get_or_insert_with(|| json!({}));
    let members = config.as_object_mut().ok_or_else(|| wrong("", "expected a mapping of settings"))?;
    let own_rules = members.get("rules").and_then(Value::as_array).map_or(0, Vec::len);
    let rule_files = rule_files(members, arguments.config.as_deref(), wrong)?;
    if let Some(mode) = arguments.mode {
        members.insert("mode".to_owned(), mode.name().into());
    }
    if let Some(format) = arguments.findings_format {
        let name = match format {
            // Text is rendered from OCSF.
            Format::Ocsf | Format::Text => "ocsf",
            Format::Ecs => "ecs",
            Format::Sentinel => "sentinel",
        };
        members.insert("findings".to_owned(), name.into());
    }
    // The component refuses any other mode.
    let mode = match members.get("mode").and_then(Value::as_str) {
        Some("filter") => Mode::Filter,
        Some("findings") => Mode::Findings,
        _ => Mode::Enrich,
    };
    let json = config.to_string();
    // Another component may know other settings.
    if arguments.component.is_none()
        && let Err(Error::InvalidConfig { path, reason, .. }) = json.parse().and_then(Correlator::new)
    {
        let in_file = rule_files.iter().enumerate().find_map(|(at, file)| {
            let rest = path.strip_prefix(&format!("rules[{}]", own_rules + at))?;
            Some(file.document().problem(rest.trim_start_matches('.'), &reason))
        });
        return Err(in_file.map_or_else(|| wrong(&path, &reason), CliError::usage));
    }
    Ok(Configuration { json, mode })
}

/// Replaces `rule_files`, a setting of the program only, with the rules in those files, and returns them. Paths are relative
/// to the folder of the configuration file.
fn rule_files(
    members: &mut serde_json::Map<String, Value>,
    config: Option<&Path>,
    wrong: impl Fn(&str, &str) -> CliError,
) -> Result<Vec<RuleFile>, CliError> {
    let Some(files) = members.remove("rule_files") else { return Ok(Vec::new()) };
    let files: Option<Vec<&str>> = files.as_array().and_then(|files| files.iter().map(Value::as_str).collect());
    let files = files.ok_or_else(|| wrong("rule_files", "expected a list of files"))?;
    let folder = config.and_then(Path::parent).unwrap_or(Path::new(""));
    let files: Vec<_> = files.into_iter().map(|file| RuleFile::read(&folder.join(file))).collect::<Result<_, _>>()?;
    let rules = members.entry("rules").or_insert_with(|| json!([]));
    let rules = rules.as_array_mut().ok_or_else(|| wrong("rules", "expected a list of rules"))?;
    rules.extend(files.iter().map(|file| file.json().clone()));
    Ok(files)
}

/// Loads and compiles the component, using the cache if `cached`.
pub fn load(file: Option<&Path>, cached: bool) -> Result<Sandbox, CliError> {
    let bytes = component(file)?;
    let name = file.map_or("the built-in component".to_owned(), |file| file.display().to_string());
    if let Some(folder) = cache_folder().filter(|_| cached) {
        match Sandbox::cached(&bytes, Limits::default(), &folder) {
            Ok(sandbox) => return Ok(sandbox),
            // An unusable cache costs some tenths of a second. If the component is at fault, compiling it below says
            // so.
            Err(error) => debug!("cannot use {} as a cache: {error}", folder.display()),
        }
    }
    Sandbox::new(&bytes, Limits::default()).map_err(|error| CliError::usage(format!("{name}: {error}")))
}

/// Reads a component; the built-in one if `file` is `None`.
pub fn component(file: Option<&Path>) -> Result<Vec<u8>, CliError> {
    file.map_or_else(|| Ok(COMPONENT.to_vec()), read)
}

/// Reads a file named by an argument.
pub fn read(file: &Path) -> Result<Vec<u8>, CliError> {
    fs::read(file).map_err(|error| CliError::usage(format!("cannot read {}: {error}", file.display())))
}

/// The folder for compiled components, per the XDG Base Directory Specification.
fn cache_folder() -> Option<PathBuf> {
    let folder = |name, below: &str| {
        let folder = env::var_os(name).map(PathBuf::from).filter(|folder| folder.is_absolute())?;
        Some(folder.join(below))
    };
    folder("XDG_CACHE_HOME", "catena").or_else(|| folder("HOME", ".cache/catena"))
}

/// Creates the progress bar of a run, hidden unless standard error is a terminal of its own.
pub fn progress(arguments: &cli::Run, inputs: &Inputs) -> ProgressBar {
    // A bar would garble a stream written to the same terminal.
    if arguments.quiet || !io::stderr().is_terminal() || io::stdout().is_terminal() {
        return ProgressBar::hidden();
    }
    let (bar, template) = if inputs.list.contains(&Input::Standard) {
        (ProgressBar::new_spinner(), "{spinner} {bytes} read, {bytes_per_sec}, {elapsed}")
    } else {
        (ProgressBar::new(inputs.bytes), "{bar:40} {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left")
    };
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}
