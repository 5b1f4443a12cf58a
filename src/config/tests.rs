//! Every mistake that is known to be made, with the words in which it is told;
//! and what must hold for every file.

mod hooks;
mod mistakes;
mod oddities;
mod probes;

use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::num::NonZeroU16;
use std::time::Duration;

use proptest::prelude::*;

use self::mistakes::{TWENTY_AT_ONCE, mistakes};
use self::oddities::ODDITIES;
use super::types::{
    Authentication, Check, CheckKind, Claim, Count, DigitalOcean, Discovered, Majority, OnStop, Preempt, SecretSource,
};
use super::*;
use crate::proto::ids::{DropletId, NodeName, Priority};

const HEAD: &str = r#"[digitalocean]
token.file = "/etc/haagent/do-token"
[heartbeat]
key.file = "/etc/haagent/heartbeat.key"
"#;
const WEB: &str = r#"[group.web]
peers = ["10.114.0.4", "10.114.0.5"]
"#;
const CHECK: &str = r#"[[group.web.check]]
docker.running = 10
docker.label = "app=web"
"#;
const CLAIM: &str = r#"[[group.web.claim]]
digitalocean.reserved_ip = "203.0.113.10"
"#;

struct Case {
    name: &'static str,
    file: &'static [&'static str],
    told: &'static str,
}

fn loaded(text: &str) -> Loaded {
    parse("haagent.toml", text.as_bytes()).unwrap_or_else(|problems| panic!("{problems}"))
}

fn told(text: &[u8]) -> String {
    match parse("haagent.toml", text) {
        Ok(loaded) => loaded.warnings.to_string(),
        Err(problems) => {
            assert!(problems.count(Severity::Error) > 0, "refused without a reason");
            problems.to_string()
        }
    }
}

fn plain() -> String {
    [HEAD, WEB, CHECK, CLAIM].concat()
}

#[test]
fn mistakes_are_told_in_these_words() {
    for case in mistakes() {
        let problems = parse("haagent.toml", case.file.concat().as_bytes()).expect_err(case.name);
        assert_eq!(problems.to_string(), case.told, "{}", case.name);
    }
}

#[test]
fn what_is_odd_is_told_in_these_words_and_used() {
    for case in ODDITIES {
        assert_eq!(loaded(&case.file.concat()).warnings.to_string(), case.told, "{}", case.name);
    }
}

#[test]
fn twenty_mistakes_are_told_at_once() {
    let problems = parse("haagent.toml", TWENTY_AT_ONCE.file.concat().as_bytes()).unwrap_err();
    assert!(problems.count(Severity::Error) >= 20, "{}", problems.count(Severity::Error));
}

#[test]
fn no_more_than_a_hundred_are_told_and_the_rest_is_counted() {
    let mut text = plain();
    (0..250).for_each(|at| writeln!(text, "unknown{at} = 1").unwrap());
    let problems = parse("haagent.toml", text.as_bytes()).unwrap_err();
    assert_eq!(problems.count(Severity::Error), 250);
    let told = problems.to_string();
    assert_eq!(told.matches("haagent.toml:").count(), 101, "a hundred, and how many more:\n{told}");
    assert!(told.ends_with("haagent.toml: and 150 more\n"));
}

#[test]
fn the_smallest_file_has_every_default() {
    let loaded = loaded(&plain());
    assert!(loaded.warnings.is_empty(), "{}", loaded.warnings);
    let Config { node, heartbeat, control, digitalocean, docker, groups } = loaded.config;
    assert_eq!((node.name, node.address, node.on_stop, node.realtime), (None, Discovered::Auto, OnStop::Resign, true));
    assert_eq!(node.state_dir, Path::new("/var/lib/haagent"));
    assert_eq!((heartbeat.port, heartbeat.interval), (NonZeroU16::new(17112).unwrap(), Duration::from_millis(500)));
    let key = SecretSource::File("/etc/haagent/heartbeat.key".into());
    assert_eq!(heartbeat.authentication, Authentication::Keyed { key, old_key: None });
    assert_eq!(control.socket, Path::new("/run/haagent/haagent.sock"));
    assert_eq!(docker.socket, Path::new("/var/run/docker.sock"));
    let DigitalOcean { token, api_url, ca_file, metadata_url, droplet_id, timeout, calls_per_minute } = digitalocean;
    assert_eq!(token, SecretSource::File("/etc/haagent/do-token".into()));
    assert_eq!((api_url.as_str(), ca_file), ("https://api.digitalocean.com", None));
    assert_eq!((metadata_url.as_str(), droplet_id), ("http://169.254.169.254", Discovered::Auto));
    assert_eq!((timeout, calls_per_minute.get()), (Duration::from_secs(5), 60));
    let [group] = groups.as_slice() else { panic!("{groups:?}") };
    assert_eq!(group.peers, [Ipv4Addr::new(10, 114, 0, 4), Ipv4Addr::new(10, 114, 0, 5)]);
    assert_eq!((group.priority, group.priorities.len()), (Priority::DEFAULT, 0));
    assert_eq!((group.majority, group.preempt), (Majority::Auto, Preempt::Sticky));
    assert_eq!(group.times.claim_timeout(), Duration::from_secs(60));
    assert_eq!(group.times.verify_interval(), Duration::from_secs(1));
    assert_eq!(group.times.readiness_interval(), Duration::from_secs(300));
    assert_eq!(group.claim, Claim::ReservedIpv4(Ipv4Addr::new(203, 0, 113, 10)));
    let [Check { name, interval, timeout, rise, fall, start_period, weight, kind }] = group.checks.as_slice() else {
        panic!("{:?}", group.checks)
    };
    assert_eq!((name.as_str(), *interval, *timeout), ("docker", Duration::from_secs(1), Duration::from_secs(2)));
    assert_eq!((rise.get(), fall.get(), *start_period, *weight), (2, 2, Duration::ZERO, None));
    let CheckKind::Docker(docker) = kind;
    assert_eq!((docker.count, docker.healthy), (Count::exactly(10), false));
    assert_eq!((docker.name.as_deref(), docker.label.as_deref()), (None, Some("app=web")));
}

