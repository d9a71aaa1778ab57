use crate::{Random, time_text};

/// Azure operations that no rule matches.
const AZURE_NOISE: &[&str] = &[
    "MICROSOFT.STORAGE/STORAGEACCOUNTS/LISTKEYS/ACTION",
    "MICROSOFT.COMPUTE/VIRTUALMACHINES/EXTENSIONS/WRITE",
    "MICROSOFT.NETWORK/NETWORKSECURITYGROUPS/SECURITYRULES/WRITE",
    "MICROSOFT.KEYVAULT/VAULTS/WRITE",
    "MICROSOFT.AUTHORIZATION/POLICIES/AUDIT/ACTION",
    "MICROSOFT.WEB/SITES/CONFIG/LIST/ACTION",
];

/// GCP methods that no rule matches.
const GCP_NOISE: &[&str] = &[
    "v1.compute.instances.setMetadata",
    "storage.objects.get",
    "storage.objects.create",
    "google.iam.admin.v1.CreateServiceAccountKey",
    "beta.compute.firewalls.patch",
    "io.k8s.core.v1.pods.create",
];

const CLAIMS: &str = "http://schemas.xmlsoap.org/ws/2005/05/identity/claims";

/// An Azure Activity record as delivered by Event Hubs, of about 1.3 KB, without LF. One in a hundred creates a virtual
/// machine.
pub fn azure_line(random: &mut Random, time: u64) -> String {
    let of_interest = random.below(100) == 0;
    let operation = if of_interest { "MICROSOFT.COMPUTE/VIRTUALMACHINES/WRITE" } else { *random.pick(AZURE_NOISE) };
    let (name, correlation, user) = (random.hexadecimal(8), random.uuid(), random.below(200));
    let resource = format!(
        "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/rg-{}/providers/Microsoft.Compute/virtualMachines/{name}",
        random.below(20)
    );
    let time = time_text(time).replace('Z', ".1234567Z");
    format!(
        r#"{{"RoleLocation":"East US","time":"{time}","resourceId":"{resource}","operationName":"{operation}","category":"Administrative","resultType":"Success","resultSignature":"Succeeded.Created","durationMs":"{}","callerIpAddress":"203.0.113.{}","correlationId":"{correlation}","identity":{{"authorization":{{"scope":"{resource}","action":"{operation}","evidence":{{"role":"Contributor","roleAssignmentScope":"/subscriptions/00000000-0000-0000-0000-000000000001","principalType":"User"}}}},"claims":{{"aud":"https://management.core.windows.net/","iss":"https://sts.windows.net/33333333-3333-4333-8333-333333333333/","{CLAIMS}/upn":"user-{user}@contoso.com","{CLAIMS}/name":"user-{user}@contoso.com","appid":"04b07795-8ddb-461a-bbee-02f9e1bf7b46","ipaddr":"203.0.113.7","uti":"{}"}}}},"level":"Information","location":"eastus","properties":{{"eventCategory":"Administrative","entity":"{resource}","message":"{operation}","hierarchy":"33333333-3333-4333-8333-333333333333/00000000-0000-0000-0000-000000000001"}},"tenantId":"33333333-3333-4333-8333-333333333333"}}"#,
        random.below(900),
        random.below(250),
        random.hexadecimal(22)
    )
}

/// A GCP audit log entry of about 1.3 KB, without LF. One in a hundred creates an instance.
pub fn gcp_line(random: &mut Random, time: u64) -> String {
    let of_interest = random.below(100) == 0;
    let method = if of_interest { "v1.compute.instances.insert" } else { *random.pick(GCP_NOISE) };
    let (name, user, id) = (random.hexadecimal(8), random.below(200), random.hexadecimal(12));
    let resource = format!("projects/project-1/zones/us-central1-a/instances/{name}");
    let time = time_text(time).replace('Z', ".123456Z");
    let filler = random.hexadecimal(300);
    format!(
        r#"{{"insertId":"{id}","logName":"projects/project-1/logs/cloudaudit.googleapis.com%2Factivity","operation":{{"id":"operation-{id}","last":true,"producer":"compute.googleapis.com"}},"protoPayload":{{"@type":"type.googleapis.com/google.cloud.audit.AuditLog","authenticationInfo":{{"principalEmail":"user-{user}@example.com","principalSubject":"user:user-{user}@example.com"}},"authorizationInfo":[{{"granted":true,"permission":"compute.instances.create","resource":"{resource}","resourceAttributes":{{"name":"{resource}","service":"compute","type":"compute.instances"}}}}],"methodName":"{method}","request":{{"@type":"type.googleapis.com/{method}","fingerprint":"{filler}"}},"requestMetadata":{{"callerIp":"203.0.113.9","callerSuppliedUserAgent":"google-cloud-sdk gcloud/475.0.0 command/gcloud.compute.instances.create invocation-id/{id} environment/None,gzip(gfe)"}},"resourceName":"{resource}","serviceName":"compute.googleapis.com"}},"receiveTimestamp":"{time}","resource":{{"labels":{{"instance_id":"{}","project_id":"project-1","zone":"us-central1-a"}},"type":"gce_instance"}},"severity":"NOTICE","timestamp":"{time}"}}"#,
        random.number()
    )
}
