use super::*;
use crate::proto::election::event::Hindrance;
use crate::proto::heartbeat::DeposedBy;
use crate::proto::ids::{DropletId, Priority};
use crate::proto::time::Time;
use crate::view::status::samples::{self, node};
use crate::view::status::{CheckVerdict, Word};

fn page(this: &str, facts: GroupFacts) -> String {
    let text = status(&samples::status(this, facts), Style { colour: false });
    for line in text.lines() {
        assert!(line.chars().count() <= WIDTH, "{line}");
    }
    text
}

pub(super) fn drained() -> GroupFacts {
    let mut facts = samples::master_facts();
    facts.acts.push(samples::drain("web-2"));
    facts.peers[0].state = Some(State::Fault);
    facts.peers[0].candidate = Some(false);
    facts.peers[0].ready = Some(false);
    facts.peers[0].detail = Some("drained".to_owned());
    facts
}

pub(super) fn foreign() -> GroupFacts {
    let mut facts = samples::master_facts();
    facts.state = State::Backup;
    facts.reason = "foreign".to_owned();
    facts.evidence = Some("droplet 4711, no member, holds the address".to_owned());
    facts.master = None;
    facts.master_since = None;
    facts.master_reason = None;
    facts.waiting = Some(samples::waiting(Hindrance::Foreign { droplet: DropletId(4711) }, None));
    facts.last_move = None;
    facts.claims = vec![samples::claim(ClaimState::Idle, Some(ClaimHolder::Droplet(DropletId(4711))), Some(Word::Api))];
    facts
}

pub(super) fn deposed() -> GroupFacts {
    let mut facts = foreign();
    facts.deposed = true;
    facts.reason = "deposed".to_owned();
    facts.evidence = Some("the address went to web-2, which is not heard".to_owned());
    let by = DeposedBy::Member(samples::WEB2);
    facts.waiting = Some(samples::waiting(Hindrance::Deposed { by, by_word: false }, Some(53)));
    facts.claims[0].holder = Some(ClaimHolder::Node(node("web-2")));
    facts.peers[0].presence = Presence::Silent;
    facts.peers[0].heard_ms_ago = Some(12_300);
    facts
}

pub(super) fn deferred() -> GroupFacts {
    let mut facts = samples::backup_facts();
    (facts.master, facts.master_since, facts.master_reason, facts.last_move) = (None, None, None, None);
    facts.peers[0].presence = Presence::Silent;
    facts.peers[0].heard_ms_ago = Some(12_300);
    facts.claims[0].word = Some(Word::Api);
    facts.waiting = Some(samples::waiting(Hindrance::ProbeAnswers { answered: Some(Time::from_millis(9_900)) }, None));
    facts.probe = Some(Probe { probing: true, defers: true, ..samples::probe() });
    facts
}

pub(super) fn wrong_key() -> GroupFacts {
    let mut facts = samples::master_facts();
    facts.last_move = None;
    let peer = &mut facts.peers[0];
    (peer.node, peer.state, peer.priority, peer.term, peer.claim) = (None, None, None, None, None);
    (peer.candidate, peer.healthy, peer.heard_ms_ago, peer.hears_us) = (None, None, None, None);
    (peer.loss, peer.rtt_us, peer.ready, peer.version, peer.config_ok, peer.reach) =
        (None, None, None, None, None, None);
    peer.presence = Presence::Never;
    peer.key_differs = true;
    peer.rejected.wrong_key = 400;
    facts
}

pub(super) fn no_docker() -> GroupFacts {
    let mut facts = samples::backup_facts();
    facts.last_move = None;
    facts.state = State::Fault;
    facts.waiting = Some(samples::waiting(Hindrance::MasterHeard { master: samples::WEB1 }, None));
    facts.reason = "check-failed".to_owned();
    facts.candidate = false;
    facts.healthy = Some(false);
    facts.ready = Some(false);
    facts.rank = None;
    facts.effective_priority = Priority::new(80).unwrap();
    facts.checks[0].ok = Some(false);
    facts.checks[0].verdict = CheckVerdict::CouldNotRun;
    facts.checks[0].since = Some(samples::ago(190));
    facts.checks[0].detail = Some(
        "/var/run/docker.sock: permission denied; add the agent's user to the group docker (it equals root)".to_owned(),
    );
    facts
}

/// A page that looks different on purpose is copied from the failure.
pub(super) fn looks_like(page: &str, expected: &str) {
    assert!(page == expected, "the page is now:\n{page}");
}