#[test]
fn every_key_can_be_written() {
    let text = r#"
[node]
name = "web-1"
address = "10.114.0.4"
state_dir = "/srv/state"
on_stop = "keep"
realtime = false
maintenance = "ignore"
[heartbeat]
port = 17000
interval = "1s"
key.credential = "heartbeat-key"
old_key.file = "/etc/haagent/old.key"
[control]
socket = "/run/x.sock"
[digitalocean]
token = { env = "DO_TOKEN" }
api_url = "http://127.0.0.1:8080/"
ca_file = "/etc/ca.pem"
metadata_url = "http://127.0.0.1:8081"
droplet_id = 4711
timeout = "2s"
calls_per_minute = 0x10
[docker]
socket = "/run/proxy.sock"
[group."web.1"]
peers = ["10.114.0.5", "10.114.0.4"]
priority = 50
priorities = { "web-1" = 150, web-2 = 100 }
majority = false
preempt = true
preempt_delay = "0s"
claim_timeout = "30s"
verify_interval = "500ms"
readiness_interval = "1m 30s"
[[group."web.1".check]]
name = "many"
docker.min = 2
docker.max = 3
docker.name = "a \"b\" \\c"
docker.healthy = true
interval = "5s"
timeout = "1s"
rise = 1
fall = 3
start_period = "10s"
weight = -60
[[group."web.1".check]]
docker = { min = 1, label = "x" }
[[group."web.1".claim]]
digitalocean.reserved_ip = "203.0.113.10"
"#;
    let first = loaded(text);
    assert!(first.warnings.is_empty(), "{}", first.warnings);
    assert_eq!(first.config.node.name, Some(NodeName::new("web-1").unwrap()));
    assert_eq!(first.config.digitalocean.droplet_id, Discovered::Given(DropletId(4711)));
    assert_eq!(first.config.digitalocean.calls_per_minute.get(), 16);
    assert_eq!(first.config.groups[0].preempt, Preempt::After(Duration::ZERO));
    assert_eq!(first.config.groups[0].peers[0], Ipv4Addr::new(10, 114, 0, 4), "ascending");

    // What `config show` prints of it means the same.
    let mut shown = String::new();
    let mut table = String::new();
    for setting in first.config.settings() {
        if table != setting.table {
            writeln!(shown, "{}", setting.header).unwrap();
            table = setting.table.clone();
        }
        if let Value::Toml(value) = &setting.value {
            writeln!(shown, "{} = {value}", setting.key).unwrap();
        }
    }
    assert_eq!(loaded(&shown).config, first.config, "{shown}");
}

#[test]
fn the_example_is_used_without_a_word_and_each_line_of_it_can_be() {
    let example = loaded(EXAMPLE);
    assert!(example.warnings.is_empty(), "{}", example.warnings);
    assert_eq!(example.config, loaded(&plain()).config, "the example is the smallest file and its defaults");

    let lines: Vec<&str> = EXAMPLE.lines().collect();
    let mut tried = 0;
    for (at, line) in lines.iter().enumerate() {
        let Some((key, _)) = line.strip_prefix("# ").and_then(|rest| rest.split_once(" = ")) else { continue };
        let mut changed: Vec<&str> = lines.clone();
        changed[at] = &line[2..];
        if let Some((first, "credential" | "env")) = key.split_once('.') {
            changed.retain(|line| !line.starts_with(&format!("{first}.file")));
        }
        let Loaded { config, .. } = loaded(&changed.join("\n"));
        let hook = ["promote", "on_master", "on_backup", "on_fault"].contains(&key);
        let sample = ["name", "ca_file", "priorities", "probe.http", "weight", "docker.name"].contains(&key)
            || hook
            || key.contains('_') && key.starts_with("old");
        if !sample && !key.ends_with("credential") && !key.ends_with("env") {
            assert_eq!(config, example.config, "{line} is said to be the default");
        }
        tried += 1;
    }
    assert!(tried > 25, "{tried}");
}

