//! What the cores decide, in words: one word of a closed list for programs and
//! labels, one sentence for people. Log, status and history all take them from here.

use std::fmt::Write as _;
use std::net::Ipv4Addr;

use super::facts::{MoveKind, State};
use crate::proto::claim::event::{ClaimState, Holder, Milestone, Source};
use crate::proto::election::event::{Evidence, Hindrance, ProbeEvidence, Reason};
use crate::proto::heartbeat::{DeposedBy, HandOver};
use crate::proto::time::{Duration, Time};

/// Every word that a reason can be, those of [`reason`] and two that no core says: the list in `docs/status.md`.
#[cfg(test)]
pub(super) const REASONS: [&str; 22] = [
    STARTING,
    "listened",
    "resume",
    "holder",
    "silent",
    "masterless",
    "chance",
    "offered",
    "resigned",
    "taken",
    "handed-over",
    "duel-lost",
    "superseded",
    "deposed",
    "foreign",
    "check-failed",
    "drained",
    "recovered",
    "gap",
    "stopping",
    "brain-stale",
    REPAIRED,
];

/// Why a node is in `init` that has not been anything else yet: it has just started, and listens.
pub const STARTING: &str = "starting";

/// Why the address moved when a working master claims it again: somebody took it away.
pub const REPAIRED: &str = "repaired";

/// A state, as keepalived calls it.
#[must_use]
pub fn state(state: State) -> &'static str {
    match state {
        State::Init => "init",
        State::Backup => "backup",
        State::Master => "master",
        State::Fault => "fault",
    }
}

/// How far a claim is.
#[must_use]
pub fn claim(state: ClaimState) -> &'static str {
    match state {
        ClaimState::Idle => "idle",
        ClaimState::Claiming => "claiming",
        ClaimState::Held => "held",
        ClaimState::Lost => "lost",
        ClaimState::Failing => "failing",
    }
}

/// Why a node changed its state: one of the words in `docs/status.md`.
#[must_use]
pub fn reason(reason: &Reason) -> &'static str {
    match reason {
        Reason::Listened { .. } => "listened",
        Reason::Resume => "resume",
        Reason::Holder => "holder",
        Reason::Silent { .. } => "silent",
        Reason::Masterless { .. } => "masterless",
        Reason::Chance { .. } => "chance",
        Reason::Offered { .. } => "offered",
        Reason::Resigned { .. } => "resigned",
        Reason::Taken { .. } => "taken",
        Reason::HandedOver { .. } => "handed-over",
        Reason::DuelLost { .. } => "duel-lost",
        Reason::Superseded { .. } => "superseded",
        Reason::Deposed { .. } => "deposed",
        Reason::Foreign { .. } => "foreign",
        Reason::CheckFailed { .. } => "check-failed",
        Reason::Drained => "drained",
        Reason::Recovered => "recovered",
        Reason::Gap { .. } => "gap",
        Reason::Stopping { .. } => "stopping",
        Reason::BrainStale => "brain-stale",
    }
}

/// A reason that makes a node master, said of that node by somebody who has only the word. None for
/// one that makes no master.
#[must_use]
pub fn became_master(reason: &str) -> Option<&'static str> {
    Some(match reason {
        "resume" => "it had just started, and the address was on it",
        "holder" => "no master was heard, and the address was on it",
        "silent" => "the master before it fell silent",
        "masterless" => "there was no master, and the address was at nobody, or at one that could not keep it",
        "chance" => "it had been deposed, and the time for another try had come",
        "offered" => "the master before it handed over",
        "resigned" => "the master before it stopped, and named it",
        "taken" => "an operator took the address from a foreign droplet",
        _ => return None,
    })
}

