//! Two files compared: what a reload takes over, what waits for a restart, and every key that there is.

use std::collections::BTreeSet;

use super::*;
use crate::config::parse;

const PLAIN: &str = r#"
[digitalocean]
token.file = "/token"
[heartbeat]
key.file = "/key"
[group.web]
peers = ["10.0.0.4", "10.0.0.5"]
[[group.web.check]]
docker.running = 10
docker.label = "app=web"
[[group.web.claim]]
digitalocean.reserved_ip = "203.0.113.10"
"#;

/// Every key has another value than in [`PLAIN`], or another name.
const OTHER: &str = r#"
[node]
name = "other"
address = "10.0.0.4"
state_dir = "/other"
on_stop = "keep"
realtime = false
[digitalocean]
token.env = "TOKEN"
api_url = "https://other.example.com"
ca_file = "/ca"
metadata_url = "http://other.example.com"
droplet_id = 7
timeout = "3s"
calls_per_minute = 30
[docker]
socket = "/other.sock"
[control]
socket = "/other/haagent.sock"
[heartbeat]
port = 17113
interval = "400ms"
key.credential = "key"
old_key.file = "/key"
[group.web]
peers = ["10.0.0.4", "10.0.0.6"]
priority = 90
priorities = { "other" = 120 }
probe = { tcp = "www.example.com:80", timeout = "1s" }
majority = false
preempt = true
preempt_delay = "5s"
claim_timeout = "50s"
verify_interval = "2s"
readiness_interval = "4m"
[[group.web.check]]
docker.min = 3
docker.max = 4
docker.name = "web"
docker.label = "app=other"
docker.healthy = true
interval = "3s"
timeout = "3s"
rise = 3
fall = 3
start_period = "3s"
weight = -20
[[group.web.claim]]
digitalocean.reserved_ip = "203.0.113.11"
"#;

fn config(text: &str) -> Config {
    parse("haagent.toml", text.as_bytes()).unwrap_or_else(|problems| panic!("{problems}")).config
}

fn texts(changes: &[Change]) -> Vec<String> {
    changes.iter().map(Change::to_string).collect()
}

/// What a reload of `file` over `running` says.
fn plan(running: &str, file: &str) -> (Vec<String>, Vec<String>) {
    let plan = Plan::new(&config(running), &config(file)).unwrap();
    (texts(&plan.applied), plan.waiting.iter().map(Change::waiting).collect())
}

fn is(applied: &[&str], waiting: &[&str]) -> (Vec<String>, Vec<String>) {
    let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    (owned(applied), owned(waiting))
}

#[test]
fn every_key_is_live_or_waits_and_is_in_the_table_once() {
    let mut known = BTreeSet::new();
    for (table, keys, _) in EFFECTS {
        for key in *keys {
            assert!(known.insert((*table, *key)), "{table} {key} is there twice");
        }
    }
    for text in [PLAIN, OTHER] {
        for setting in config(text).settings() {
            assert!(setting.effect().is_some(), "say in EFFECTS what becomes of {}", setting.path());
            let table = kind(&setting.table);
            known.retain(|of| *of != (table.as_str(), setting.key));
        }
    }
    let rare = ["key.env", "old_key.env", "old_key.credential", "token.credential"];
    let left: Vec<_> = known.into_iter().map(|(_, key)| key).filter(|key| !rare.contains(key)).collect();
    assert!(left.is_empty(), "no key has these names: {left:?}");
}

#[test]
fn what_is_taken_over_is_what_the_table_says() {
    for (running, file) in [(PLAIN, OTHER), (OTHER, PLAIN)] {
        let (running, file) = (config(running), config(file));
        let plan = Plan::new(&running, &file).unwrap();
        let values = |config: &Config| -> BTreeMap<String, Value> {
            config.settings().into_iter().map(|setting| (setting.path(), setting.value)).collect()
        };
        let [was, is, wanted] = [&running, &plan.next, &file].map(values);
        let settings = running.settings().into_iter().chain(file.settings());
        for setting in settings.filter(|setting| was.get(&setting.path()) != wanted.get(&setting.path())) {
            let path = setting.path();
            let expected = match setting.effect().unwrap() {
                Live => wanted.get(&path),
                Restart => was.get(&path),
            };
            assert_eq!(is.get(&path), expected, "{path}");
        }
        assert!(plan.applied.len() >= 25 && plan.waiting.len() >= 10, "{plan:?}");
        // What is told once is not told again, and what waits is told until the restart.
        let again = Plan::new(&plan.next, &file).unwrap();
        assert!(again.applied.is_empty() && again.waiting == plan.waiting && again.next == plan.next);
    }
}

