//! One event has one identity and one id, whatever the form of its record, also in a stream that mixes forms.

use crate::common::forms::{self, Person};
use crate::common::run::{Both, rules};
use proptest::prelude::*;
use serde_json::{Value, json};

/// The three records of a chain on each cloud, by these people, one for each step.
fn aws(people: [Person; 3]) -> [Value; 3] {
    let [one, two, three] = people;
    let device = json!({"blockDeviceMapping": {"items": [{"ebs": {"snapshotId": "snap-1"}}]}});
    [
        forms::aws(1, 0, "CreateVolume", one, json!({"size": "8"}), json!({"volumeId": "vol-1"})),
        forms::aws(2, 1, "CreateSnapshot", two, json!({"volumeId": "vol-1"}), json!({"snapshotId": "snap-1"})),
        forms::aws(3, 2, "RunInstances", three, device, json!({"instancesSet": {"items": [{"instanceId": "i-1"}]}})),
    ]
}

fn azure(people: [&str; 3]) -> [Value; 3] {
    let [one, two, three] = people;
    let id = |kind: &str, name: &str| {
        format!(
            "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/rg1/providers/Microsoft.Compute/{kind}/{name}"
        )
    };
    let copy = |of: String| json!({"properties": {"creationData": {"createOption": "Copy", "sourceResourceId": of}}});
    let mounts = json!({"properties": {"storageProfile": {"osDisk": {"managedDisk": {"id": id("disks", "disk1")}}}}});
    [
        forms::azure(1, 0, "snapshots", "snap1", one, &copy(id("disks", "disk0"))),
        forms::azure(2, 1, "disks", "disk1", two, &copy(id("snapshots", "snap1"))),
        forms::azure(3, 2, "virtualMachines", "vm1", three, &mounts),
    ]
}

fn gcp(people: [&str; 3]) -> [Value; 3] {
    let [one, two, three] = people;
    let instance = "projects/p/zones/europe-west3-a/instances/i";
    let mounts = json!({"disks": [{"initializeParams": {"sourceSnapshot": "projects/p/global/snapshots/s"}}]});
    [
        forms::gcp(
            10,
            0,
            "v1.compute.disks.createSnapshot",
            "projects/p/zones/europe-west3-a/disks/d",
            "first",
            one,
            json!({"name": "s"}),
        ),
        forms::gcp(20, 1, "beta.compute.instances.insert", instance, "first", two, mounts),
        forms::gcp(21, 2, "beta.compute.instances.insert", instance, "last", three, json!({})),
    ]
}

/// What a stream gives: the rules of its findings, and how many events were duplicates.
fn result(records: &[Value]) -> (Vec<String>, u64) {
    let batch: String = records.iter().map(|record| format!("{record}\n")).collect();
    let mut both = Both::open("{}");
    let outcome = both.process(batch.as_bytes());
    assert_eq!(outcome.rejections, []);
    let mut rules: Vec<_> = rules(&outcome.findings).into_iter().map(str::to_owned).collect();
    rules.sort();
    (rules, both.metric("duplicates"))
}

const NORA: Person = Person { name: "nora", role: None };
const OTTO: Person = Person { name: "otto", role: None };

#[test]
fn each_form_alone_gives_the_chain() {
    for form in 0..forms::AWS_FORMS {
        for person in [NORA, Person { role: Some("builder"), ..NORA }] {
            let records = aws([person; 3]).map(|record| forms::aws_form(&record, form));
            assert_eq!(result(&records).0, ["aws-instance-created", "aws-snapshot-staging"], "{form}: {records:#?}");
        }
    }
    for form in 0..forms::AZURE_FORMS {
        let records = azure(["nora"; 3]).map(|record| forms::azure_form(&record, form));
        assert_eq!(result(&records).0, ["azure-instance-created", "azure-snapshot-staging"], "{form}: {records:#?}");
    }
    for form in 0..forms::GCP_FORMS {
        let records = gcp(["nora"; 3]).map(|record| forms::gcp_form(&record, form));
        assert_eq!(result(&records).0, ["gcp-instance-created", "gcp-snapshot-staging"], "{form}: {records:#?}");
    }
}

