use super::*;
use crate::proto::claim::event::ClaimState;
use crate::proto::election::event::Hindrance;
use crate::proto::heartbeat::DeposedBy;
use crate::proto::ids::{Priority, Term};
use crate::view::render::tests::{deposed, drained, foreign, looks_like, no_docker, wrong_key};
use crate::view::render::{WIDTH, columns};
use crate::view::status::samples::{self, node, peer};
use crate::view::status::{GroupFacts, Presence};
use crate::view::why;

fn page(this: &str, facts: GroupFacts) -> String {
    let answers = why::why(&samples::status(this, facts));
    let text = super::why(&answers, Style { colour: false });
    for line in text.lines() {
        assert!(columns(line) <= WIDTH, "{line}");
    }
    text
}

/// web-2 heard a master once, and hears nobody now.
fn nobody_heard() -> GroupFacts {
    let mut facts = samples::backup_facts();
    (facts.master, facts.master_since, facts.master_reason) = (None, None, None);
    facts.rank = Some(0);
    facts.waiting = Some(samples::waiting(Hindrance::NoTruth, None));
    facts.peers[0].presence = Presence::Silent;
    facts.peers[0].heard_ms_ago = Some(1_900);
    facts
}

#[test]
fn a_healthy_master_says_who_would_follow_it_and_when() {
    looks_like(&page("web-1", samples::master_facts()), include_str!("../pages/why-master.txt"));
}

#[test]
fn a_healthy_backup_says_whom_it_waits_for() {
    looks_like(&page("web-2", samples::backup_facts()), include_str!("../pages/why-backup.txt"));
}

#[test]
fn a_fault_names_the_check_and_since_when() {
    let mut facts = no_docker();
    facts.since = samples::ago(190);
    facts.evidence = Some("check docker could not be run: /var/run/docker.sock: permission denied".to_owned());
    looks_like(&page("web-2", facts), include_str!("../pages/why-fault.txt"));
}

#[test]
fn a_drained_standby_blocks_the_failover_until_it_is_resumed() {
    looks_like(&page("web-1", drained()), include_str!("../pages/why-drained.txt"));
}

#[test]
fn a_drained_node_says_who_drained_it() {
    let mut facts = samples::backup_facts();
    facts.state = State::Fault;
    facts.reason = "drained".to_owned();
    facts.evidence = Some("drained by an operator".to_owned());
    (facts.candidate, facts.rank, facts.since) = (false, None, samples::ago(300));
    facts.acts.push(samples::drain("web-2"));
    looks_like(&page("web-2", facts), include_str!("../pages/why-drained-here.txt"));
}

#[test]
fn a_deposed_node_says_what_ends_that() {
    let mut facts = deposed();
    facts.waiting =
        Some(samples::waiting(Hindrance::Deposed { by: DeposedBy::Member(samples::WEB2), by_word: false }, Some(48)));
    looks_like(&page("web-1", facts), include_str!("../pages/why-deposed.txt"));
}

#[test]
fn a_foreign_holder_blocks_everybody() {
    looks_like(&page("web-1", foreign()), include_str!("../pages/why-foreign.txt"));
}

#[test]
fn two_masters_that_hear_each_other_are_both_named() {
    let mut facts = samples::master_facts();
    facts.peers[0].state = Some(State::Master);
    facts.peers[0].claim = Some(ClaimState::Claiming);
    looks_like(&page("web-1", facts), include_str!("../pages/why-two-masters.txt"));
}

#[test]
fn without_a_master_it_says_so() {
    looks_like(&page("web-2", nobody_heard()), include_str!("../pages/why-no-master.txt"));
}

#[test]
fn a_node_that_starts_says_for_how_long_it_listens() {
    let mut facts = nobody_heard();
    facts.state = State::Init;
    facts.reason = words::STARTING.to_owned();
    facts.evidence = Some("the agent has just started, and listens for a master".to_owned());
    (facts.candidate, facts.rank, facts.healthy, facts.ready) = (false, None, None, None);
    facts.since = samples::ago(1);
    facts.waiting = Some(samples::waiting(Hindrance::Listening, Some(1)));
    (facts.claims[0].holder, facts.claims[0].word, facts.claims[0].verified_ms_ago) = (None, None, None);
    facts.last_move = None;
    looks_like(&page("web-2", facts), include_str!("../pages/why-init.txt"));
}