#[test]
fn a_healthy_master() {
    looks_like(&page("web-1", samples::master_facts()), include_str!("pages/master.txt"));
}

#[test]
fn a_healthy_backup_answers_for_the_whole_group() {
    looks_like(&page("web-2", samples::backup_facts()), include_str!("pages/backup.txt"));
}

#[test]
fn a_drain_is_shown_with_author_reason_and_end_and_is_no_fault() {
    looks_like(&page("web-1", drained()), include_str!("pages/drained.txt"));
}

#[test]
fn a_foreign_holder_is_critical_and_named() {
    looks_like(&page("web-1", foreign()), include_str!("pages/foreign.txt"));
}

#[test]
fn a_deposed_node_says_whose_word_it_goes_by() {
    looks_like(&page("web-1", deposed()), include_str!("pages/deposed.txt"));
}

#[test]
fn a_takeover_that_an_answering_service_defers_is_said_where_one_looks_first() {
    looks_like(&page("web-2", deferred()), include_str!("pages/deferred.txt"));
}

#[test]
fn a_peer_with_another_key_is_not_called_silent() {
    looks_like(&page("web-1", wrong_key()), include_str!("pages/wrong-key.txt"));
}

#[test]
fn a_check_that_could_not_be_run_says_why_and_what_mends_it() {
    looks_like(&page("web-2", no_docker()), include_str!("pages/could-not-run.txt"));
}

#[test]
fn a_hook_says_how_it_ended_and_its_last_word() {
    let mut facts = samples::master_facts();
    facts.last_move = None;
    let detail = Some("the replica lags 40 MB behind".to_owned());
    facts.hooks = vec![
        Hook { exit_code: Some(3), attempts: 4, detail, ..samples::hook("promote", HookState::Failed) },
        Hook {
            since: None,
            duration_ms: None,
            exit_code: None,
            attempts: 0,
            detail: None,
            ..samples::hook("on_master", HookState::Idle)
        },
        samples::hook("on_backup", HookState::Ok),
        samples::hook("on_fault", HookState::Running),
    ];
    looks_like(&page("web-1", facts), include_str!("pages/hooks.txt"));
}

#[test]
fn what_a_silent_peer_said_before_is_not_shown() {
    let mut facts = samples::master_facts();
    facts.peers[0].presence = Presence::Silent;
    facts.peers[0].heard_ms_ago = Some(75_000);
    let page = page("web-1", facts);
    let line = page.lines().find(|line| line.trim_start().starts_with("web-2")).unwrap();
    assert_eq!(line.trim(), "web-2  ?        SILENT for 1 min 15 s");
}

#[test]
fn colour_stands_beside_a_word_and_takes_no_room() {
    let mut facts = wrong_key();
    facts.checks[0].ok = Some(false);
    facts.checks[0].verdict = CheckVerdict::TimedOut;
    for facts in [facts, foreign(), no_docker(), drained()] {
        let snapshot = samples::status("web-1", facts);
        let coloured = status(&snapshot, Style { colour: true });
        assert!(coloured.contains("\x1b[31m"));
        let mut bare = coloured;
        for code in ["\x1b[0m", "\x1b[1m", "\x1b[31m", "\x1b[32m", "\x1b[33m"] {
            bare = bare.replace(code, "");
        }
        assert_eq!(bare, status(&snapshot, Style { colour: false }), "without its colours the page is the plain one");
    }
}

#[test]
fn text_from_outside_cannot_steer_the_terminal() {
    let evil = "\x1b[2J\x1b]0;x\x07 \u{202e}gnp\r\nOK \u{9b}31m";
    let mut facts = drained();
    facts.peers[0].detail = Some(evil.to_owned());
    facts.peers[0].version = Some(evil.to_owned());
    facts.acts[0].reason = Some(evil.to_owned());
    facts.acts[0].by = evil.to_owned();
    facts.checks[0].detail = Some(evil.to_owned());
    facts.claims[0].detail = Some(evil.to_owned());
    let page = page("web-1", facts);
    assert!(page.chars().all(|c| c == '\n' || !c.is_control()), "{page:?}");
    assert!(!page.contains('\u{202e}'));
}

#[test]
fn a_word_longer_than_the_line_is_not_lost() {
    let mut facts = samples::master_facts();
    facts.checks[0].detail = Some("x".repeat(200));
    let text = status(&samples::status("web-1", facts), Style { colour: false });
    assert!(text.contains(&"x".repeat(200)));
}