#[test]
fn what_is_not_utf8_is_told_with_its_place() {
    let mut text = plain().into_bytes();
    text.extend(b"# gr\xfc\xdfe\n");
    assert_eq!(
        told(&text),
        "haagent.toml:12:5: the file is not UTF-8 from here on\n   12 | # gr\n      |     ^\n  mend: save the file as UTF-8\n"
    );
}

#[test]
fn a_mark_at_the_beginning_and_windows_lines_are_fine() {
    let text = format!("\u{feff}{}", plain().replace('\n', "\r\n"));
    assert_eq!(loaded(&text).config, loaded(&plain()).config);
}

#[test]
fn a_file_that_is_not_there_or_too_long_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("haagent.toml");
    let shown = path.display();
    let mend = "  mend: haagent config example prints a file to begin with\n";
    let expected = format!("{shown}: it cannot be read: No such file or directory (os error 2)\n{mend}");
    assert_eq!(load(&path).unwrap_err().to_string(), expected);
    std::fs::write(&path, vec![b'#'; (1 << 20) + 1]).unwrap();
    assert_eq!(load(&path).unwrap_err().to_string(), format!("{shown}: it is longer than 1048576 bytes\n{mend}"));
    std::fs::write(&path, plain()).unwrap();
    assert_eq!(load(&path).unwrap().config, loaded(&plain()).config);
}

#[test]
fn a_file_made_to_hurt_is_refused_without_harm() {
    let limit = 1 << 18;
    for text in [
        "a.".repeat(limit / 2 - 2) + "a=1",
        "[".repeat(limit),
        "x=".to_owned() + &"{a.a.a=".repeat(limit / 8),
        "key={".repeat(limit / 5),
        "key='".repeat(limit / 5),
        "key=[\n".repeat(limit / 6),
        "group={".to_owned() + &(0..12_000).map(|at| format!("g{at}={{peers=7}},")).collect::<String>() + "}",
        "node={".to_owned() + &(0..12_000).map(|at| format!("g{at}=7,")).collect::<String>() + "}",
    ] {
        let problems = parse("haagent.toml", text.as_bytes()).expect_err(&text[..20]);
        assert!(problems.to_string().len() < 100_000, "{}", &text[..20]);
    }
}

#[test]
fn a_node_skips_itself_and_takes_its_own_priority() {
    let text =
        plain().replace("[[group.web.check]]", "priorities = { web-2 = 150 }\npriority = 90\n[[group.web.check]]");
    let config = loaded(&text).config;
    let facts = |host: &str, address: [u8; 4]| NodeFacts {
        host_name: host.to_owned(),
        private_address: Some(address.into()),
        droplet_id: Some(DropletId(7)),
    };
    let node = config.for_node(&facts("web-2", [10, 114, 0, 5])).unwrap();
    assert_eq!(
        (node.name.as_str(), node.address, node.droplet_id),
        ("web-2", [10, 114, 0, 5].into(), Some(DropletId(7)))
    );
    assert_eq!((node.groups[0].others.as_slice(), node.groups[0].priority.get()), (&[[10, 114, 0, 4].into()][..], 150));
    let other = config.for_node(&facts("web-1", [10, 114, 0, 4])).unwrap();
    assert_eq!(
        (other.groups[0].others.as_slice(), other.groups[0].priority.get()),
        (&[[10, 114, 0, 5].into()][..], 90)
    );

    let stranger = config.for_node(&facts("web-3", [10, 114, 0, 6])).unwrap_err();
    assert_eq!(
        stranger.to_string(),
        "this node's address 10.114.0.6 is not in `peers` of [group.web]\n  mend: list all members on all nodes, or correct node.address\n"
    );
}