#[test]
fn a_silent_master_is_told_with_the_time_that_is_left() {
    let mut facts = nobody_heard();
    facts.waiting = Some(samples::waiting(Hindrance::Silence { master: Some(samples::WEB1) }, Some(1)));
    let page = page("web-2", facts).replace("\n            ", " ");
    assert!(page.contains("it waits until that has lasted for long enough; 1.0 s left"), "{page}");
}

#[test]
fn with_a_probe_silence_alone_is_not_enough() {
    let mut facts = samples::backup_facts();
    facts.probe = Some(samples::probe());
    let answers = why::why(&samples::status("web-2", facts.clone()));
    assert_eq!(answers.groups[0].failover.needs, ["silence", "probe"]);
    let page = page("web-2", facts).replace("\n            ", " ");
    assert!(page.contains("after its last heartbeat, if the probe is not answered either; then"), "{page}");
}

#[test]
fn a_claim_that_fails_is_shown_with_its_mend() {
    let mut facts = samples::master_facts();
    let detail = "assign: 401; put a valid token (of this team) into /etc/haagent/do-token";
    facts.claims[0].state = ClaimState::Failing;
    facts.claims[0].detail = Some(detail.to_owned());
    facts.detail = Some(detail.to_owned());
    facts.ready = Some(false);
    looks_like(&page("web-1", facts), include_str!("../pages/why-failing.txt"));
}

#[test]
fn a_peer_with_another_key_is_told_with_its_mend() {
    looks_like(&page("web-1", wrong_key()), include_str!("../pages/why-wrong-key.txt"));
}

#[test]
fn several_standbys_go_in_the_order_of_their_ranks() {
    let mut facts = samples::master_facts();
    let mut third = peer("web-3", 6, State::Backup);
    let mut fourth = peer("web-4", 7, State::Backup);
    third.priority = Priority::new(150);
    // It goes before web-2 by its address, and could not claim: the skew of web-2 counts it all the same.
    (fourth.ready, fourth.detail) = (Some(false), Some("its token is refused".to_owned()));
    facts.peers.extend([third, fourth]);
    let page = page("web-1", facts).replace("\n            ", " ");
    assert!(page.contains("web-3 would take over, 1.5 s after its last heartbeat, then web-2 after 2 s;"), "{page}");
}

#[test]
fn a_backup_of_a_higher_priority_says_what_it_waits_for() {
    let mut facts = samples::backup_facts();
    facts.effective_priority = Priority::new(150).unwrap();
    assert!(page("web-2", facts).contains("with `preempt = true`"));
}

#[test]
fn a_reason_without_evidence_is_still_a_sentence() {
    let mut facts = samples::backup_facts();
    facts.term = Term(9);
    facts.master_reason = Some("offered".to_owned());
    let page = page("web-2", facts);
    assert!(page.contains("term 9: the master before it handed over"), "{page}");
}

#[test]
fn text_from_outside_cannot_steer_the_terminal() {
    let evil = "\x1b[2J\x1b]0;x\x07 \u{202e}gnp\r\nOK \u{9b}31m";
    let mut facts = drained();
    facts.claims[0].detail = Some(evil.to_owned());
    facts.evidence = Some(evil.to_owned());
    facts.acts[0].by = evil.to_owned();
    if let Some(last) = &mut facts.last_move {
        (last.by, last.evidence) = (Some(evil.to_owned()), Some(format!("a; {evil}")));
    }
    let page = page("web-1", facts);
    assert!(page.chars().all(|c| c == '\n' || !c.is_control()), "{page:?}");
}

#[test]
fn another_node_that_says_little_can_be_asked_itself() {
    let mut facts = samples::master_facts();
    let peer = &mut facts.peers[0];
    (peer.state, peer.candidate, peer.ready) = (Some(State::Fault), Some(false), None);
    peer.detail = Some("check docker failed: 9 of 10 running".to_owned());
    assert!(page("web-1", facts).contains("mend    to see more: haagent why (on web-2)"));
    let own = why::why(&samples::status("web-2", no_docker()));
    assert_eq!(own.groups[0].failover.blocks[0].mend, None, "this is the page where it would be seen");
    assert_eq!(own.groups[0].failover.blocks[0].node.as_deref(), Some(node("web-2").as_str()));
}

#[test]
fn a_takeover_that_an_answering_service_defers_is_not_said_to_be_possible_now() {
    let page = page("web-2", super::super::tests::deferred()).replace("\n            ", " ");
    assert!(
        page.contains("  failover  the service still answers: web-2 takes over when it no longer does\n"),
        "{page}"
    );
}
