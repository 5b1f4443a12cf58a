use std::collections::BTreeSet;

use serde_json::Value;

use super::samples::{self, NOW};
use std::time::{Duration, UNIX_EPOCH};

use super::*;
use crate::proto::ids::DropletId;

/// `groups[].claims[].state` and its like, for every leaf.
fn paths(value: &Value, path: &str, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(object) => {
            for (key, value) in object {
                let dot = if path.is_empty() { "" } else { "." };
                paths(value, &format!("{path}{dot}{key}"), found);
            }
        }
        Value::Array(array) if array.is_empty() => panic!("{path} must have something in it"),
        Value::Array(array) => array.iter().for_each(|value| paths(value, &format!("{path}[]"), found)),
        Value::Null => panic!("{path} must be known in this sample"),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            found.insert(path.to_owned());
        }
    }
}

fn fields() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let json = serde_json::to_value(samples::full()).unwrap();
    paths(&json, "", &mut found);
    found
}

/// The first cell of each row of the tables under `heading`.
fn documented(heading: &str) -> BTreeSet<String> {
    let page = include_str!("../../../docs/status.md");
    let (_, section) = page.split_once(&format!("\n## {heading}\n")).expect("the heading");
    let section = section.split("\n## ").next().unwrap();
    section
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once("` |"))
        .map(|(field, _)| field.to_owned())
        .collect()
}

#[test]
fn every_field_is_documented_and_every_documented_field_is_there() {
    assert_eq!(fields(), documented("The fields of `status --json`"));
}

#[test]
fn every_field_of_why_is_documented_and_every_documented_field_is_there() {
    let mut why = crate::view::why::why(&samples::full());
    // What blocks a failover, and the one who would follow, are never there at once.
    why.groups[0].failover.turns.push(crate::view::why::Turn { node: "web-3".to_owned(), after_ms: 1_500 });
    let mut found = BTreeSet::new();
    paths(&serde_json::to_value(why).unwrap(), "", &mut found);
    // Documented where `status --json` is, of which they are a part.
    let of_status = ["groups[].claims[].", "groups[].acts[].", "groups[].last_move.", "groups[].waiting."];
    found.retain(|field| !of_status.iter().any(|part| field.starts_with(part)));
    found.insert("groups[].waiting".to_owned());
    assert_eq!(found, documented("The fields of `why --json`"));
}

#[test]
fn every_reason_is_documented() {
    let reasons: BTreeSet<String> = crate::view::words::REASONS.iter().map(ToString::to_string).collect();
    assert_eq!(reasons, documented("Reasons"));
}

