use super::*;
use crate::proto::election::event::Hindrance;
use crate::proto::heartbeat::DeposedBy;
use crate::proto::ids::DropletId;
use crate::view::status::Probe;
use crate::view::status::samples::{self, backup_facts, docker, drain, master_facts, node, peer};

fn of(this: &str, facts: &GroupFacts) -> Verdict {
    judge(&node(this), facts)
}

/// The master's facts with one thing changed, judged.
fn with(change: impl FnOnce(&mut GroupFacts)) -> Verdict {
    let mut facts = master_facts();
    change(&mut facts);
    of("web-1", &facts)
}

fn says(verdict: &Verdict, words: &str) -> bool {
    verdict.concerns.iter().any(|concern| concern.contains(words))
}

#[test]
fn two_healthy_nodes_are_ok_on_both() {
    for verdict in [of("web-1", &master_facts()), of("web-2", &backup_facts())] {
        assert_eq!((verdict.served, verdict.failover_ready, verdict.severity), (Some(true), Some(true), Severity::Ok));
        assert_eq!(verdict.successors, ["web-2"]);
        assert!(verdict.blocked_by.is_empty() && verdict.concerns.is_empty(), "{verdict:?}");
    }
}

#[test]
fn who_holds_the_address_decides_whether_it_serves() {
    let held_by = |holder| with(|facts| facts.claims[0].holder = holder);
    for (holder, served, severity, words) in [
        (Some(ClaimHolder::Nobody), Some(false), Severity::Critical, "assigned to nobody"),
        (Some(ClaimHolder::Droplet(DropletId(4711))), Some(false), Severity::Critical, "held by droplet 4711"),
        (Some(ClaimHolder::Node(node("web-9"))), None, Severity::Critical, "not among the peers"),
        (None, None, Severity::Unknown, "is not known"),
        (Some(ClaimHolder::Node(node("web-2"))), Some(true), Severity::Warning, "points at web-2, and web-1 is master"),
    ] {
        let verdict = held_by(holder);
        assert_eq!((verdict.served, verdict.severity), (served, severity), "{verdict:?}");
        assert!(says(&verdict, words), "{verdict:?}");
    }
}

#[test]
fn a_holder_that_is_not_heard_is_critical_and_one_with_another_key_is_not() {
    let mut facts = backup_facts();
    for presence in [Presence::Silent, Presence::Left, Presence::Never] {
        facts.peers[0].presence = presence;
        facts.peers[0].key_differs = false;
        let verdict = of("web-2", &facts);
        assert_eq!((verdict.served, verdict.severity), (None, Severity::Critical), "{presence:?}");
        facts.peers[0].key_differs = true;
        facts.master = None;
        let verdict = of("web-2", &facts);
        assert_eq!((verdict.served, verdict.severity), (Some(true), Severity::Warning), "{presence:?} {verdict:?}");
        assert!(says(&verdict, "key differs from 10.114.0.4"));
    }
}

#[test]
fn an_address_on_a_node_whose_checks_fail_does_not_serve() {
    let verdict = with(|facts| {
        facts.healthy = Some(false);
        facts.checks[0].ok = Some(false);
        facts.checks[0].verdict = CheckVerdict::Failed;
        facts.checks[0].detail = Some("9 of 10 containers run".to_owned());
    });
    assert_eq!((verdict.served, verdict.severity), (Some(false), Severity::Critical));
    assert!(says(&verdict, "check docker failed: 9 of 10 containers run"), "{verdict:?}");

    let mut facts = backup_facts();
    facts.peers[0].healthy = Some(false);
    assert_eq!(of("web-2", &facts).served, Some(false));
}

#[test]
fn one_claim_that_does_not_serve_is_enough() {
    let verdict = with(|facts| {
        facts.claims.push(samples::claim(ClaimState::Failing, None, None));
        facts.claims.push(samples::claim(ClaimState::Failing, Some(ClaimHolder::Nobody), None));
    });
    assert_eq!((verdict.served, verdict.severity), (Some(false), Severity::Critical));
}

#[test]
fn a_group_without_claims_is_served_by_its_master() {
    assert_eq!(with(|facts| facts.claims.clear()).served, Some(true));
    let verdict = with(|facts| {
        facts.claims.clear();
        facts.master = None;
    });
    assert_eq!((verdict.served, verdict.severity), (Some(false), Severity::Critical));
}

