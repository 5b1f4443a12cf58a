//! Snapshots for tests: two nodes, ten containers, one address.

use std::net::Ipv4Addr;

use super::*;
use crate::proto::claim::event::ClaimState;
use crate::proto::election::event::Hindrance;
use crate::proto::ids::{Priority, Term};
use crate::proto::time::Time;
use crate::view::words;

/// 2026-07-14 12:00:00, the moment of every sample.
pub(crate) const NOW: Stamp = Stamp::from_unix_millis(1_784_030_400_000);

pub(crate) const ADDRESS: &str = "203.0.113.10";

pub(crate) fn node(name: &str) -> NodeName {
    NodeName::new(name).unwrap()
}

pub(crate) fn ago(seconds: u64) -> Stamp {
    Stamp::from_unix_millis(NOW.unix_millis() - seconds * 1000)
}

pub(crate) fn claim(state: ClaimState, holder: Option<ClaimHolder>, word: Option<Word>) -> Claim {
    Claim {
        kind: ClaimKind::DigitalOcean,
        address: Some(ADDRESS.to_owned()),
        state,
        verified_ms_ago: word.map(|_| 400),
        holder,
        word,
        detail: None,
    }
}

pub(crate) fn docker() -> Check {
    Check {
        name: "docker".to_owned(),
        kind: "docker".to_owned(),
        ok: Some(true),
        verdict: CheckVerdict::Ok,
        since: Some(ago(266_400)),
        detail: Some("10 of 10 containers run".to_owned()),
        weight: None,
    }
}

pub(crate) fn hook(name: &str, state: HookState) -> Hook {
    Hook {
        name: name.to_owned(),
        state,
        since: Some(ago(30)),
        duration_ms: Some(1_204),
        exit_code: Some(0),
        attempts: 1,
        detail: Some("done".to_owned()),
    }
}

/// A peer that is heard and ready.
pub(crate) fn peer(name: &str, last: u8, state: State) -> Peer {
    Peer {
        node: Some(node(name)),
        address: Ipv4Addr::new(10, 114, 0, last),
        presence: Presence::Heard,
        state: Some(state),
        priority: Priority::new(100),
        term: Some(Term(7)),
        claim: Some(if state == State::Master { ClaimState::Held } else { ClaimState::Idle }),
        witness: false,
        candidate: Some(true),
        healthy: Some(true),
        heard_ms_ago: Some(212),
        hears_us: Some(true),
        loss: Some(0.0),
        loss_of: Some(100),
        rtt_us: Some(412),
        ready: Some(true),
        detail: None,
        version: Some("0.1.0".to_owned()),
        config_ok: Some(true),
        reach: Some(Reach::Reachable),
        key_differs: false,
        other_protocol: None,
        same_name: false,
        rejected: Rejected::default(),
    }
}

pub(crate) fn last_move() -> Move {
    Move {
        kind: MoveKind::Failover,
        from: Some(node("web-2")),
        to: Some(node("web-1")),
        reason: "silent".to_owned(),
        evidence: Some("web-2 fell silent; last heard 1.5 s before; rank 0".to_owned()),
        term: Term(7),
        by: None,
        at: ago(266_400),
        phases_ms: Phases {
            last_heartbeat: Some(0),
            detected: Some(500),
            decided: Some(1_501),
            promoted: Some(1_501),
            assign_sent: Some(1_504),
            action_completed: Some(2_316),
            verified: Some(2_340),
        },
    }
}

pub(crate) fn drain(name: &str) -> Act {
    Act {
        kind: ActKind::Drain,
        node: Some(node(name)),
        by: "ben (sudo)".to_owned(),
        reason: Some("kernel update".to_owned()),
        until: Some(Stamp::from_unix_millis(NOW.unix_millis() + 3_300_000)),
        since: ago(300),
    }
}

/// web-1 is master and holds the address, web-2 is ready.
pub(crate) fn master_facts() -> GroupFacts {
    GroupFacts {
        name: GroupName::new("web").unwrap(),
        state: State::Master,
        reason: "silent".to_owned(),
        evidence: Some("web-2 fell silent; last heard 1.5 s before; rank 0".to_owned()),
        term: Term(7),
        priority: Priority::DEFAULT,
        effective_priority: Priority::DEFAULT,
        rank: Some(0),
        since: ago(266_400),
        master: Some(node("web-1")),
        master_since: Some(ago(266_400)),
        master_reason: Some("silent".to_owned()),
        witness: false,
        deposed: false,
        candidate: true,
        healthy: Some(true),
        ready: Some(true),
        detail: None,
        reach: Some(Reach::Reachable),
        waiting: None,
        claims: vec![claim(ClaimState::Held, Some(ClaimHolder::Node(node("web-1"))), Some(Word::Metadata))],
        checks: vec![docker()],
        hooks: Vec::new(),
        probe: None,
        peers: vec![peer("web-2", 5, State::Backup)],
        acts: Vec::new(),
        last_move: Some(last_move()),
    }
}