/// What tools outside of this repository rely on.
#[test]
fn the_fields_of_the_contract_are_there() {
    let contract = "node node_id version groups[].name groups[].state groups[].reason groups[].term groups[].priority \
        groups[].effective_priority groups[].rank groups[].since groups[].served groups[].master \
        groups[].claims[].kind groups[].claims[].address groups[].claims[].state groups[].claims[].holder \
        groups[].claims[].verified_ms_ago groups[].claims[].detail groups[].checks[].name groups[].checks[].kind \
        groups[].checks[].ok groups[].checks[].since groups[].checks[].detail groups[].peers[].node \
        groups[].peers[].address groups[].peers[].state groups[].peers[].priority groups[].peers[].heard_ms_ago \
        groups[].peers[].loss groups[].peers[].loss_of groups[].peers[].rtt_us groups[].peers[].ready groups[].peers[].detail \
        groups[].peers[].version groups[].peers[].config_ok groups[].peers[].reach groups[].acts[].kind \
        groups[].acts[].node groups[].acts[].by groups[].acts[].reason groups[].acts[].until \
        groups[].last_move.from groups[].last_move.to groups[].last_move.reason groups[].last_move.at \
        groups[].last_move.phases_ms.verified groups[].failover_ready groups[].blocked_by[]";
    let fields = fields();
    let missing: Vec<&str> = contract.split_whitespace().filter(|field| !fields.contains(*field)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn what_is_not_known_is_null_and_neither_absent_nor_zero() {
    let mut unknown = samples::peer("web-2", 5, State::Backup);
    (unknown.node, unknown.heard_ms_ago, unknown.loss, unknown.rtt_us) = (None, None, None, None);
    let json = serde_json::to_value(unknown).unwrap();
    for key in ["node", "heard_ms_ago", "loss", "rtt_us"] {
        assert_eq!(json.get(key), Some(&Value::Null), "{key}");
    }
    let mut facts = samples::master_facts();
    facts.last_move = None;
    facts.claims[0].holder = None;
    let json = serde_json::to_value(samples::status("web-1", facts)).unwrap();
    let group = &json["groups"][0];
    assert_eq!(group.get("last_move"), Some(&Value::Null));
    assert_eq!(group.get("served"), Some(&Value::Null));
    assert_eq!(group["claims"][0].get("holder"), Some(&Value::Null));
}

#[test]
fn the_client_reads_what_the_agent_wrote() {
    for status in [samples::full(), samples::status("web-2", samples::backup_facts())] {
        let text = serde_json::to_string(&status).unwrap();
        assert_eq!(serde_json::from_str::<Status>(&text).unwrap(), status);
    }
}

#[test]
fn an_older_client_passes_over_keys_that_are_new() {
    let mut json = serde_json::to_value(samples::full()).unwrap();
    json["groups"][0]["peers"][0]["invented_later"] = 1.into();
    json["invented_later"] = 1.into();
    assert_eq!(serde_json::from_value::<Status>(json).unwrap(), samples::full());
}

#[test]
fn a_stamp_is_rfc_3339_and_cannot_leave_what_that_can_say() {
    assert_eq!(NOW.to_string(), "2026-07-14T12:00:00.000Z");
    assert_eq!(NOW.for_people(), "2026-07-14 12:00:00");
    assert_eq!("2026-07-14T12:00:00.000Z".parse::<Stamp>().unwrap(), NOW);
    assert_eq!(Stamp::from_unix_millis(u64::MAX).to_string(), "9999-12-31T23:59:59.999Z");
    assert_eq!(Stamp::from(UNIX_EPOCH - Duration::from_secs(1)).unix_millis(), 0);
    assert_eq!(samples::ago(5).since(NOW), Duration::ZERO);
    assert!(serde_json::from_str::<Stamp>("\"yesterday\"").is_err());
}

#[test]
fn a_holder_is_a_name_a_droplet_or_nobody() {
    for (text, holder) in [
        ("web-1", ClaimHolder::Node(samples::node("web-1"))),
        ("10.114.0.5", ClaimHolder::Node(samples::node("10.114.0.5"))),
        ("droplet:4711", ClaimHolder::Droplet(DropletId(4711))),
        ("nobody", ClaimHolder::Nobody),
    ] {
        assert_eq!(ClaimHolder::try_from(text.to_owned()).unwrap(), holder);
        assert_eq!(String::from(holder), text);
    }
    assert!(ClaimHolder::try_from("droplet:x".to_owned()).is_err());
    assert!(ClaimHolder::try_from("a b".to_owned()).is_err());
}

#[test]
fn the_worst_group_counts_and_unknown_outranks_a_warning() {
    let healthy = samples::status("web-1", samples::master_facts());
    assert_eq!(healthy.severity(), Severity::Ok);

    let mut refused = healthy.clone();
    refused.config.error = Some("line 3".to_owned());
    assert_eq!(refused.severity(), Severity::Warning);

    let mut unknown = samples::master_facts();
    unknown.claims[0].holder = None;
    refused.groups.push(Group::new(&refused.node, unknown));
    assert_eq!(refused.severity(), Severity::Unknown);

    let mut nobody = samples::master_facts();
    nobody.claims[0].holder = Some(ClaimHolder::Nobody);
    refused.groups.push(Group::new(&refused.node, nobody));
    assert_eq!(refused.severity(), Severity::Critical);

    let none = Status { groups: Vec::new(), ..healthy };
    assert_eq!(none.severity(), Severity::Unknown);
    assert_eq!(
        [Severity::Ok, Severity::Warning, Severity::Critical, Severity::Unknown].map(Severity::exit_code),
        [0, 1, 2, 3]
    );
}

#[test]
fn a_move_takes_from_its_first_step_to_the_verified_claim() {
    let mut phases = samples::last_move().phases_ms;
    assert_eq!(phases.total(), Some(2_340));
    phases.last_heartbeat = None;
    assert_eq!(phases.total(), Some(1_840), "a switchover has no last heartbeat");
    phases.verified = None;
    assert_eq!(phases.total(), None);
}
