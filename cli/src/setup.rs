//! Preparation of a run: configuration, component and progress bar.

use std::env;
use std::fs;
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::time::Instant;

use catena::{Correlator, Error};
use catena_component::COMPONENT;
use catena_host::{Limits, Sandbox};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use tracing::warn;

use super::CliError;
use super::cli::{self, Format, Mode};
use super::rules::RuleFile;
use super::suggest::did_you_mean;
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
    if usize::from(arguments.jobs) > 1 && members.get("partition").is_some_and(|partition| !partition.is_null()) {
        return Err(wrong("partition", "the partitions of a run with several --jobs are its own"));
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
        let advice = reason.strip_prefix("there is no built-in rule \"").and_then(|rest| rest.strip_suffix('"'));
        let advice = advice.map(|name| {
            let known = catena::built_in().unwrap_or_default();
            did_you_mean(name, known.iter().map(|rule| rule.id.as_str()))
        });
        let reason = reason.clone() + &advice.unwrap_or_default();
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
    let read = |(at, file): (usize, &str)| {
        let file = folder.join(file);
        // What is wrong in a file has a place of its own.
        match file.metadata() {
            Err(error) => Err(wrong(&format!("rule_files[{at}]"), &format!("cannot read {}: {error}", file.display()))),
            Ok(_) => RuleFile::read(&file),
        }
    };
    let files: Vec<_> = files.into_iter().enumerate().map(read).collect::<Result<_, _>>()?;
    let rules = members.entry("rules").or_insert_with(|| json!([]));
    let rules = rules.as_array_mut().ok_or_else(|| wrong("rules", "expected a list of rules"))?;
    rules.extend(files.iter().map(|file| file.json().clone()));
    Ok(files)
}

/// Where compiled components are kept.
#[derive(Clone, Copy, Debug)]
pub enum Cache<'a> {
    /// In this folder.
    Folder(&'a Path),
    /// In the user's folder for caches.
    Default,
    /// Nowhere.
    Off,
}

/// Loads and compiles the component.
pub fn load(file: Option<&Path>, cache: Cache<'_>) -> Result<Sandbox, CliError> {
    let bytes = component(file)?;
    let name = file.map_or("the built-in component".to_owned(), |file| file.display().to_string());
    let folder = match cache {
        Cache::Folder(folder) => {
            Some(folder.canonicalize().or_else(|_| std::path::absolute(folder)).unwrap_or_else(|_| folder.to_owned()))
        }
        Cache::Default => cache_folder(),
        Cache::Off => None,
    };
    let why = match &folder {
        Some(folder) => {
            let usable = writable(folder).map_err(|error| error.to_string());
            let cached = usable
                .and_then(|()| Sandbox::cached(&bytes, Limits::default(), folder).map_err(|error| error.to_string()));
            match cached {
                Ok(sandbox) => return Ok(sandbox),
                Err(why) => format!("cannot use {} as a cache: {why}", folder.display()),
            }
        }
        None => "there is no folder for a cache: neither XDG_CACHE_HOME nor HOME is set".to_owned(),
    };
    let began = Instant::now();
    let sandbox = Sandbox::new(&bytes, Limits::default());
    let sandbox = sandbox.map_err(|error| CliError::usage(format!("{name}: {error}")))?;
    if !matches!(cache, Cache::Off) {
        let seconds = began.elapsed().as_secs_f64();
        warn!("{why}; compiled the component in {seconds:.1} s, as every start will: use --cache FOLDER");
    }
    Ok(sandbox)
}

/// Creates a folder if there is none, and checks that files can be made in it: a cache that cannot be written says nothing.
fn writable(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let probe = folder.join(format!(".probe-{}", std::process::id()));
    fs::File::create(&probe)?;
    fs::remove_file(probe)
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

/// Creates the progress bar of a run, hidden unless standard error is a terminal.
pub fn progress(arguments: &cli::Run, inputs: &Inputs, mode: Mode) -> ProgressBar {
    // A bar would garble a stream written to the same terminal. Findings interrupt it.
    let is_stream =
        mode != Mode::Findings && arguments.output.as_deref().is_none_or(|output| output.as_os_str() == "-");
    if arguments.quiet || !io::stderr().is_terminal() || is_stream && io::stdout().is_terminal() {
        return ProgressBar::hidden();
    }
    let (bar, template) = if arguments.follow || inputs.list.contains(&Input::Standard) {
        (ProgressBar::new_spinner(), "{spinner} {bytes} read, {bytes_per_sec}, {elapsed}")
    } else {
        (ProgressBar::new(inputs.bytes), "{bar:40} {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left")
    };
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}
