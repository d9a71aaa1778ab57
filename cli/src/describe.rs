//! Findings as text for people.

use std::fmt::Write as _;

use serde_json::Value;
use time::OffsetDateTime;
use time::macros::format_description;

/// Renders an OCSF Detection Finding as text. Other formats are returned unchanged.
pub fn describe(body: &str) -> String {
    let finding = serde_json::from_str::<Value>(body).ok();
    let Some(finding) = finding.filter(|finding| finding.get("finding_info").is_some()) else { return body.to_owned() };
    let text = |pointer: &str| text_at(&finding, pointer);
    let list = |pointer: &str| finding.pointer(pointer).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let mut words = String::new();
    // Writing to a string cannot fail.
    let mut line = |name: &str, content: &str| {
        if !content.is_empty() {
            let _ = writeln!(words, "  {name:<9} {}", printable(content));
        }
    };
    let attacks: Vec<_> = list("/finding_info/attacks").iter().map(attack).collect();
    line("rule", text("/finding_info/analytic/uid"));
    line("ATT&CK", &attacks.join(", "));
    let last = list("/evidences").last().unwrap_or(&Value::Null);
    let part = |pointer: &str| text_at(last, pointer);
    let source = ["/src_endpoint/ip", "/src_endpoint/domain", "/src_endpoint/name"].map(part).concat();
    let from = if source.is_empty() { String::new() } else { format!(" from {source}") };
    if text("/confidence") != "High" {
        let reason = text("/unmapped/confidence_reason");
        let colon = if reason.is_empty() { "" } else { ": " };
        line("trust", &format!("{}{colon}{reason}", text("/confidence").to_lowercase()));
    }
    line("status", &status(&finding));
    line("actor", &format!("{}{from}", part("/actor/user/uid")));
    line("agent", part("/http_request/user_agent"));
    let cloud = [text("/cloud/provider"), text("/cloud/account/uid"), text("/cloud/region")];
    line("where", &cloud.join(" "));
    let resources: Vec<_> = list("/resources").iter().filter_map(|resource| resource.get("uid")?.as_str()).collect();
    line("resources", &resources.join(", "));
    for (at, (event, evidence)) in list("/finding_info/related_events").iter().zip(list("/evidences")).enumerate() {
        let when = event.get("first_seen_time").and_then(Value::as_i64).map_or_else(String::new, instant);
        let call = text_at(evidence, "/api/operation");
        let name = if at == 0 { "events" } else { "" };
        let failed = if text_at(event, "/status") == "Failure" { "  failed" } else { "" };
        let step = text_at(event, "/title");
        line(name, &format!("{when}  {step:<9} {call:<16} {}{failed}", text_at(event, "/uid")));
    }
    line("finding", text("/finding_info/uid"));
    let suppressed = if is_suppressed(&finding) { "SUPPRESSED " } else { "" };
    let title = printable(text("/finding_info/title"));
    format!("{suppressed}{}  {title}\n{words}", text("/severity").to_uppercase())
}

fn is_suppressed(finding: &Value) -> bool {
    text_at(finding, "/status") == "Suppressed"
}

/// Why a finding is suppressed; empty if it is not.
fn status(finding: &Value) -> String {
    let (exception, reason) = (text_at(finding, "/unmapped/exception"), text_at(finding, "/status_detail"));
    if is_suppressed(finding) { format!("suppressed by {exception}: {reason}") } else { String::new() }
}

/// A text with its control characters escaped, and those that change the direction of writing. Callers choose names, and a
/// terminal obeys such characters.
fn printable(text: &str) -> String {
    let is_harmful = |letter: char| {
        letter.is_control()
            || matches!(letter, '\u{61C}' | '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2066}'..='\u{2069}' | '\u{FEFF}')
    };
    let escape =
        |letter: char| if is_harmful(letter) { letter.escape_unicode().to_string() } else { letter.to_string() };
    text.chars().map(escape).collect()
}

/// The string at a JSON pointer, or an empty one.
fn text_at<'v>(value: &'v Value, pointer: &str) -> &'v str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or("")
}

fn attack(attack: &Value) -> String {
    let named = attack.get("sub_technique").or_else(|| attack.get("technique"));
    let part = |name: &str| named.and_then(|named| named.get(name)?.as_str()).unwrap_or("");
    format!("{} {}", part("uid"), part("name")).trim_end().to_owned()
}

fn instant(millis: i64) -> String {
    let format = format_description!("[year]-[month]-[day] [hour]:[minute]:[second]Z");
    let time = OffsetDateTime::from_unix_timestamp_nanos(i128::from(millis) * 1_000_000);
    time.ok().and_then(|time| time.format(format).ok()).unwrap_or_else(|| millis.to_string())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::describe;

    #[test]
    fn a_name_cannot_command_the_terminal() {
        let finding = json!({
            "severity": "High", "confidence": "High",
            "finding_info": {"title": "t\u{1b}[2J", "uid": "f", "related_events": [{"uid": "e\u{202e}", "title": "s"}]},
            "evidences": [{"actor": {"user": {"uid": "\u{9b}2J\u{7f}"}}, "api": {"operation": "x\r\ny"}}],
            "resources": [{"uid": "\u{1b}]0;owned\u{7}"}],
        });
        let text = describe(&finding.to_string());
        let lines: Vec<_> = text.split('\n').collect();
        assert!(lines.iter().all(|line| !line.contains(char::is_control) && !line.contains('\u{202e}')), "{text:?}");
        assert!(text.contains("\\u{1b}[2J"), "{text}");
    }

    #[test]
    fn a_suppressed_finding_says_so_first() {
        let finding = json!({"severity": "High", "confidence": "Low", "status": "Suppressed", "status_detail": "a drill",
            "finding_info": {"title": "t"}, "unmapped": {"exception": "drills", "confidence_reason": "a guess"}});
        let text = describe(&finding.to_string());
        assert!(text.starts_with("SUPPRESSED HIGH  t\n"), "{text}");
        assert!(text.contains("suppressed by drills: a drill") && text.contains("low: a guess"), "{text}");
    }
}