#[test]
fn a_word_that_is_old_is_a_warning() {
    assert_eq!(with(|facts| facts.claims[0].verified_ms_ago = Some(15_000)).severity, Severity::Ok);
    let verdict = with(|facts| facts.claims[0].verified_ms_ago = Some(180_000));
    assert_eq!((verdict.served, verdict.severity), (Some(true), Severity::Warning));
    assert!(says(&verdict, "not verified for 3 min"), "{verdict:?}");
}

#[test]
fn an_old_look_at_an_address_that_nobody_holds_does_not_prove_that_it_serves() {
    let seen = |ms, word| {
        with(|facts| {
            facts.claims[0].state = ClaimState::Failing;
            facts.claims[0].word = Some(word);
            facts.claims[0].verified_ms_ago = Some(ms);
        })
    };
    assert_eq!(seen(15_000, Word::Api).served, Some(true));
    for word in [Word::Api, Word::Metadata] {
        let verdict = seen(27_000, word);
        assert_eq!((verdict.served, verdict.severity), (None, Severity::Unknown), "{verdict:?}");
        assert!(says(&verdict, "last seen at web-1 27 s ago"), "{verdict:?}");
    }
    // Its holder is heard and stands by it.
    assert_eq!(seen(27_000, Word::Peer).served, Some(true));
}

#[test]
fn what_is_mended_is_no_problem_any_more() {
    // Counters never go back; only what arrives now counts.
    assert_eq!(with(|facts| facts.peers[0].rejected.own_name = 7).severity, Severity::Ok);
    for name in ["web-2", "web-1"] {
        let verdict = with(|facts| {
            facts.peers[0].same_name = true;
            facts.peers[0].node = Some(node(name));
        });
        assert_eq!((verdict.failover_ready, verdict.concerns.len()), (Some(false), 1), "{verdict:?}");
        assert!(verdict.blocked_by[0].contains("uses this node's name"), "{verdict:?}");
    }
}

#[test]
fn what_fails_the_masters_claim_is_told_once() {
    let verdict = with(|facts| {
        facts.ready = Some(false);
        facts.detail = Some("answered 401".to_owned());
        facts.claims[0].detail = Some("answered 401".to_owned());
    });
    assert_eq!(verdict.concerns.iter().filter(|concern| concern.contains("401")).count(), 1, "{verdict:?}");
}

#[test]
fn two_that_hold_are_critical_and_two_masters_a_warning() {
    let rival = |claim| {
        with(move |facts| {
            facts.peers[0].state = Some(State::Master);
            facts.peers[0].claim = Some(claim);
        })
    };
    let two = rival(ClaimState::Held);
    assert_eq!(two.severity, Severity::Critical);
    assert!(says(&two, "two holders: web-1 and web-2"), "{two:?}");
    assert!(says(&rival(ClaimState::Claiming), "two masters: web-1 and web-2"));

    // Neither is this node.
    let mut facts = backup_facts();
    facts.peers.push(peer("web-3", 6, State::Master));
    assert!(says(&of("web-2", &facts), "two holders: web-1 and web-3"));
    // A silent one counts no more.
    facts.peers[1].presence = Presence::Silent;
    assert!(!says(&of("web-2", &facts), "two holders"));
}

#[test]
fn each_thing_that_blocks_the_only_successor_is_named_with_its_mend() {
    type Change = fn(&mut GroupFacts);
    let cases: [(Change, Option<bool>, &str); 15] = [
        (|facts| facts.peers.clear(), Some(false), "no other node could take over"),
        (|facts| facts.peers[0].presence = Presence::Silent, Some(false), "web-2 is silent for 0.2 s"),
        (|facts| facts.peers[0].presence = Presence::Left, Some(false), "systemctl start haagent"),
        (|facts| facts.peers[0].presence = Presence::Never, Some(false), "never heard"),
        (|facts| facts.peers[0].key_differs = true, Some(false), "key differs from 10.114.0.5"),
        (|facts| facts.peers[0].other_protocol = Some(2), Some(false), "upgrade haagent on this node, the older one"),
        (|facts| facts.peers[0].other_protocol = Some(0), Some(false), "upgrade haagent on web-2, the older one"),
        (|facts| facts.peers[0].hears_us = Some(false), Some(false), "does not hear this node"),
        (|facts| facts.acts.push(drain("web-2")), Some(false), "drained by ben (sudo); to end it: haagent resume"),
        (|facts| facts.peers[0].state = Some(State::Init), None, "web-2 is starting"),
        (|facts| facts.peers[0].candidate = Some(false), Some(false), "web-2 is no candidate"),
        (|facts| facts.peers[0].state = Some(State::Fault), Some(false), "web-2 is no candidate"),
        (|facts| facts.peers[0].ready = Some(false), Some(false), "web-2 could not claim"),
        (|facts| facts.peers[0].ready = None, None, "not yet proved"),
        (|facts| facts.peers[0].reach = Some(Reach::Unreachable), Some(false), "does not reach"),
    ];
    for (change, ready, words) in cases {
        let verdict = with(change);
        assert_eq!((verdict.failover_ready, verdict.severity), (ready, Severity::Warning), "{words}: {verdict:?}");
        assert!(verdict.blocked_by[0].contains(words), "{words}: {verdict:?}");
        assert_eq!(verdict.served, Some(true), "{words}");
        assert!(verdict.successors.is_empty(), "{words}");
    }
}

