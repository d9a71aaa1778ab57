//! One call in every form in which its record travels.

use catena_synthetic::shapes::sentinel_row;
use serde_json::{Map, Value, json};

/// A person who calls AWS: a user, or a session of a role.
#[derive(Clone, Copy, Debug)]
pub struct Person {
    pub name: &'static str,
    pub role: Option<&'static str>,
}

/// A CloudTrail record of a call by `who`, the `n`th, `minute` minutes after ten.
pub fn aws(n: u32, minute: u32, action: &str, who: Person, request: Value, response: Value) -> Value {
    let identity = match who.role {
        None => json!({"type": "IAMUser", "arn": format!("arn:aws:iam::111122223333:user/{}", who.name),
            "principalId": format!("AIDA{}", who.name), "accountId": "111122223333",
            "accessKeyId": format!("AKIA{}", who.name), "userName": who.name}),
        Some(role) => {
            json!({"type": "AssumedRole", "arn": format!("arn:aws:sts::111122223333:assumed-role/{role}/{}", who.name),
            "principalId": format!("AROA{role}:{}", who.name), "accountId": "111122223333",
            "accessKeyId": format!("ASIA{}", who.name),
            "sessionContext": {"sessionIssuer": {"type": "Role", "arn": format!("arn:aws:iam::111122223333:role/{role}")}}})
        }
    };
    json!({"eventVersion": "1.09", "userIdentity": identity, "eventTime": format!("2026-01-05T10:{minute:02}:00Z"),
        "eventSource": "ec2.amazonaws.com", "eventName": action, "awsRegion": "eu-central-1",
        "sourceIPAddress": "198.51.100.7", "userAgent": "aws-cli/2.15", "requestParameters": request,
        "responseElements": response, "eventID": format!("00000000-0000-4000-8000-{n:012}"), "readOnly": false,
        "eventType": "AwsApiCall", "managementEvent": true, "recipientAccountId": "111122223333",
        "eventCategory": "Management"})
}

/// The number of forms of [`aws_form`].
pub const AWS_FORMS: usize = 9;

/// A CloudTrail record in another form.
pub fn aws_form(record: &Value, form: usize) -> Value {
    let text = |name: &str| Value::String(record[name].to_string());
    let identity = &record["userIdentity"];
    match form {
        0 => record.clone(),
        1 => sentinel_row(record),
        // Athena: names in lower case, parameters as text.
        2 => {
            let mut row = folded(record, &str::to_ascii_lowercase);
            row["requestparameters"] = text("requestParameters");
            row["responseelements"] = text("responseElements");
            row["errorcode"] = Value::Null;
            row
        }
        // Columns in upper case with the words apart.
        3 => folded(record, &|name| {
            let mut column = String::new();
            for letter in name.chars() {
                if letter.is_ascii_uppercase()
                    && !column.ends_with(|before: char| before.is_ascii_uppercase())
                    && !column.is_empty()
                {
                    column.push('_');
                }
                column.push(letter.to_ascii_uppercase());
            }
            column
        }),
        // OCSF 1.5, as ocsf/examples maps it.
        4 => json!({"metadata": {"uid": record["eventID"], "event_code": record["eventType"], "version": "1.5.0",
                "product": {"name": "CloudTrail", "feature": {"name": "Management"}}},
            "class_uid": 6003, "time": millis(record), "cloud": {"region": record["awsRegion"], "provider": "AWS",
                "account": {"uid": record["recipientAccountId"]}},
            "api": {"operation": record["eventName"], "service": {"name": record["eventSource"]},
                "request": {"data": text("requestParameters")}, "response": {"data": text("responseElements"), "error": null}},
            "actor": {"user": {"type": identity["type"], "name": identity["userName"], "uid": identity["arn"],
                    "uid_alt": identity["principalId"], "credential_uid": identity["accessKeyId"],
                    "account": {"uid": identity["accountId"]}},
                "session": {"issuer": identity["sessionContext"]["sessionIssuer"]["arn"]}},
            "http_request": {"user_agent": record["userAgent"]}, "src_endpoint": {"ip": record["sourceIPAddress"]}}),
        // ECS, as Elastic's integration writes it.
        5 => {
            json!({"@timestamp": "2026-01-05T10:00:00.000Z".replace("10:00", &record["eventTime"].as_str().unwrap()[11..16]),
            "event": {"action": record["eventName"], "provider": record["eventSource"], "id": record["eventID"],
                "kind": "event", "outcome": "success", "type": ["info"]},
            "aws": {"cloudtrail": {"event_version": "1.09", "event_type": "AwsApiCall", "event_category": "Management",
                "user_identity": {"type": identity["type"], "arn": identity["arn"], "access_key_id": identity["accessKeyId"],
                    "session_context": {"session_issuer": {"arn": identity["sessionContext"]["sessionIssuer"]["arn"]}}},
                "request_parameters": "{size=8}", "response_elements": "{volumeId=vol-0}",
                "flattened": {"request_parameters": record["requestParameters"], "response_elements": record["responseElements"]},
                "recipient_account_id": record["recipientAccountId"]}},
            "user": {"id": identity["principalId"], "name": identity["userName"]},
            "cloud": {"region": record["awsRegion"], "account": {"id": identity["accountId"]}},
            "source": {"address": record["sourceIPAddress"], "ip": record["sourceIPAddress"]},
            "user_agent": {"original": record["userAgent"]}})
        }
        // The members of objects joined with dots.
        6 => flat(record),
        7 => json!({"version": "0", "detail-type": "AWS API Call via CloudTrail", "detail": record}),
        _ => {
            json!({"EventId": record["eventID"], "EventName": record["eventName"], "CloudTrailEvent": record.to_string()})
        }
    }
}