/// One that is answered, at rest.
pub(crate) fn probe() -> Probe {
    Probe {
        target: "http://203.0.113.10/health".to_owned(),
        answered: Some(true),
        since: Some(ago(200_000)),
        detail: Some("200 OK".to_owned()),
        probing: false,
        defers: false,
    }
}

/// What a node waits for, for so many seconds more.
pub(crate) fn waiting(hindrance: Hindrance, seconds: Option<u64>) -> Waiting {
    Waiting {
        kind: words::hindrance(&hindrance).to_owned(),
        what: words::waits(&hindrance, Time::from_millis(10_000), |address| {
            if address == WEB1 { "web-1".to_owned() } else { "web-2".to_owned() }
        }),
        until: seconds.map(|seconds| Stamp::from_unix_millis(NOW.unix_millis() + seconds * 1000)),
    }
}

/// The nodes, as the election calls them.
pub(crate) const WEB1: Ipv4Addr = Ipv4Addr::new(10, 114, 0, 4);
pub(crate) const WEB2: Ipv4Addr = Ipv4Addr::new(10, 114, 0, 5);

/// The same moment, as web-2 sees it.
pub(crate) fn backup_facts() -> GroupFacts {
    GroupFacts {
        state: State::Backup,
        reason: "listened".to_owned(),
        evidence: Some("it had just started, and heard web-1 as master".to_owned()),
        rank: Some(1),
        since: ago(200_000),
        waiting: Some(waiting(Hindrance::MasterHeard { master: WEB1 }, None)),
        claims: vec![claim(ClaimState::Idle, Some(ClaimHolder::Node(node("web-1"))), Some(Word::Peer))],
        peers: vec![peer("web-1", 4, State::Master)],
        ..master_facts()
    }
}

pub(crate) fn status(this: &str, facts: GroupFacts) -> Status {
    let this = node(this);
    Status {
        at: NOW,
        node_id: this.id().to_string(),
        address: if this.as_str() == "web-1" { WEB1 } else { WEB2 },
        interval_ms: 500,
        version: "0.1.0".to_owned(),
        started: ago(270_000),
        uptime_ms: 270_000_000,
        scheduling: "SCHED_RR 10, memory locked".to_owned(),
        config: ConfigState {
            file: "/etc/haagent/haagent.toml".to_owned(),
            hash: "9f2c41aa".to_owned(),
            loaded: ago(270_000),
            error: None,
            refused_since: None,
            restart_needed: Vec::new(),
        },
        log_lines_dropped: 0,
        warnings: Vec::new(),
        groups: vec![Group::new(&this, facts)],
        node: this,
    }
}

/// Everything that can be known is known, and every list has something in it.
pub(crate) fn full() -> Status {
    let mut facts = master_facts();
    facts.detail = Some("the token expires soon".to_owned());
    facts.waiting = Some(waiting(Hindrance::Silence { master: Some(WEB1) }, Some(1)));
    facts.claims[0].detail = Some("429: the API asks for patience".to_owned());
    facts.checks[0].weight = Some(-20);
    facts.hooks.push(hook("on_master", HookState::Ok));
    facts.probe = Some(probe());
    facts.acts.push(drain("web-2"));
    facts.peers[0].detail = Some("drained".to_owned());
    facts.peers[0].other_protocol = Some(2);
    if let Some(last) = &mut facts.last_move {
        last.by = Some("ben".to_owned());
    }
    let mut status = status("web-1", facts);
    status.config.error = Some("line 3: unknown key".to_owned());
    status.config.refused_since = Some(ago(20));
    status.config.restart_needed.push("heartbeat.port (17112 -> 17113)".to_owned());
    // No group can have both; a failover that is blocked has no successor.
    status.groups[0].verdict.successors.push("web-3".to_owned());
    status.warnings.push("the clock is not synchronised".to_owned());
    status
}