#[test]
fn a_change_is_told_as_the_file_has_it() {
    let file = PLAIN
        .replace("docker.running = 10", "docker.running = 9\nfall = 1")
        .replace("key.file = \"/key\"", "key.file = \"/key\"\nport = 17113")
        .replace("[group.web]", "[group.web]\npreempt = true");
    let applied = [
        "group.web.preempt false -> true",
        "group.web.check docker.running 10 -> 9",
        "group.web.check fall 2 -> 1",
        "group.web.preempt_delay (not set) -> \"1m\"",
    ];
    assert_eq!(plan(PLAIN, &file), is(&applied, &["heartbeat.port (17112 -> 17113)"]));
    assert_eq!(plan(PLAIN, PLAIN), is(&[], &[]));
}

#[test]
fn checks_are_known_by_their_names() {
    let second = "[[group.web.check]]\nname = \"api\"\ndocker.min = 1\ndocker.label = \"app=api\"\n";
    let two = format!("{PLAIN}{second}");
    assert_eq!(plan(PLAIN, &two), is(&["group.web.check[api] added"], &[]));
    assert_eq!(plan(&two, PLAIN), is(&["group.web.check[api] removed"], &[]));
    let swapped = PLAIN.replace("[[group.web.check]]", &format!("{second}[[group.web.check]]"));
    assert_eq!(plan(&two, &swapped), is(&["group.web order of checks docker, api -> api, docker"], &[]));
    let changed = two.replace("docker.min = 1", "docker.min = 2");
    assert_eq!(plan(&two, &changed), is(&["group.web.check[api] docker.min 1 -> 2"], &[]));
}

#[test]
fn a_group_that_comes_or_goes_waits_as_a_whole_and_the_rest_is_applied() {
    let file = PLAIN.replace("group.web", "group.db").replace("token.file = \"/token\"", "token.file = \"/other\"");
    let waiting = ["group.web (removed)", "group.db (added)"];
    assert_eq!(plan(PLAIN, &file), is(&["digitalocean.token.file \"/token\" -> \"/other\""], &waiting));
}

#[test]
fn a_group_that_goes_on_must_go_with_what_the_file_says() {
    let running = PLAIN.replace("[group.web]", "[group.web]\nclaim_timeout = \"6s\"");
    let file = PLAIN.replace("group.web", "group.db").replace("[digitalocean]", "[digitalocean]\ntimeout = \"10s\"");
    let error = Plan::new(&config(&running), &config(&file)).unwrap_err();
    assert!(error.to_string().starts_with("group web is not in the file any more"), "{error}");
}

#[test]
fn from_keys_to_none_is_one_change_that_waits_and_another_old_key_is_live() {
    let insecure = PLAIN.replace("key.file = \"/key\"", "insecure = true");
    assert_eq!(plan(PLAIN, &insecure), is(&[], &["heartbeat.insecure (false -> true)"]));
    assert_eq!(plan(&insecure, PLAIN), is(&[], &["heartbeat.insecure (true -> false)"]));
    let both = PLAIN.replace("key.file = \"/key\"", "key.file = \"/key\"\nold_key.file = \"/old\"");
    assert_eq!(plan(PLAIN, &both), is(&["heartbeat.old_key.file (not set) -> \"/old\""], &[]));
    assert_eq!(plan(&both, PLAIN), is(&["heartbeat.old_key.file \"/old\" -> (not set)"], &[]));
    assert_eq!(Change::secret("digitalocean.token").to_string(), "digitalocean.token another secret");
}