/// An Azure Activity record of `n`th call, as Event Hubs delivers it.
pub fn azure(n: u32, minute: u32, kind: &str, name: &str, who: &str, body: &Value) -> Value {
    json!({"time": format!("2026-01-05T10:{minute:02}:01.1234567Z"),
        "resourceId": format!("/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/rg1/providers/Microsoft.Compute/{kind}/{name}"),
        "operationName": format!("MICROSOFT.COMPUTE/{}/WRITE", kind.to_uppercase()), "resultType": "Accept",
        "resultSignature": "Accepted.Created", "callerIpAddress": "198.51.100.7", "correlationId": format!("c{n}"),
        "identity": {"authorization": {"evidence": {"principalType": "User"}}, "claims": {
            "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/upn": format!("{who}@contoso.com"),
            "http://schemas.microsoft.com/identity/claims/objectidentifier": format!("oid-{who}"),
            "name": "Alex Lee", "appid": "04b07795-8ddb-461a-bbee-02f9e1bf7b46"}},
        "level": "Information", "location": "eastus",
        "properties": {"statusCode": "Created", "responseBody": body.to_string()}})
}

/// The number of forms of [`azure_form`].
pub const AZURE_FORMS: usize = 5;

/// An Azure Activity record in another form.
pub fn azure_form(record: &Value, form: usize) -> Value {
    let claims = &record["identity"]["claims"];
    let caller = &claims["http://schemas.xmlsoap.org/ws/2005/05/identity/claims/upn"];
    let localised = |value: &str| json!({"value": value, "localizedValue": value});
    match form {
        0 => record.clone(),
        // The REST API.
        1 => json!({"caller": caller, "claims": claims, "correlationId": record["correlationId"],
            "eventTimestamp": record["time"], "operationName": localised(record["operationName"].as_str().unwrap()),
            "status": localised("Accepted"), "subStatus": localised("Created (HTTP Status Code: 201)"),
            "resourceId": record["resourceId"], "httpRequest": {"clientIpAddress": record["callerIpAddress"]},
            "properties": record["properties"]}),
        // Sentinel's table.
        2 => json!({"TimeGenerated": record["time"], "OperationNameValue": record["operationName"],
            "ActivityStatusValue": "Accept", "ActivitySubstatusValue": "Created", "Caller": caller,
            "CallerIpAddress": record["callerIpAddress"], "CorrelationId": record["correlationId"],
            "_ResourceId": record["resourceId"].as_str().unwrap().to_lowercase(), "Claims": claims.to_string(),
            "Properties": record["properties"].to_string()}),
        // ECS, as Elastic's integration writes it.
        3 => {
            let dotless: Map<_, _> = claims
                .as_object()
                .unwrap()
                .iter()
                .filter(|(name, _)| *name != "name")
                .map(|(name, value)| (name.replace('.', "_"), value.clone()))
                .collect();
            json!({"@timestamp": record["time"], "event": {"action": record["operationName"], "kind": "event"},
                "azure": {"correlation_id": record["correlationId"], "resource": {"id": record["resourceId"]},
                    "activitylogs": {"operation_name": record["operationName"], "result_type": "Accept",
                        "result_signature": "Accepted.Created",
                        "identity": {"claims": dotless, "claims_initiated_by_user": {"fullname": "Alex Lee"}},
                        "properties": {"status_code": "Created", "responseBody": record["properties"]["responseBody"]}}},
                "source": {"ip": record["callerIpAddress"]}, "user": {"name": "Alex", "full_name": "Alex Lee"}})
        }
        _ => json!({"records": [record]}),
    }
}