#[test]
fn the_same_is_told_by_the_successor_of_itself() {
    type Change = fn(&mut GroupFacts);
    let cases: [(Change, Option<bool>, &str); 6] = [
        (|facts| facts.acts.push(drain("web-2")), Some(false), "web-2 is drained"),
        (|facts| facts.state = State::Init, None, "web-2 is starting"),
        (|facts| facts.candidate = false, Some(false), "web-2 is no candidate"),
        (|facts| facts.deposed = true, Some(false), "web-2 was deposed"),
        (|facts| facts.ready = Some(false), Some(false), "web-2 could not claim"),
        (|facts| facts.reach = Some(Reach::Unreachable), Some(false), "does not reach"),
    ];
    for (change, ready, words) in cases {
        let mut facts = backup_facts();
        change(&mut facts);
        let verdict = of("web-2", &facts);
        assert_eq!((verdict.failover_ready, verdict.severity), (ready, Severity::Warning), "{words}: {verdict:?}");
        assert!(verdict.blocked_by[0].contains(words), "{words}: {verdict:?}");
    }
}

#[test]
fn a_second_successor_unblocks_and_the_first_remains_a_concern() {
    let verdict = with(|facts| {
        facts.peers[0].presence = Presence::Silent;
        facts.peers.push(peer("web-3", 6, State::Backup));
    });
    assert_eq!((verdict.failover_ready, verdict.severity), (Some(true), Severity::Warning));
    assert_eq!(verdict.successors, ["web-3"]);
    assert!(verdict.blocked_by.is_empty() && says(&verdict, "web-2 is silent"));
}

#[test]
fn a_foreign_holder_blocks_whoever_is_ready() {
    let verdict = with(|facts| facts.claims[0].holder = Some(ClaimHolder::Droplet(DropletId(7))));
    assert_eq!((verdict.failover_ready, verdict.successors.len()), (Some(false), 0));
}

#[test]
fn a_witness_is_no_successor_and_is_missed_when_it_is_gone() {
    let mut only_a_witness = master_facts();
    only_a_witness.peers[0].witness = true;
    assert_eq!(of("web-1", &only_a_witness).failover_ready, Some(false));
    only_a_witness.peers[0].presence = Presence::Silent;
    assert!(says(&of("web-1", &only_a_witness), "witness web-2 is not heard"));

    let mut on_the_witness = backup_facts();
    on_the_witness.witness = true;
    on_the_witness.peers.push(peer("web-3", 6, State::Backup));
    assert_eq!(of("web-2", &on_the_witness).successors, ["web-3"]);
}

#[test]
fn a_master_with_troubles_of_its_own_is_a_warning() {
    for (verdict, words) in [
        (with(|facts| facts.acts.push(drain("web-1"))), "web-1 is drained by ben"),
        (with(|facts| facts.ready = Some(false)), "web-1 could not claim again"),
        (with(|facts| facts.reach = Some(Reach::Unreachable)), "does not reach"),
        (with(|facts| facts.peers[0].config_ok = Some(false)), "other settings"),
        (with(|facts| facts.claims[0].detail = Some("429 for 3 min".to_owned())), "429 for 3 min"),
        (
            with(|facts| {
                let disk = Check { name: "disk".to_owned(), weight: Some(-20), ok: Some(false), ..docker() };
                facts.checks.push(disk);
            }),
            "check disk recovering",
        ),
    ] {
        assert_eq!((verdict.severity, verdict.failover_ready), (Severity::Warning, Some(true)), "{words}: {verdict:?}");
        assert!(says(&verdict, words), "{words}: {verdict:?}");
    }
}