#[test]
fn ages_have_units_and_two_digits_of_meaning() {
    for (ms, words) in [
        (0, "0.0 s"),
        (412, "0.4 s"),
        (9_990, "9.9 s"),
        (42_000, "42 s"),
        (60_000, "1 min"),
        (190_000, "3 min 10 s"),
        (3_600_000, "1 h"),
        (7_500_000, "2 h 5 min"),
        (266_400_000, "3 d 2 h"),
    ] {
        assert_eq!(age(Duration::from_millis(ms)), words);
    }
    assert!(age(Duration::MAX).ends_with('h') || age(Duration::MAX).ends_with('d'));
    assert_eq!((exact(999), exact(2_340)), ("999 ms".to_owned(), "2.340 s".to_owned()));
    assert_eq!((round_trip(412), round_trip(12_049)), ("0.4\u{a0}ms".to_owned(), "12.0\u{a0}ms".to_owned()));
}

#[test]
fn a_refused_file_is_a_warning_and_what_waits_for_a_restart_is_none() {
    let mut shown = samples::status("web-1", samples::master_facts());
    let severity = shown.severity();
    shown.config.restart_needed.push("heartbeat.port (17112 -> 17113)".to_owned());
    assert_eq!(shown.severity(), severity);
    let text = status(&shown, Style { colour: false });
    let words = "restart needed: heartbeat.port (17112 -> 17113); haagent restart, then systemctl restart haagent\n";
    assert!(text.replace("\n            ", " ").contains(words), "{text}");
    shown.config.error = Some("haagent.toml:3:1: unknown key".to_owned());
    shown.config.refused_since = Some(Stamp::from_unix_millis(shown.at.unix_millis() - 20_000));
    assert_eq!(shown.severity(), severity.max(Severity::Warning));
    let text = status(&shown, Style { colour: false });
    assert!(text.contains("  warning   haagent.toml:3:1: unknown key\n"), "{text}");
    assert!(text.contains("            the file on disk is refused, for 20 s\n"), "{text}");
}

#[test]
fn a_warning_that_a_problem_of_the_group_tells_with_its_mend_is_said_once() {
    let mut shown = samples::status("web-1", wrong_key());
    shown.warnings = vec!["key differs from 10.114.0.5".to_owned(), "heartbeats left 300 ms late".to_owned()];
    let text = status(&shown, Style { colour: false });
    assert_eq!(text.matches("key differs from").count(), 1, "{text}");
    assert!(text.contains("; WARNING: 1, see below\n"), "{text}");
    assert!(text.contains("  warning   heartbeats left 300 ms late\n"), "{text}");
}

#[test]
fn a_loss_says_of_how_many() {
    let lost = |loss, of| {
        let mut facts = samples::master_facts();
        (facts.peers[0].loss, facts.peers[0].loss_of) = (Some(loss), Some(of));
        page("web-1", facts)
    };
    assert!(lost(0.34, 100).contains("  loss 34 % of the last 100"));
    assert!(lost(0.001, 20).contains("  loss 1 % of the last 20"), "some is not none");
    assert!(lost(0.0, 100).contains("  loss 0 %  "));
}

#[test]
fn what_the_holder_itself_hears_of_the_probe_alarms_nobody() {
    let probed = |this, mut facts: GroupFacts| {
        let detail = Some("connection reset".to_owned());
        facts.probe = Some(Probe { answered: Some(false), since: Some(samples::ago(9)), detail, ..samples::probe() });
        page(this, facts).replace("\n            ", " ")
    };
    let target = "probe     http://203.0.113.10/health";
    let standby = format!("{target} DOES NOT ANSWER (connection reset), for 9.0 s\n");
    assert!(probed("web-2", samples::backup_facts()).contains(&standby));
    let holder = probed("web-1", samples::master_facts());
    let said = format!("{target} does not answer from here, where it is held, which proves nothing (connection reset)");
    assert!(holder.contains(&said) && holder.contains("group web: OK"), "{holder}");
}

#[test]
fn a_request_s_number_is_for_support_and_not_for_the_screen() {
    let mut facts = samples::master_facts();
    (facts.peers[0].ready, facts.peers[0].detail) =
        (Some(false), Some("answered 401 (request 0a-1); mend it".to_owned()));
    let text = page("web-1", facts);
    assert!(text.contains("answered 401; mend it") && !text.contains("0a-1"), "{text}");
}
