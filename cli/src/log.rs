//! Log messages on standard error, as text for people or as JSON for a collector.

use std::ffi::OsString;
use std::fmt;
use std::io::{self, Write};
use std::panic;

use indicatif::ProgressBar;
use serde_json::{Map, Value};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::format::{FormatEvent, FormatFields, Writer};
use tracing_subscriber::fmt::{FmtContext, MakeWriter};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;

use super::cli::LogFormat;

/// Starts logging messages of at least `level`, without disturbing the progress bar.
pub fn start(format: LogFormat, level: Level, progress: &ProgressBar) {
    let builder = tracing_subscriber::fmt().with_max_level(level).with_writer(Around(progress.clone()));
    // If messages cannot be written, there is nowhere to report that.
    let builder = builder.log_internal_errors(false);
    // The client of NATS tells of each connection.
    let clients = if level <= Level::INFO { Level::WARN.min(level) } else { level };
    let targets = Targets::new().with_default(level).with_target("async_nats", clients);
    // A subscriber that is already installed stays.
    let _ = match format {
        LogFormat::Text => tracing::subscriber::set_global_default(builder.event_format(Words).finish().with(targets)),
        LogFormat::Json => {
            panic::set_hook(Box::new(|panic| line(Level::ERROR, &panic.to_string(), Map::new())));
            tracing::subscriber::set_global_default(builder.json().flatten_event(true).finish().with(targets))
        }
    };
}

/// Whether the arguments ask for JSON, as far as that can be told before they are parsed.
pub fn wants_json(arguments: &[OsString]) -> bool {
    let json = |pair: &[OsString]| pair == ["--log-format", "json"];
    arguments.iter().any(|argument| argument == "--log-format=json") || arguments.windows(2).any(json)
}

/// Writes one message as JSON, with further members, in the form of those that are logged.
pub fn line(level: Level, message: &str, more: Map<String, Value>) {
    let mut members = Map::new();
    let now = OffsetDateTime::now_utc().format(&Rfc3339).unwrap_or_default();
    members.insert("timestamp".to_owned(), now.into());
    members.insert("level".to_owned(), level.to_string().into());
    members.insert("message".to_owned(), message.into());
    members.insert("target".to_owned(), "catena".into());
    members.extend(more);
    // There is nowhere to report that it cannot be written.
    let _ = writeln!(io::stderr(), "{}", Value::Object(members));
}

/// Formats a message as `catena: MESSAGE`.
struct Words;

impl<S, N> FormatEvent<S, N> for Words
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        write!(writer, "catena: ")?;
        context.field_format().format_fields(writer.by_ref(), event)?;
        writeln!(writer)
    }
}

/// Standard error, with the progress bar suspended during each write.
struct Around(ProgressBar);

impl<'a> MakeWriter<'a> for Around {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line(&self.0)
    }
}

struct Line<'a>(&'a ProgressBar);

impl Write for Line<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.suspend(|| io::stderr().write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}