/// A GCP audit log entry.
pub fn gcp(n: u32, minute: u32, method: &str, resource: &str, phase: &str, who: &str, request: Value) -> Value {
    json!({"protoPayload": {"@type": "type.googleapis.com/google.cloud.audit.AuditLog",
            "authenticationInfo": {"principalEmail": format!("{who}@example.com")},
            "requestMetadata": {"callerIp": "198.51.100.7"}, "serviceName": "compute.googleapis.com",
            "methodName": method, "resourceName": resource, "request": request,
            "response": {"@type": "type.googleapis.com/operation"}},
        "insertId": format!("g{n}"), "resource": {"type": "gce_instance", "labels": {"project_id": "p", "zone": "europe-west3-a"}},
        "timestamp": format!("2026-01-05T10:{minute:02}:00.100Z"), "severity": "NOTICE",
        "operation": {"id": format!("op{}", n / 10), phase: true}})
}

/// The number of forms of [`gcp_form`].
pub const GCP_FORMS: usize = 4;

/// A GCP audit log entry in another form.
pub fn gcp_form(record: &Value, form: usize) -> Value {
    let payload = &record["protoPayload"];
    match form {
        0 => record.clone(),
        // A row of a BigQuery sink.
        1 => {
            let mut row = record.clone();
            let mut payload = row["protoPayload"].take();
            let mut take = |name: &str| Value::String(payload[name].take().to_string());
            let (request, response) = (take("request"), take("response"));
            let members = payload.as_object_mut().unwrap();
            members.remove("request");
            members.remove("response");
            members.insert("requestJson".to_owned(), request);
            members.insert("responseJson".to_owned(), response);
            members.insert("status".to_owned(), Value::Null);
            row.as_object_mut().unwrap().remove("protoPayload");
            row["protopayload_auditlog"] = payload;
            row["timestamp"] = json!(record["timestamp"].as_str().unwrap().replace('T', " ").replace('Z', " UTC"));
            row
        }
        // ECS, as Elastic's integration writes it.
        2 => {
            json!({"@timestamp": record["timestamp"], "client": {"user": {"email": payload["authenticationInfo"]["principalEmail"]}},
            "cloud": {"project": {"id": "p"}, "provider": "gcp"},
            "event": {"action": payload["methodName"], "id": record["insertId"], "kind": "event",
                "type": [if record["operation"]["first"] == true { "start" } else { "end" }]},
            "gcp": {"audit": {"type": payload["@type"], "request": payload["request"], "resource_name": payload["resourceName"],
                "logentry_operation": {"id": record["operation"]["id"]}}},
            "service": {"name": payload["serviceName"]}, "source": {"ip": "198.51.100.7"}})
        }
        _ => json!({"specversion": "1.0", "type": "google.cloud.audit.log.v1.written", "data": record}),
    }
}

/// The record with the names of its own members and those of `userIdentity` changed.
fn folded(record: &Value, name: &dyn Fn(&str) -> String) -> Value {
    let members = record.as_object().unwrap().iter().map(|(member, value)| {
        let is_identity = ["userIdentity", "sessionContext", "sessionIssuer"].contains(&member.as_str());
        (name(member), if is_identity { folded(value, name) } else { value.clone() })
    });
    Value::Object(members.collect())
}

/// The record with the names of nested members joined with dots, as far as there are no lists.
fn flat(record: &Value) -> Value {
    fn add(value: &Value, name: &str, to: &mut Map<String, Value>) {
        match value {
            Value::Object(members) if !members.is_empty() => {
                for (member, value) in members {
                    add(value, &if name.is_empty() { member.clone() } else { format!("{name}.{member}") }, to);
                }
            }
            other => drop(to.insert(name.to_owned(), other.clone())),
        }
    }
    let mut members = Map::new();
    add(record, "", &mut members);
    Value::Object(members)
}

fn millis(record: &Value) -> u64 {
    let minute: u64 = record["eventTime"].as_str().unwrap()[14..16].parse().unwrap();
    (super::START + 60 * minute) * 1_000
}