/// The reason as a sentence, and what it rests on. `name` knows nodes by their addresses.
#[must_use]
pub fn evidence(why: &Reason, evidence: &Evidence, at: Time, name: impl Fn(Ipv4Addr) -> String) -> String {
    let mut text = sentence(why, &name);
    if let Some(heard) = evidence.last_heard.filter(|_| silence_counts(why)) {
        let _ = write!(text, "; last heard {} before", age(at.since(heard)));
    }
    if evidence.port_unreachable {
        text.push_str("; its host answers that no agent listens");
    }
    if let Some(probe) = evidence.probe.filter(|_| probe_counts(why)) {
        text.push_str(&probed(probe, at));
    }
    if let Some(look) = evidence.look.as_ref().filter(|_| truth_counts(why)) {
        let who = match look.source {
            Source::Api => "the API",
            Source::Metadata => "the metadata service",
        };
        let ago = age(at.since(look.begun));
        let _ = match told_by_sentence(why) {
            true => write!(text, "; {who} said so {ago} before"),
            false => write!(text, "; {who} said {ago} before: {}", held_by(look.holder, &name)),
        };
    }
    if let Some(rank) = evidence.rank.filter(|_| silence_counts(why)) {
        let _ = write!(text, "; rank {}", rank.0);
    }
    text
}

/// What the probes of a silence showed, as one more part of a sentence.
fn probed(probe: ProbeEvidence, at: Time) -> String {
    let answered = probe.answered.map(|answered| age(at.since(answered)));
    match (probe.failing_since, answered) {
        (Some(since), None) => format!("; the probe has failed for {}", age(at.since(since))),
        (Some(since), Some(answered)) => {
            format!("; the probe has failed for {} and answered last {answered} before", age(at.since(since)))
        }
        (None, Some(answered)) => format!("; the probe answered {answered} before"),
        (None, None) => String::new(),
    }
}

/// What keeps a node from taking over: one of the words in `docs/status.md`.
#[must_use]
pub fn hindrance(hindrance: &Hindrance) -> &'static str {
    match hindrance {
        Hindrance::Listening => "listening",
        Hindrance::Leaving => "leaving",
        Hindrance::MasterHeard { .. } => MASTER_HEARD,
        Hindrance::Late => "late",
        Hindrance::NotCandidate => NOT_CANDIDATE,
        Hindrance::CandidateHeard => "candidate-heard",
        Hindrance::Silence { .. } => "silence",
        Hindrance::Successor { .. } => "successor",
        Hindrance::HolderFirst { .. } => "holder-first",
        Hindrance::HolderBoots { .. } => "holder-boots",
        Hindrance::HolderBabbles { .. } => HOLDER_BABBLES,
        Hindrance::ProbeAnswers { .. } => PROBE_ANSWERS,
        Hindrance::ProbeIncomplete { .. } => "probe-incomplete",
        Hindrance::ProbeWithoutUplink { .. } => "probe-without-uplink",
        Hindrance::Deposed { .. } => "deposed",
        Hindrance::DeposerBabbles { .. } => DEPOSER_BABBLES,
        Hindrance::NoTruth => "no-truth",
        Hindrance::TruthUnsure => "truth-unsure",
        Hindrance::Foreign { .. } => FOREIGN,
    }
}

/// Words of [`hindrance`] that a page looks for: some of what they say stands there anyway.
pub(super) const MASTER_HEARD: &str = "master-heard";
pub(super) const NOT_CANDIDATE: &str = "not-candidate";
pub(super) const FOREIGN: &str = "foreign";
pub(super) const PROBE_ANSWERS: &str = "probe-answers";
pub(super) const HOLDER_BABBLES: &str = "holder-babbles";
pub(super) const DEPOSER_BABBLES: &str = "deposer-babbles";