#[test]
fn it_is_ok_exactly_where_there_is_no_concern_and_the_worst_comes_first() {
    let verdict = with(|facts| {
        facts.peers[0].config_ok = Some(false);
        facts.peers[0].ready = Some(false);
        facts.claims[0].holder = Some(ClaimHolder::Nobody);
    });
    assert!(verdict.concerns[0].contains("nobody"), "{verdict:?}");
    assert_eq!(verdict.severity == Severity::Ok, verdict.concerns.is_empty());
}

#[test]
fn wait_knows_when_a_node_has_come_so_far() {
    let (master, backup) = (master_facts(), backup_facts());
    let far = |facts: &GroupFacts| {
        [WaitFor::Healthy, WaitFor::Master, WaitFor::Backup, WaitFor::Held].map(|what| reached(what, facts))
    };
    assert_eq!(far(&master), [true, true, false, true]);
    assert_eq!(far(&backup), [true, false, true, false]);

    let mut starting = backup_facts();
    starting.state = State::Init;
    assert_eq!(far(&starting), [false; 4]);
    let mut unchecked = master_facts();
    unchecked.checks[0].ok = None;
    unchecked.checks[0].verdict = CheckVerdict::Unknown;
    unchecked.checks[0].detail = None;
    assert!(!reached(WaitFor::Healthy, &unchecked));
    assert_eq!(lacking(WaitFor::Healthy, &unchecked), "check docker has not looked yet");
    assert_eq!(lacking(WaitFor::Master, &backup), "the state is backup (listened)");
    assert_eq!(lacking(WaitFor::Held, &backup), "203.0.113.10 is idle here");
}

#[test]
fn a_master_in_trouble_with_its_claim_is_a_warning_on_the_others_too() {
    for (claim, severity) in [
        (ClaimState::Held, Severity::Ok),
        (ClaimState::Claiming, Severity::Ok),
        (ClaimState::Lost, Severity::Warning),
        (ClaimState::Failing, Severity::Warning),
    ] {
        let mut facts = backup_facts();
        facts.peers[0].claim = Some(claim);
        assert_eq!(of("web-2", &facts).severity, severity, "{claim:?}");
    }
}

#[test]
fn a_hook_of_the_present_state_that_does_not_succeed_is_a_warning_and_one_of_the_past_is_not() {
    use HookState::{Failed, Idle, Ok, Refused, Running, Timeout};
    let said = |name: &str, state, attempts| {
        with(|facts| {
            let detail = Some("no route to the channel".to_owned());
            facts.hooks = vec![Hook { exit_code: Some(3), attempts, detail, ..samples::hook(name, state) }];
        })
    };
    for state in [Failed, Timeout, Refused] {
        assert_eq!(said("on_master", state, 1).severity, Severity::Warning, "{state:?}");
        assert_eq!(said("promote", state, 1).severity, Severity::Warning, "{state:?}");
        assert_eq!(said("on_backup", state, 1).severity, Severity::Ok, "{state:?}: it is backup no more");
    }
    for state in [Idle, Running, Ok] {
        assert_eq!(said("on_master", state, 1).severity, Severity::Ok, "{state:?}");
    }
    let words =
        "hook on_master failed (exit code 3, attempt 4): no route to the channel; it is run again until it succeeds";
    assert_eq!(said("on_master", Failed, 4).concerns, [words]);
    assert_eq!(said("on_master", Running, 2).concerns, ["hook on_master failed, and runs for the 2nd time"]);
    assert_eq!(
        [1, 2, 3, 4, 11, 12, 13, 21, 103, 111].map(nth).join(" "),
        "1st 2nd 3rd 4th 11th 12th 13th 21st 103rd 111th"
    );
}

/// A backup that hears no master and asks the service.
fn probing(answered: Option<bool>) -> GroupFacts {
    let mut facts = backup_facts();
    facts.master = None;
    facts.peers[0].presence = Presence::Silent;
    facts.claims[0].word = Some(Word::Api);
    let defers = answered == Some(true);
    facts.probe = Some(Probe { answered, probing: true, defers, ..samples::probe() });
    facts
}

