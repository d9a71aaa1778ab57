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
            let _ = writeln!(words, "  {name:<9} {content}");
        }
    };
    let attacks: Vec<_> = list("/finding_info/attacks").iter().map(attack).collect();
    line("rule", text("/finding_info/analytic/uid"));
    line("ATT&CK", &attacks.join(", "));
    let last = list("/evidences").last().unwrap_or(&Value::Null);
    let part = |pointer: &str| text_at(last, pointer);
    let source = ["/src_endpoint/ip", "/src_endpoint/domain", "/src_endpoint/name"].map(part).concat();
    let from = if source.is_empty() { String::new() } else { format!(" from {source}") };
    line("actor", &format!("{}{from}", part("/actor/user/uid")));
    let cloud = [text("/cloud/provider"), text("/cloud/account/uid"), text("/cloud/region")];
    line("where", &cloud.join(" "));
    let resources: Vec<_> = list("/resources").iter().filter_map(|resource| resource.get("uid")?.as_str()).collect();
    line("resources", &resources.join(", "));
    for (at, (event, evidence)) in list("/finding_info/related_events").iter().zip(list("/evidences")).enumerate() {
        let when = event.get("first_seen_time").and_then(Value::as_i64).map_or_else(String::new, instant);
        let call = text_at(evidence, "/api/operation");
        let name = if at == 0 { "events" } else { "" };
        line(name, &format!("{when}  {call:<16} {}", text_at(event, "/uid")));
    }
    line("finding", text("/finding_info/uid"));
    format!("{}  {}\n{words}", text("/severity").to_uppercase(), text("/finding_info/title"))
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
