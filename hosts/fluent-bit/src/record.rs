use catena::Outcome;
use serde_json::json;

use crate::Losses;

/// A record with its findings, why it could not be read, and losses to be told, as further members. `record` is what stays of it: a
/// JSON object, or nothing if only findings are wanted.
///
/// Fluent Bit ends if this is not one JSON object, so anything else is left as it is.
pub(crate) fn with_additions(record: &[u8], outcome: &Outcome, losses: Option<&Losses>) -> Vec<u8> {
    let mut members = Vec::new();
    if !outcome.findings.is_empty() {
        let bodies: Vec<&str> = outcome.findings.iter().map(|finding| &*finding.body).collect();
        members.push(format!(r#""catena_findings":[{}]"#, bodies.join(",")));
    }
    if let Some(rejection) = outcome.rejections.first() {
        let rejected = json!({"code": rejection.reason.code(), "detail": rejection.detail});
        members.push(format!(r#""catena_rejected":{rejected}"#));
    }
    if let Some(losses) = losses {
        let losses = json!({"failed_calls": losses.failed_calls, "lost_states": losses.lost_states});
        members.push(format!(r#""catena_losses":{losses}"#));
    }
    let additions = format!("{{{}}}", members.join(",")).into_bytes();
    without_nul(join(record, additions))
}

/// A record that says why the filter cannot work.
pub(crate) fn with_error(record: &[u8], why: &str) -> Vec<u8> {
    let addition = serde_json::to_vec(&json!({ "catena_error": why })).unwrap_or_default();
    without_nul(join(record, addition))
}

/// Adds the members of an object to a record, which may be nothing. What is no object stays as it is.
fn join(record: &[u8], additions: Vec<u8>) -> Vec<u8> {
    let record = record.trim_ascii();
    match (additions.strip_prefix(b"{"), record.strip_suffix(b"}")) {
        _ if record.is_empty() => additions,
        (Some(more), Some(start)) if more != b"}" => {
            let comma: &[u8] = if start.trim_ascii() == b"{" { b"" } else { b"," };
            [start, comma, more].concat()
        }
        _ => record.to_vec(),
    }
}

/// A NUL would end the text for Fluent Bit. JSON has none outside of strings.
fn without_nul(text: Vec<u8>) -> Vec<u8> {
    if memchr::memchr(0, &text).is_none() {
        return text;
    }
    text.split(|byte| *byte == 0).collect::<Vec<_>>().join(&b"\\u0000"[..])
}