/// The same as a sentence. `name` knows nodes by their addresses.
#[must_use]
pub fn waits(hindrance: &Hindrance, now: Time, name: impl Fn(Ipv4Addr) -> String) -> String {
    let ago = |at: Time| age(now.since(at));
    match hindrance {
        Hindrance::Listening => "it listens for a master before it does anything".to_owned(),
        Hindrance::Leaving => "its agent stops, or gives no sign of life".to_owned(),
        Hindrance::MasterHeard { master } => {
            format!("{} is heard as master: it waits until that one stops, hands over or falls silent", name(*master))
        }
        Hindrance::Late => "it woke late, and first reads what was sent to it meanwhile".to_owned(),
        Hindrance::NotCandidate => "it is no candidate: a check fails here, or it is drained".to_owned(),
        Hindrance::CandidateHeard => {
            "the address is here, but it is no candidate: it leaves it to one that is heard".to_owned()
        }
        Hindrance::Silence { master: Some(master) } => {
            format!("{} is silent: it waits until that has lasted for long enough", name(*master))
        }
        Hindrance::Silence { master: None } => {
            "no master is heard: it waits until that has lasted for long enough".to_owned()
        }
        Hindrance::Successor { master } => {
            format!("{} stopped, and named a successor that is heard and goes first", name(*master))
        }
        Hindrance::HolderFirst { holder } => {
            format!("the address is on {}, which is heard, is a candidate and goes first", name(*holder))
        }
        Hindrance::HolderBoots { holder } => {
            format!("this host has just booted, and {}, which has the address, may be booting too", name(*holder))
        }
        Hindrance::HolderBabbles { holder } => {
            format!("the address is on {}, whose host sends what cannot be read: it is not silent", name(*holder))
        }
        Hindrance::ProbeAnswers { answered } => {
            let last = answered.map(|at| format!(" ({} ago)", ago(at))).unwrap_or_default();
            format!("the service answers through the address{last}: a silent master that serves is not dead")
        }
        Hindrance::ProbeIncomplete { failing_since: Some(since) } => {
            format!("the probe has failed for {}: it waits until that has lasted for long enough", ago(*since))
        }
        Hindrance::ProbeIncomplete { failing_since: None } => {
            "it asks the service through the address, and no answer or failure has come yet".to_owned()
        }
        Hindrance::ProbeWithoutUplink { .. } => {
            "the probe fails, but the API does not answer this node either: it may be its own uplink".to_owned()
        }
        Hindrance::Deposed { by, by_word: false } => {
            format!("the address went to {}: it waits for its chance", deposed(*by, &name))
        }
        Hindrance::Deposed { by, by_word: true } => {
            format!("a peer says that the address went to {}: it waits for its chance", deposed(*by, &name))
        }
        Hindrance::DeposerBabbles { by } => {
            let who = deposed(*by, &name);
            format!("the address went to {who}, but its host sends what cannot be read: it is not silent")
        }
        Hindrance::NoTruth => "the provider has not yet said in this silence who has the address".to_owned(),
        Hindrance::TruthUnsure => "the provider does not say for certain who has the address".to_owned(),
        Hindrance::Foreign { droplet } => {
            format!("droplet {droplet}, no member, has the address: that is left alone")
        }
    }
}

/// A failure without the number that the provider gave the request: it is another one each time,
/// and makes of one failure that lasts a thousand.
#[must_use]
pub fn without_request_id(text: &str) -> String {
    match text.split_once(" (request ").and_then(|(before, rest)| Some((before, rest.split_once(')')?.1))) {
        Some((before, after)) => format!("{before}{after}"),
        None => text.to_owned(),
    }
}

/// A step of a claim, after the claim's address.
#[must_use]
pub fn milestone(step: Milestone) -> &'static str {
    match step {
        Milestone::Promoted => "may be claimed by this node",
        Milestone::AssignSent => "is being assigned to this node",
        Milestone::ActionCompleted => "is assigned to this node, says the provider's action",
        Milestone::Verified => "is held by this node: verified",
    }
}

