//! An invalid configuration is refused. The error names the path of the offending setting and what was expected there.

fn refusal(config: &str) -> String {
    crate::common::run::open(config).expect_err("the configuration should be refused").to_string()
}

#[test]
fn an_empty_configuration_is_accepted() {
    for config in ["", "{}", " \n"] {
        assert!(crate::common::run::open(config).is_ok(), "{config:?}");
    }
}

#[test]
fn the_error_names_an_invalid_setting() {
    for (config, expected) in [
        ("[", "EOF while parsing a list"),
        (r#"{"mod":"enrich"}"#, "unknown field `mod`"),
        (
            r#"{"mode":"enriched"}"#,
            "at mode: unknown variant `enriched`, expected one of `enrich`, `filter`, `findings`",
        ),
        (r#"{"annotation":""}"#, "at annotation: must not be empty"),
        (
            r#"{"allowed_lateness":"15"}"#,
            "at allowed_lateness: invalid value: string \"15\", expected a whole number and a unit",
        ),
        (r#"{"limits":{"pending":-1}}"#, "at limits.pending: invalid value"),
        (r#"{"hash_key":"00"}"#, "at hash_key: invalid value: string \"00\", expected 32 hexadecimal digits"),
        (r#"{"identity":[]}"#, "at identity: expected at least one key"),
        (r#"{"identity":["name"]}"#, "at identity[0]: unknown variant `name`, expected one of `role`, `arn`"),
        (r#"{"disabled_rules":["x"]}"#, "at disabled_rules: there is no built-in rule \"x\""),
        (
            r#"{"built_in_exceptions":["x"]}"#,
            "at built_in_exceptions[0]: there is no \"x\", expected one of auto-scaling",
        ),
        (r#"{"rules":[{"id":"x"}]}"#, "at rules[0]: missing field `version`"),
    ] {
        let refusal = refusal(config);
        assert!(refusal.contains(expected), "{config}: {refusal}");
    }
}

/// A configuration with one exception in which `part` is replaced with `by`.
fn exception(part: &str, by: &str) -> String {
    let exception = r#"{"id":"ours","reason":"our pipeline","provider":"aws","expires":"2027-01-31T00:00:00Z",
        "where":[{"field":"userAgent","prefix":"Terraform"},{"field":"sourceIPAddress","cidr":["10.0.0.0/8","2001:db8::1"]}],
        "between":{"days":["mon"],"from":"22:00","to":"06:00"}}"#;
    assert!(exception.contains(part), "{part}");
    format!(r#"{{"exceptions":[{}]}}"#, exception.replacen(part, by, 1))
}

#[test]
fn a_custom_exception_is_accepted() {
    assert!(crate::common::run::open(&exception("ours", "ours")).is_ok());
}

#[test]
fn the_error_names_an_invalid_part_of_an_exception() {
    for (part, by, expected) in [
        ("\"our pipeline\"", "\" \"", "at exceptions[0].reason: must not be empty"),
        (
            "2027-01-31T00:00:00Z",
            "2027-01-31",
            "at exceptions[0].expires: invalid value: string \"2027-01-31\", expected a time in RFC 3339",
        ),
        ("22:00", "25:00", "at exceptions[0].between.from: invalid value: string \"25:00\", expected a time of day"),
        ("\"mon\"", "\"monday\"", "at exceptions[0].between.days[0]: unknown variant"),
        ("10.0.0.0/8", "10.0.0.0/99", "at exceptions[0].where[1].cidr: \"10.0.0.0/99\" is not a valid network"),
        (
            "\"prefix\":\"Terraform\"",
            "\"prefix\":\"T\",\"suffix\":\"m\"",
            "at exceptions[0].where[0]: expected exactly one of equals",
        ),
        ("\"field\":\"userAgent\",", "", "at exceptions[0].where[0]: the condition has no `field`"),
        ("\"provider\"", "\"rules\":[\"none\"],\"provider\"", "at exceptions[0].rules: there is no rule \"none\""),
    ] {
        let refusal = refusal(&exception(part, by));
        assert!(refusal.contains(expected), "{part} -> {by}: {refusal}");
    }
}

/// A configuration with one rule of two steps in which `part` is replaced with `by`.
fn rule(part: &str, by: &str) -> String {
    let rule = r#"{"id":"my-rule","version":1,"title":"t","severity":"low","within":"1h","steps":[
        {"id":"one","provider":"aws","service":"s3.amazonaws.com","actions":["PutObject"],"bind":{"key":"requestParameters.key"}},
        {"id":"two","provider":"aws","service":"s3.amazonaws.com","actions":["GetObject"],"bind":{"key":"requestParameters.key"}}]}"#;
    assert!(rule.contains(part), "{part}");
    format!(r#"{{"rules":[{}]}}"#, rule.replacen(part, by, 1))
}

#[test]
fn a_custom_rule_is_accepted() {
    assert!(crate::common::run::open(&rule("my-rule", "my-rule")).is_ok());
}

#[test]
fn the_error_names_an_invalid_part_of_a_rule() {
    for (part, by, expected) in [
        ("my-rule", "aws-snapshot-staging", "at rules[0].id: there is already a rule"),
        ("my-rule", "My rule", "at rules[0].id: \"My rule\" is not a valid id"),
        ("\"within\":\"1h\",", "", "at rules[0]: a rule of several steps needs `within`"),
        ("\"id\":\"two\"", "\"id\":\"one\"", "at rules[0].steps[1].id: there is already a step"),
        ("[\"GetObject\"]", "[]", "at rules[0].steps[1].actions: expected at least one action"),
        ("GetObject", "Get\\\"Object", "at rules[0].steps[1].actions[0]"),
        (
            "\"key\":\"requestParameters.key\"",
            "\"other\":\"requestParameters.key\"",
            "at rules[0].steps: not all steps are linked",
        ),
        ("requestParameters.key", "requestParameters..key", "at rules[0].steps[0].bind.key: invalid value"),
        ("\"provider\":\"aws\"", "\"provider\":\"aws2\"", "at rules[0].steps[0].provider: unknown variant"),
        ("\"steps\"", "\"resources\":{\"vol\":\"V\"},\"steps\"", "at rules[0].resources.vol: no step binds this name"),
        (
            "\"id\":\"one\"",
            "\"id\":\"one\",\"each\":\"key\"",
            "at rules[0].steps[0].each: `each` is for rules of one step",
        ),
        (
            "\"id\":\"one\"",
            "\"id\":\"one\",\"absent\":true",
            "at rules[0].steps: a chain needs at least two steps that are not optional",
        ),
        (
            "{\"id\":\"one\"",
            "{\"id\":\"no\",\"absent\":true,\"provider\":\"aws\",\"service\":\"x\",\"actions\":[\"A\"]},{\"id\":\"one\"",
            "at rules[0].steps[0].bind: an absent step must bind a name that a required step binds",
        ),
        (
            "{\"id\":\"one\"",
            "{\"id\":\"no\",\"absent\":true,\"optional\":true,\"provider\":\"aws\",\"service\":\"x\",\"actions\":[\"A\"]},{\"id\":\"one\"",
            "at rules[0].steps[0].absent: `absent` and `optional` exclude each other",
        ),
        (
            "\"severity\":\"low\"",
            "\"severity\":\"low\",\"attack\":[{\"technique\":\"T1537\",\"name\":\"n\",\"tactic\":\"exfiltration\"}]",
            "at rules[0].attack[0].tactic: expected the id of a tactic, such as TA0010",
        ),
    ] {
        let refusal = refusal(&rule(part, by));
        assert!(refusal.contains(expected), "{part} -> {by}: {refusal}");
    }
}