#[test]
fn a_node_without_name_address_or_peers_is_told() {
    let text = plain().replace(", \"10.114.0.5\"]", "]");
    let config = loaded(&text).config;
    let facts = NodeFacts { host_name: "web 1".to_owned(), ..NodeFacts::default() };
    assert_eq!(
        config.for_node(&facts).unwrap_err().to_string(),
        "the host name \"web 1\" cannot be the name of a node\n  mend: under [node] write `name = \"web-1\"`\n\
         the metadata service at http://169.254.169.254 names no private address\n  \
         mend: under [node] write `address = \"...\"`, this host's address in the VPC\n"
    );
    let facts =
        NodeFacts { host_name: "web-1".to_owned(), private_address: Some([10, 114, 0, 4].into()), droplet_id: None };
    assert_eq!(
        config.for_node(&facts).unwrap_err().to_string(),
        "besides this node (10.114.0.4) nobody is left in `peers` of [group.web]\n  mend: list all members, this node too\n"
    );
}

#[test]
fn the_hash_is_of_what_a_group_shares() {
    let hash = |text: &str, own: [u8; 4]| {
        let facts = NodeFacts { host_name: "web".to_owned(), private_address: Some(own.into()), droplet_id: None };
        loaded(text).config.for_node(&facts).unwrap().groups[0].group.settings_hash()
    };
    let (first, second) = ([10, 114, 0, 4], [10, 114, 0, 5]);
    let expected = hash(&plain(), first);
    assert_eq!(expected, 0xbc91_8345, "it is compared between versions and must not change by itself");
    assert_eq!(hash(&plain(), second), expected, "the same file on both nodes");
    for (from, to) in [
        ("[heartbeat]", "[heartbeat]\nport = 17000\n"),
        ("[[group.web.check]]", "priority = 50\n[[group.web.check]]"),
        ("docker.running = 10", "interval = \"1000ms\"\ndocker.min = 10\ndocker.max = 10"),
    ] {
        assert_eq!(hash(&plain().replace(from, to), first), expected, "{to} is no difference of the group");
    }
    for (from, to) in [
        ("docker.running = 10", "docker.running = 9"),
        ("203.0.113.10", "203.0.113.11"),
        ("[[group.web.check]]", "preempt = true\n[[group.web.check]]"),
        ("10.114.0.5", "10.114.0.6"),
    ] {
        assert_ne!(hash(&plain().replace(from, to), first), expected, "{to} is a difference");
    }
}

const SECRET: &str = "0f1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c4b5a69788796a5b4c3d2e1f0";

/// A file with letters put in, taken out and lines turned round.
fn mutated(text: String) -> impl Strategy<Value = String> {
    let length = text.chars().count();
    let edit = (
        0..length,
        0..12_usize,
        proptest::string::string_regex("[\\[\\]{}\"'=.,#\\n a-z0-9\u{e4}\u{0}]{0,6}").unwrap(),
    );
    proptest::collection::vec(edit, 1..8).prop_map(move |edits| {
        let mut letters: Vec<char> = text.chars().collect();
        for (at, gone, put) in edits {
            let at = at.min(letters.len());
            let to = (at + gone).min(letters.len());
            letters.splice(at..to, put.chars());
        }
        letters.into_iter().collect()
    })
}

proptest! {
    #[test]
    fn any_bytes_are_judged_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = told(&bytes);
    }

    #[test]
    fn a_mutated_example_is_judged_without_panic(text in mutated(EXAMPLE.to_owned())) {
        let _ = told(text.as_bytes());
    }

    #[test]
    fn a_secret_is_never_told(
        before in mutated(HEAD.to_owned()),
        after in mutated([WEB, CHECK, CLAIM].concat()),
        key in prop_oneof![
            Just("token = \"dop_v1_"), Just("key = \""), Just("x = '"), Just("peers = [\""), Just("name = \"doo_v1_"),
            Just("old_key = \"\"\"\n"), Just("interval = "), Just("[group.web"), Just(""), Just("docker.label = \""),
        ],
        end in prop_oneof![Just("\"\n"), Just("'\n"), Just("\n"), Just("\"\"\"\n"), Just(" = 1\n"), Just("\"]\n")],
    ) {
        let text = told(format!("{before}\n{key}{SECRET}{end}{after}").as_bytes());
        prop_assert!(!text.contains(&SECRET[..16]) && !text.contains(&SECRET[40..]), "{}", text);
    }

    #[test]
    fn a_word_that_is_a_secret_by_its_key_is_never_told(
        before in mutated(HEAD.to_owned()),
        key in prop_oneof![Just("token"), Just("key"), Just("old_key"), Just("tokne"), Just("digitalocean.token")],
        end in prop_oneof![Just("\"\n"), Just("'\n"), Just("\n"), Just("\"\"\"\n")],
        begin in prop_oneof![Just("\""), Just("'"), Just(""), Just("\"\"\"\n"), Just("["), Just("{ value = \"")],
    ) {
        let text = told(format!("{before}\n{key} = {begin}Geheimnis{end}{WEB}").as_bytes());
        prop_assert!(!text.contains("Geheimnis"), "{}", text);
    }
}