/// Whether a node that became master for this reason took the address by plan.
#[must_use]
pub fn move_kind(why: &Reason) -> MoveKind {
    match why {
        Reason::Offered { cause, .. } => match cause {
            // The old master lives and hands over, but nobody planned it.
            HandOver::Fault | HandOver::ClaimFailing | HandOver::Isolated => MoveKind::Failover,
            HandOver::Drain | HandOver::Preempt | HandOver::Failover | HandOver::FollowTruth => MoveKind::Switchover,
        },
        Reason::Resigned { .. } | Reason::Taken { .. } => MoveKind::Switchover,
        Reason::Listened { .. }
        | Reason::Resume
        | Reason::Holder
        | Reason::Silent { .. }
        | Reason::Masterless { .. }
        | Reason::Chance { .. }
        | Reason::HandedOver { .. }
        | Reason::DuelLost { .. }
        | Reason::Superseded { .. }
        | Reason::Deposed { .. }
        | Reason::Foreign { .. }
        | Reason::CheckFailed { .. }
        | Reason::Drained
        | Reason::Recovered
        | Reason::Gap { .. }
        | Reason::Stopping { .. }
        | Reason::BrainStale => MoveKind::Failover,
    }
}

/// Whether the sentence itself tells where the address is.
fn told_by_sentence(why: &Reason) -> bool {
    matches!(
        why,
        Reason::Resume | Reason::Holder | Reason::Masterless { .. } | Reason::Taken { .. } | Reason::Foreign { .. }
    )
}

/// Whether the reason rests on what the cloud said. An older look beside another reason only confuses.
fn truth_counts(why: &Reason) -> bool {
    match why {
        Reason::Listened { .. }
        | Reason::Resume
        | Reason::Holder
        | Reason::Masterless { .. }
        | Reason::Chance { .. }
        | Reason::Taken { .. }
        | Reason::Superseded { .. }
        | Reason::Deposed { .. }
        | Reason::Foreign { .. } => true,
        Reason::Silent { .. }
        | Reason::Offered { .. }
        | Reason::Resigned { .. }
        | Reason::HandedOver { .. }
        | Reason::DuelLost { .. }
        | Reason::CheckFailed { .. }
        | Reason::Drained
        | Reason::Recovered
        | Reason::Gap { .. }
        | Reason::Stopping { .. }
        | Reason::BrainStale => false,
    }
}

/// Whether the reason rests on what the probes showed (rule 9).
fn probe_counts(why: &Reason) -> bool {
    let over_a_member = matches!(why, Reason::Masterless { holder: Holder::Member(_) });
    over_a_member || matches!(why, Reason::Silent { .. } | Reason::Chance { .. })
}

fn silence_counts(why: &Reason) -> bool {
    matches!(why, Reason::Silent { .. } | Reason::Masterless { .. } | Reason::Chance { .. } | Reason::Holder)
}

fn sentence(why: &Reason, name: &impl Fn(Ipv4Addr) -> String) -> String {
    match why {
        Reason::Listened { master: Some(master) } => {
            format!("it had just started, and heard {} as master", name(*master))
        }
        Reason::Listened { master: None } => "it had just started, and heard no master".to_owned(),
        Reason::Resume => "it had just started, and the address was here".to_owned(),
        Reason::Holder => "no master is heard, and the address is here".to_owned(),
        Reason::Silent { master } => format!("{} fell silent", name(*master)),
        Reason::Masterless { holder } => format!("there is no master: {}", held_by(*holder, name)),
        Reason::Chance { by } => format!("deposed by {}, and the time for another try has come", deposed(*by, name)),
        Reason::Offered { by, cause } => format!("{} offered: {}", name(*by), offered(*cause)),
        Reason::Resigned { by } => format!("{} stops and named this node", name(*by)),
        Reason::Taken { droplet } => format!("an operator takes it from droplet {droplet}, no member"),
        Reason::HandedOver { to, cause } => format!("handed over to {}: {}", name(*to), handed_over(*cause)),
        Reason::DuelLost { to } => format!("of two masters that hear each other, {} stays", name(*to)),
        Reason::Superseded { by } => format!("the address is on {}, which is master", name(*by)),
        Reason::Deposed { by } => format!("the address went to {}", deposed(*by, name)),
        Reason::Foreign { droplet } => format!("droplet {droplet}, no member, holds the address"),
        // The check's own complaint, its name in it.
        Reason::CheckFailed { check: Some(complaint) } => complaint.clone(),
        Reason::CheckFailed { check: None } => "a check failed".to_owned(),
        Reason::Drained => "drained by an operator".to_owned(),
        Reason::Recovered => "a candidate again: checks pass, and no drain is in force".to_owned(),
        Reason::Gap { millis } => format!("nothing ran here for {}", exact(*millis)),
        Reason::Stopping { successor: Some(successor) } => format!("the agent stops; {} takes over", name(*successor)),
        Reason::Stopping { successor: None } => "the agent stops and names no successor".to_owned(),
        Reason::BrainStale => "the rest of the agent gives no sign of life".to_owned(),
    }
}