proptest! {
    #![proptest_config(crate::common::cases(120))]

    /// Each record comes in two forms; the second is a duplicate, and the chain is found once.
    #[test]
    fn forms_may_be_mixed_in_one_chain(
        of_aws in prop::array::uniform6(0..forms::AWS_FORMS),
        of_azure in prop::array::uniform6(0..forms::AZURE_FORMS),
        of_gcp in prop::array::uniform6(0..forms::GCP_FORMS),
        role in prop::option::of(Just("builder")),
    ) {
        let twice = |records: [Value; 3], in_form: &dyn Fn(&Value, usize) -> Value, of: [usize; 6]| {
            let forms = of.into_iter().enumerate();
            forms.map(|(number, form)| in_form(&records[number % 3], form)).collect::<Vec<_>>()
        };
        let person = Person { role, ..NORA };
        let records = twice(aws([person; 3]), &forms::aws_form, of_aws);
        prop_assert_eq!(result(&records), (vec!["aws-instance-created".to_owned(), "aws-snapshot-staging".to_owned()], 3));
        let records = twice(azure(["nora"; 3]), &forms::azure_form, of_azure);
        prop_assert_eq!(result(&records), (vec!["azure-instance-created".to_owned(), "azure-snapshot-staging".to_owned()], 3));
        let records = twice(gcp(["nora"; 3]), &forms::gcp_form, of_gcp);
        prop_assert_eq!(result(&records), (vec!["gcp-instance-created".to_owned(), "gcp-snapshot-staging".to_owned()], 3));
    }

    /// The last step by somebody else, who shares the display name and the application.
    #[test]
    fn two_people_are_never_joined(
        of_aws in prop::array::uniform3(0..forms::AWS_FORMS),
        of_azure in prop::array::uniform3(0..forms::AZURE_FORMS),
        of_gcp in prop::array::uniform3(0..forms::GCP_FORMS),
    ) {
        let mut number = 0..;
        let records = aws([NORA, NORA, OTTO]).map(|record| forms::aws_form(&record, of_aws[number.next().unwrap()]));
        prop_assert_eq!(result(&records).0, ["aws-instance-created"]);
        let mut number = 0..;
        let records = azure(["nora", "nora", "otto"]).map(|record| forms::azure_form(&record, of_azure[number.next().unwrap()]));
        prop_assert_eq!(result(&records).0, ["azure-instance-created"]);
        let mut number = 0..;
        let records = gcp(["nora", "otto", "otto"]).map(|record| forms::gcp_form(&record, of_gcp[number.next().unwrap()]));
        prop_assert_eq!(result(&records).0, ["gcp-instance-created"]);
    }
}

/// Regression: OCSF has the ARN in `uid`; it was read as the principal, whose part before the colon is `arn` for everyone.
#[test]
fn an_arn_alone_identifies_a_user_of_ocsf() {
    let without = |record: &Value| {
        let mut record = forms::aws_form(record, 4);
        record["actor"]["user"].as_object_mut().unwrap().remove("uid_alt");
        record
    };
    assert_eq!(result(&aws([NORA, NORA, OTTO]).map(|record| without(&record))).0, ["aws-instance-created"]);
    assert_eq!(result(&aws([NORA; 3]).map(|record| without(&record))).0.len(), 2);
}

/// Regression: guests have no user principal name, and many share a display name.
#[test]
fn guests_of_one_display_name_are_two_people() {
    let guest = |record: &Value| {
        let mut record = record.clone();
        record["identity"]["claims"].as_object_mut().unwrap().retain(|name, _| !name.ends_with("/upn"));
        record
    };
    let [snapshot, disk, machine] = azure(["nora", "nora", "otto"]).map(|record| guest(&record));
    assert_eq!(result(&[snapshot, disk, machine]).0, ["azure-instance-created"]);
    for form in [0, 3] {
        let records = azure(["nora"; 3]).map(|record| forms::azure_form(&guest(&record), form));
        assert_eq!(result(&records).0.len(), 2, "{form}");
    }
}
