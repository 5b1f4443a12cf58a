use std::fs::{self, Permissions};
use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt;

use super::*;

const KEY: &str = "0f1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c4b5a69788796a5b4c3d2e1f0";
const OTHER_KEY: &str = "ffff2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c4b5a69788796a5b4c3d2ffff";

/// A folder with a configuration and its secrets, and an agent that runs with it.
struct Host {
    folder: tempfile::TempDir,
    running: Config,
    secrets: Secrets,
}

impl Host {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        write(&folder.path().join("token"), "dop_v1_geheim");
        write(&folder.path().join("key"), KEY);
        let text = text(folder.path());
        write(&folder.path().join("haagent.toml"), &text);
        let loaded = config::load(&folder.path().join("haagent.toml")).unwrap();
        let secrets = loaded.read_secrets("").unwrap();
        Self { folder, running: loaded.config, secrets }
    }

    fn change(&self, from: &str, to: &str) {
        let text = text(self.folder.path());
        assert!(text.contains(from), "{from}");
        self.secret("haagent.toml", &text.replace(from, to));
    }

    fn secret(&self, name: &str, text: &str) {
        write(&self.folder.path().join(name), text);
    }

    fn prepare(&self) -> Result<Prepared, Refused> {
        prepare(Basis {
            file: self.folder.path().join("haagent.toml"),
            running: self.running.clone(),
            secrets: self.secrets.clone(),
            resolver: Resolver::default(),
            facts: NodeFacts {
                host_name: "web-1".to_owned(),
                private_address: Some(Ipv4Addr::new(10, 0, 0, 4)),
                droplet_id: None,
            },
        })
    }

    fn told(&self) -> (String, bool, bool) {
        let prepared = self.prepare().unwrap_or_else(|refused| panic!("{refused}"));
        (prepared.told().summary(), prepared.client.is_some(), prepared.other_keys)
    }

    /// What is said of a refused file, the folder left out.
    fn refused(&self) -> Vec<String> {
        let refused = self.prepare().expect_err("it is refused");
        assert!(refused.is_about_the_file());
        let here = self.folder.path().display().to_string();
        let lines: Vec<String> = refused.lines().iter().map(|line| line.replace(&here, ".")).collect();
        assert!(!format!("{lines:?}{refused:?}").contains("geheim"));
        lines
    }
}

fn write(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, Permissions::from_mode(0o600)).unwrap();
}

fn text(folder: &Path) -> String {
    let here = folder.display();
    format!(
        r#"
[node]
name = "web-1"
[digitalocean]
token.file = "{here}/token"
[heartbeat]
key.file = "{here}/key"
[group.web]
peers = ["10.0.0.4", "10.0.0.5"]
[[group.web.check]]
docker.running = 10
docker.label = "app=web"
[[group.web.claim]]
digitalocean.reserved_ip = "203.0.113.10"
"#
    )
}

#[test]
fn the_same_file_changes_nothing_and_another_secret_in_it_is_told_without_it() {
    let host = Host::new();
    assert_eq!(host.told(), ("nothing changed".to_owned(), false, false));
    host.secret("token", "dop_v1_geheimer");
    assert_eq!(host.told(), ("applied: digitalocean.token another secret".to_owned(), true, false));
    host.secret("key", OTHER_KEY);
    let both = "applied: heartbeat.key another secret; digitalocean.token another secret";
    assert_eq!(host.told(), (both.to_owned(), true, true));
}

#[test]
fn what_is_live_and_what_waits_are_told_apart() {
    let host = Host::new();
    host.change("docker.running = 10", "docker.running = 9");
    assert_eq!(host.told(), ("applied: group.web.check docker.running 10 -> 9".to_owned(), false, false));
    host.change("[heartbeat]", "timeout = \"4s\"\n[heartbeat]\nport = 17113");
    let said = "applied: digitalocean.timeout \"5s\" -> \"4s\"; restart needed: heartbeat.port (17112 -> 17113)";
    assert_eq!(host.told(), (said.to_owned(), true, false));
    host.change("key.file", "insecure = true #");
    let said = "restart needed: heartbeat.insecure (false -> true)";
    assert_eq!(host.told(), (said.to_owned(), false, false), "the keys go on");
}

#[test]
fn a_file_that_the_agent_would_not_start_with_is_refused_with_every_reason() {
    let host = Host::new();
    host.change("docker.running = 10", "docker.runing = 10\nfall = 0");
    let lines = host.refused();
    assert!(lines[0].starts_with("./haagent.toml:11:8: unknown key `runing`"), "{lines:#?}");
    assert!(lines.iter().any(|line| line.contains("haagent.toml:12:")), "{lines:#?}");
    // A secret that cannot be read, at the key that names it.
    host.change("token\"", "nosuch\"");
    assert_eq!(
        host.refused()[0],
        "./haagent.toml:5:1: ./nosuch: it cannot be read: No such file or directory (os error 2)"
    );
    // A node that would be no member.
    host.change("\"10.0.0.4\", \"10.0.0.5\"", "\"10.0.0.5\", \"10.0.0.6\"");
    assert!(host.refused()[0].starts_with("this node's address 10.0.0.4 is not in `peers`"));
    // Keys that wait for a restart must be good for it too.
    host.change("[heartbeat]", "ca_file = \"/nosuch/ca.pem\"\n[heartbeat]");
    assert!(host.refused()[0].contains("/nosuch/ca.pem"), "{:?}", host.refused());
    fs::remove_file(host.folder.path().join("haagent.toml")).unwrap();
    assert!(host.refused()[0].starts_with("./haagent.toml: it cannot be read"));
}

#[test]
fn status_names_the_first_problem_and_what_follows() {
    let host = Host::new();
    host.change("docker.running = 10", "docker.runing = 10");
    let text = host.prepare().err().unwrap().to_status();
    assert!(text.contains("haagent.toml:11:8: unknown key `runing`"), "{text}");
    assert!(text.contains("exit code 78") && text.contains("haagent config check"), "{text}");
    assert!(!text.contains('\n'));
}

impl Reading {
    /// One whose thread is the test.
    pub(in crate::agent) fn of_a_test(until: Time) -> (oneshot::Sender<Result<Box<Prepared>, Refused>>, Self) {
        let (done, outcome) = oneshot::channel();
        (done, Self { outcome, until })
    }
}

#[tokio::test]
async fn a_disk_that_hangs_costs_the_reload_and_is_noticed_until_it_goes_on() {
    let (done, mut reading) = Reading::of_a_test(clock::now());
    assert!(matches!(reading.ended().await, Err(Refused::Hangs)));
    assert!(reading.hangs());
    let host = Host::new();
    done.send(host.prepare().map(Box::new)).unwrap();
    assert!(!reading.hangs());
    assert!(!Refused::Busy.is_about_the_file() && matches!(Refused::Busy.answer(), Response::Refused(_)));
}