/// Why a master offers, in the words of the node that takes it.
fn offered(cause: HandOver) -> &'static str {
    match cause {
        HandOver::Fault => "a check fails there",
        HandOver::Drain => "it is drained",
        HandOver::Preempt => "this node has the higher priority",
        HandOver::Failover => "an operator asked for it",
        HandOver::ClaimFailing => "its claim fails",
        HandOver::FollowTruth => "the address is here already",
        HandOver::Isolated => "it does not reach the API",
    }
}

/// The same in the words of the node that gives it away.
fn handed_over(cause: HandOver) -> &'static str {
    match cause {
        HandOver::Fault => "a check fails here",
        HandOver::Drain => "this node is drained",
        HandOver::Preempt => "it has the higher priority",
        HandOver::Failover => "an operator asked for it",
        HandOver::ClaimFailing => "the claim fails here",
        HandOver::FollowTruth => "the address is there already",
        HandOver::Isolated => "this node does not reach the API",
    }
}

fn deposed(by: DeposedBy, name: &impl Fn(Ipv4Addr) -> String) -> String {
    match by {
        DeposedBy::Member(member) => format!("{}, which is not heard", name(member)),
        DeposedBy::Unknown => "an unknown holder".to_owned(),
    }
}

fn held_by(holder: Holder, name: &impl Fn(Ipv4Addr) -> String) -> String {
    match holder {
        Holder::Mine => "the address is here".to_owned(),
        Holder::Member(member) => format!("the address is on {}", name(member)),
        Holder::Nobody => "the address is assigned to nobody".to_owned(),
        Holder::Foreign(droplet) => format!("the address is on droplet {droplet}, no member"),
        Holder::Unknown => "the holder is unknown".to_owned(),
    }
}

/// An age for people, in its two largest units: "0.4 s", "42 s", "3 min 10 s", "2 h 5 min", "3 d 2 h".
#[must_use]
pub fn age(age: Duration) -> String {
    let (seconds, tenths) = (age.as_secs(), age.subsec_millis() / 100);
    let two = |large: u64, unit: &str, small: u64, small_unit: &str| match small {
        0 => format!("{large} {unit}"),
        _ => format!("{large} {unit} {small} {small_unit}"),
    };
    match seconds {
        0..10 => format!("{seconds}.{tenths} s"),
        10..60 => format!("{seconds} s"),
        60..3_600 => two(seconds / 60, "min", seconds % 60, "s"),
        3_600..86_400 => two(seconds / 3_600, "h", seconds % 3_600 / 60, "min"),
        86_400.. => two(seconds / 86_400, "d", seconds % 86_400 / 3_600, "h"),
    }
}