#[test]
fn a_silent_holder_whose_service_answers_serves_and_the_takeover_is_said_to_wait() {
    let verdict = of("web-2", &probing(Some(true)));
    assert_eq!((verdict.served, verdict.severity), (Some(true), Severity::Warning), "{verdict:?}");
    assert!(says(&verdict, "the service answers through it, so nothing is moved: mend"), "{verdict:?}");
    for answered in [Some(false), None] {
        let verdict = of("web-2", &probing(answered));
        assert_eq!((verdict.served, verdict.severity), (None, Severity::Critical), "{answered:?}");
    }
    // What answered five minutes ago, at rest, proves nothing now.
    let mut facts = probing(Some(true));
    facts.probe.as_mut().unwrap().probing = false;
    assert_eq!(of("web-2", &facts).served, None);
}

#[test]
fn a_probe_that_is_not_answered_though_all_is_well_is_a_warning_with_its_mend() {
    let mut facts = backup_facts();
    let detail = Some("connection refused".to_owned());
    facts.probe = Some(Probe { answered: Some(false), detail, ..samples::probe() });
    let verdict = of("web-2", &facts);
    assert_eq!((verdict.served, verdict.severity), (Some(true), Severity::Warning));
    assert!(
        says(
            &verdict,
            "the probe http://203.0.113.10/health does not answer (connection refused), though web-1 holds 203.0.113.10"
        ),
        "{verdict:?}"
    );
    facts.probe.as_mut().unwrap().answered = None;
    assert!(says(&of("web-2", &facts), "cannot be asked: connection refused"));
    // Not asked yet, answered, and on the holder itself: no word.
    facts.probe.as_mut().unwrap().detail = None;
    assert_eq!(of("web-2", &facts).severity, Severity::Ok);
    facts.probe = Some(samples::probe());
    assert_eq!(of("web-2", &facts).severity, Severity::Ok);
    let held = with(|facts| facts.probe = Some(Probe { answered: Some(false), ..samples::probe() }));
    assert_eq!(held.severity, Severity::Ok, "its own packets need not come back to it");
}

#[test]
fn a_failover_that_an_unreadable_holder_keeps_from_beginning_is_not_said_to_work() {
    for hindrance in [
        Hindrance::HolderBabbles { holder: samples::WEB1 },
        Hindrance::DeposerBabbles { by: DeposedBy::Member(samples::WEB1) },
    ] {
        let mut facts = probing(None);
        facts.waiting = Some(samples::waiting(hindrance, None));
        let verdict = of("web-2", &facts);
        assert_eq!(verdict.failover_ready, Some(false), "{verdict:?}");
        assert!(verdict.blocked_by[0].contains("; make the heartbeats readable"), "{verdict:?}");
    }
}

#[test]
fn a_holder_of_another_release_is_alive_and_nothing_speaks_against_its_service() {
    let mut facts = probing(None);
    facts.peers[0].other_protocol = Some(2);
    let verdict = of("web-2", &facts);
    assert_eq!((verdict.served, verdict.severity), (Some(true), Severity::Warning), "{verdict:?}");
    assert!(says(&verdict, "upgrade haagent on this node"), "{verdict:?}");
}

#[test]
fn the_failing_check_of_a_holder_elsewhere_is_named_and_so_is_the_mend() {
    let mut facts = backup_facts();
    (facts.peers[0].healthy, facts.peers[0].detail) = (Some(false), Some("check docker failed: 9 of 10".to_owned()));
    assert!(says(
        &of("web-2", &facts),
        "web-1, whose checks fail: check docker failed: 9 of 10; mend the service on web-1"
    ));
}

#[test]
fn what_keeps_a_claim_from_being_looked_at_is_told_once_and_with_it() {
    let mut facts = master_facts();
    let detail = Some("answered 429".to_owned());
    facts.claims[0] = Claim {
        state: ClaimState::Claiming,
        holder: Some(ClaimHolder::Node(node("web-2"))),
        verified_ms_ago: Some(20_000),
        detail: detail.clone(),
        ..facts.claims[0].clone()
    };
    (facts.ready, facts.detail) = (Some(false), detail);
    let verdict = of("web-1", &facts);
    assert!(says(&verdict, "was last seen at web-2 20 s ago: answered 429"), "{verdict:?}");
    assert_eq!(verdict.concerns.iter().filter(|concern| concern.contains("429")).count(), 1, "{verdict:?}");
}
