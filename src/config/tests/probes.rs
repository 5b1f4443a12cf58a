//! `probe`: what is refused, what is warned of, and what it means.

use super::*;
use crate::config::types::{Probe, ProbeTarget};

/// A file whose group has these lines about its probe.
fn with(lines: &str) -> String {
    [HEAD, WEB, lines, "\n", CHECK, CLAIM].concat()
}

fn meant(lines: &str) -> Probe {
    loaded(&with(lines)).config.groups.remove(0).probe.unwrap()
}

#[test]
fn a_probe_is_a_url_or_a_port_and_a_time() {
    assert_eq!(loaded(&plain()).config.groups[0].probe, None);
    let http = meant(r#"probe.http = "http://203.0.113.10/health""#);
    assert_eq!((http.target.to_string().as_str(), http.timeout), ("http://203.0.113.10/health", Probe::TIMEOUT));
    let tcp = meant(r#"probe = { tcp = "203.0.113.10:5432", timeout = "1s" }"#);
    assert_eq!((tcp.target.to_string().as_str(), tcp.timeout), ("tcp 203.0.113.10:5432", Duration::from_secs(1)));
    assert!(matches!(tcp.target, ProbeTarget::Tcp(_)));
}

#[test]
fn what_is_in_force_means_the_same_when_it_is_read_again() {
    let text = with("probe = { tcp = \"203.0.113.10:5432\", timeout = \"1s\" }");
    let settings = loaded(&text).config.settings();
    let written = |key: &str| settings.iter().find(|setting| setting.key == key).unwrap().value.to_string();
    let again = format!("probe.tcp = {}\nprobe.timeout = {}", written("probe.tcp"), written("probe.timeout"));
    assert_eq!(loaded(&with(&again)).config, loaded(&text).config);
}

#[test]
fn what_cannot_be_asked_is_refused_with_a_mend() {
    for (lines, message, mend) in [
        (
            r#"probe = { http = "http://203.0.113.10/", tcp = "203.0.113.10:80" }"#,
            "`probe` says both `http` and `tcp`: it asks in one way",
            "leave one",
        ),
        (
            r#"probe.timeout = "1s""#,
            "`probe` does not say what to ask",
            "write `probe.http = \"http://203.0.113.10/health\"` or `probe.tcp = \"203.0.113.10:80\"`",
        ),
        (
            r#"probe = "http://203.0.113.10/""#,
            "`probe` must be a table, not a text",
            "write `probe.http = ...`, `probe.tcp = ...` or `probe.timeout = ...`",
        ),
        (
            r#"probe.http = "http:///health""#,
            "`probe.http` is no URL that can be asked: its host is no name and no address",
            "write `http://HOST/PATH` or `https://HOST/PATH`",
        ),
        (
            r#"probe.http = "203.0.113.10/health""#,
            "`probe.http` is no URL that can be asked: it must begin with http:// or https://",
            "write `http://HOST/PATH` or `https://HOST/PATH`",
        ),
        (
            r#"probe.tcp = "203.0.113.10""#,
            "\"203.0.113.10\" in `probe.tcp` is no HOST:PORT: its port is no number from 1 to 65535",
            "write the reserved IP and a port: \"203.0.113.10:80\"",
        ),
        (
            r#"probe.http = "http://10.114.0.4/health""#,
            "the probe asks 10.114.0.4, and [group.web] claims 203.0.113.10",
            "ask through the claimed address: an answer by another one says nothing of who serves it",
        ),
        (
            r#"probe.tcp = "[2001:db8::1]:80""#,
            "the probe asks 2001:db8::1, and [group.web] claims 203.0.113.10",
            "ask through the claimed address: an answer by another one says nothing of who serves it",
        ),
        (
            r#"probe = { tcp = "203.0.113.10:80", timeout = "10ms" }"#,
            "`timeout` = \"10ms\" is out of range",
            "write a duration from \"100ms\" to \"2s\"",
        ),
        (r#"probe.htpp = "http://203.0.113.10/""#, "unknown key `htpp` in `probe`", "did you mean `http`?"),
        (
            r#"probe = { http = "http://203.0.113.10/", url = 1 }"#,
            "unknown key `url` in `probe`",
            "known here: `http`, `tcp` or `timeout`",
        ),
    ] {
        let problems = parse("haagent.toml", with(lines).as_bytes()).expect_err(lines);
        let text = problems.to_string();
        assert_eq!(problems.count(Severity::Error), 1, "{text}");
        assert!(text.contains("haagent.toml:7:"), "{text}");
        assert!(text.contains(message) && text.contains(mend), "{text}");
    }
}

#[test]
fn a_name_is_used_and_warned_of() {
    let loaded = loaded(&with(r#"probe.http = "https://www.example.com/health""#));
    assert_eq!(
        loaded.warnings.to_string(),
        r#"haagent.toml:7:14: warning: the probe asks a name: "www.example.com" must lead to 203.0.113.10, and to nothing else, also when a name server fails
    7 | probe.http = "https://www.example.com/health"
      |              ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  mend: write the address, or put the name into /etc/hosts
"#
    );
    assert_eq!(loaded.config.groups[0].probe.as_ref().unwrap().target.host(), "www.example.com");
}

#[test]
fn a_probe_is_a_setting_of_the_whole_group() {
    let hash = |text: &str| loaded(text).config.groups[0].settings_hash();
    let http = with(r#"probe.http = "http://203.0.113.10/""#);
    let slow = with("probe = { http = \"http://203.0.113.10/\", timeout = \"1s\" }");
    let hashes = [hash(&plain()), hash(&http), hash(&slow)];
    assert!(hashes[0] != hashes[1] && hashes[1] != hashes[2] && hashes[0] != hashes[2], "{hashes:?}");
}