/// A duration of a step: milliseconds below a second, else seconds to the millisecond.
#[must_use]
pub fn exact(ms: u64) -> String {
    if ms < 1000 { format!("{ms} ms") } else { format!("{}.{:03} s", ms / 1000, ms % 1000) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::claim::event::Look;
    use crate::proto::ids::{DropletId, Rank};

    const WEB1: Ipv4Addr = Ipv4Addr::new(10, 114, 0, 4);

    fn every_reason() -> Vec<Reason> {
        vec![
            Reason::Listened { master: None },
            Reason::Resume,
            Reason::Holder,
            Reason::Silent { master: WEB1 },
            Reason::Masterless { holder: Holder::Nobody },
            Reason::Chance { by: DeposedBy::Unknown },
            Reason::Offered { by: WEB1, cause: HandOver::Drain },
            Reason::Resigned { by: WEB1 },
            Reason::Taken { droplet: DropletId(7) },
            Reason::HandedOver { to: WEB1, cause: HandOver::Fault },
            Reason::DuelLost { to: WEB1 },
            Reason::Superseded { by: WEB1 },
            Reason::Deposed { by: DeposedBy::Member(WEB1) },
            Reason::Foreign { droplet: DropletId(7) },
            Reason::CheckFailed { check: Some("check docker failed: 9 of 10 running".to_owned()) },
            Reason::Drained,
            Reason::Recovered,
            Reason::Gap { millis: 1_500 },
            Reason::Stopping { successor: None },
            Reason::BrainStale,
        ]
    }

    #[test]
    fn the_list_of_reasons_is_complete_and_is_the_one_that_serde_writes() {
        let reasons = every_reason();
        let said: Vec<&str> = [STARTING].into_iter().chain(reasons.iter().map(reason)).chain([REPAIRED]).collect();
        assert_eq!(said, REASONS);
        for one in &reasons {
            assert_eq!(serde_json::to_value(one).unwrap()["kind"], reason(one));
        }
    }

    #[test]
    fn every_reason_that_makes_a_master_can_be_said_of_another_node() {
        let mut said: Vec<&str> = REASONS.into_iter().filter(|reason| became_master(reason).is_some()).collect();
        said.sort_unstable();
        assert_eq!(said, ["chance", "holder", "masterless", "offered", "resigned", "resume", "silent", "taken"]);
    }

    fn every_hindrance() -> Vec<Hindrance> {
        let by = DeposedBy::Member(WEB1);
        vec![
            Hindrance::Listening,
            Hindrance::Leaving,
            Hindrance::MasterHeard { master: WEB1 },
            Hindrance::Late,
            Hindrance::NotCandidate,
            Hindrance::CandidateHeard,
            Hindrance::Silence { master: None },
            Hindrance::Successor { master: WEB1 },
            Hindrance::HolderFirst { holder: WEB1 },
            Hindrance::HolderBoots { holder: WEB1 },
            Hindrance::HolderBabbles { holder: WEB1 },
            Hindrance::ProbeAnswers { answered: Some(Time::from_millis(9_800)) },
            Hindrance::ProbeIncomplete { failing_since: None },
            Hindrance::ProbeWithoutUplink { failing_since: None },
            Hindrance::Deposed { by, by_word: false },
            Hindrance::DeposerBabbles { by },
            Hindrance::NoTruth,
            Hindrance::TruthUnsure,
            Hindrance::Foreign { droplet: DropletId(7) },
        ]
    }

    #[test]
    fn whatever_a_node_waits_for_has_a_word_that_is_documented_and_a_sentence_of_its_own() {
        let all = every_hindrance();
        let words: Vec<&str> = all.iter().map(hindrance).collect();
        let page = include_str!("../../docs/status.md");
        for word in &words {
            assert!(page.contains(&format!("| `{word}` |")), "{word} is not in docs/status.md");
        }
        let said = |one: &Hindrance| waits(one, Time::from_millis(10_000), |_| "web-1".to_owned());
        let sentences: std::collections::BTreeSet<String> = all.iter().map(said).collect();
        assert_eq!(sentences.len(), words.len());
        assert_eq!(
            said(&Hindrance::ProbeAnswers { answered: Some(Time::from_millis(9_800)) }),
            "the service answers through the address (0.2 s ago): a silent master that serves is not dead"
        );
        assert_eq!(
            said(&Hindrance::Deposed { by: DeposedBy::Member(WEB1), by_word: true }),
            "a peer says that the address went to web-1, which is not heard: it waits for its chance"
        );
    }

    #[test]
    fn evidence_names_nodes_ages_and_whose_word_it_is() {
        let why = Reason::Silent { master: WEB1 };
        let at = Time::from_millis(10_000);
        let facts = Evidence {
            last_heard: Some(Time::from_millis(8_500)),
            missed: Some(Time::from_millis(9_000)),
            port_unreachable: true,
            look: Some(Look {
                source: Source::Api,
                begun: Time::from_millis(9_100),
                ended: Time::from_millis(9_200),
                holder: Holder::Member(WEB1),
                settled: true,
            }),
            rank: Some(Rank(0)),
            probe: None,
            offered_for: None,
        };
        assert_eq!(
            evidence(&why, &facts, at, |_| "web-1".to_owned()),
            "web-1 fell silent; last heard 1.5 s before; its host answers that no agent listens; rank 0"
        );
        let masterless = Reason::Masterless { holder: Holder::Member(WEB1) };
        assert_eq!(
            evidence(&masterless, &Evidence { last_heard: None, port_unreachable: false, ..facts }, at, |_| "web-1"
                .to_owned()),
            "there is no master: the address is on web-1; the API said so 0.9 s before; rank 0"
        );
        let probed = |answered, failing_since| {
            let probe = Some(ProbeEvidence { answered, failing_since });
            evidence(&why, &Evidence { probe, ..facts }, at, |_| "web-1".to_owned())
        };
        let (answered, failing) = (Some(Time::from_millis(9_300)), Some(Time::from_millis(9_400)));
        assert_eq!(
            probed(None, failing),
            "web-1 fell silent; last heard 1.5 s before; its host answers that no agent listens; \
             the probe has failed for 0.6 s; rank 0"
        );
        assert!(probed(answered, failing).contains("; the probe has failed for 0.6 s and answered last 0.7 s before;"));
        assert!(!probed(None, None).contains("probe"));
        let drained = evidence(&Reason::Drained, &Evidence { look: None, ..facts }, at, |_| String::new());
        assert!(!drained.contains("last heard"), "{drained}");
    }

    #[test]
    fn each_side_of_a_hand_over_speaks_of_itself_as_this_node() {
        let said = |why: Reason| evidence(&why, &Evidence::default(), Time::ORIGIN, |_| "web-1".to_owned());
        for (cause, taker, giver) in [
            (HandOver::Fault, "web-1 offered: a check fails there", "handed over to web-1: a check fails here"),
            (HandOver::Drain, "web-1 offered: it is drained", "handed over to web-1: this node is drained"),
            (HandOver::FollowTruth, "web-1 offered: the address is here already", "the address is there already"),
        ] {
            assert_eq!(said(Reason::Offered { by: WEB1, cause }), taker);
            assert!(said(Reason::HandedOver { to: WEB1, cause }).ends_with(giver), "{cause:?}");
        }
    }

    #[test]
    fn a_failure_that_lasts_reads_the_same_each_time() {
        for (text, expected) in [
            ("answered 500 \"error\" (request 0a-1)", "answered 500 \"error\""),
            (
                "answered 401 (request 0a-1); put a valid token (of this team) there",
                "answered 401; put a valid token (of this team) there",
            ),
            ("no connection (request", "no connection (request"),
        ] {
            assert_eq!(without_request_id(text), expected);
        }
    }

    #[test]
    fn a_failed_check_is_named_once() {
        let why = Reason::CheckFailed { check: Some("check docker timed out: no answer within 2s".to_owned()) };
        let said = evidence(&why, &Evidence::default(), Time::ORIGIN, |_| String::new());
        assert_eq!(said, "check docker timed out: no answer within 2s");
    }

    #[test]
    fn what_an_operator_asked_for_is_a_switchover_and_what_a_fault_forced_is_a_failover() {
        let offered = |cause| move_kind(&Reason::Offered { by: WEB1, cause });
        assert_eq!(offered(HandOver::Drain), MoveKind::Switchover);
        assert_eq!(offered(HandOver::Failover), MoveKind::Switchover);
        assert_eq!(offered(HandOver::Fault), MoveKind::Failover);
        assert_eq!(offered(HandOver::ClaimFailing), MoveKind::Failover);
        assert_eq!(move_kind(&Reason::Silent { master: WEB1 }), MoveKind::Failover);
        assert_eq!(move_kind(&Reason::Resigned { by: WEB1 }), MoveKind::Switchover);
    }
}
