//! What a seed means: a setup, a list of faults with their times, and what the
//! promises allow for just these. A plan is plain data, so that it can be printed,
//! repeated and shortened.

use haagent::proto::time::Duration;

use crate::cloud::{Api, Profile};
use crate::faults::{Fault, File, Host, Target};
use crate::invariants::Terms;
use crate::rng::Rng;
use crate::world::Setup;

/// How much goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Nothing but a few lost datagrams: nothing moves.
    Calm,
    /// One fault and its end: P1 and P2 count.
    OneFault,
    /// Several at once, a provider that errs: the rest counts, and all must converge.
    Storm,
}

#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) kind: Kind,
    pub(crate) setup: Setup,
    /// Times since the group had settled.
    pub(crate) faults: Vec<(Duration, Fault)>,
    /// When all heals, since the group had settled.
    pub(crate) length: Duration,
    pub(crate) terms: Terms,
}

/// A fault with its end.
type Episode = Vec<(Duration, Fault)>;

impl Plan {
    pub(crate) fn of(seed: u64) -> Self {
        let mut rng = Rng::new(seed ^ 0x5eed);
        let kind = match seed % 10 {
            0 => Kind::Calm,
            1..=6 => Kind::OneFault,
            _ => Kind::Storm,
        };
        let setup = setup(&mut rng, kind);
        let mut plan = Self {
            seed,
            kind,
            faults: Vec::new(),
            length: Duration::from_secs(20),
            terms: Terms { unserved: None, moves: None, no_takeover: false },
            setup,
        };
        // Of its own, so that a seed without a gate means what it always meant.
        let mut gate = Rng::new(seed ^ 0x9a7e);
        if gate.percent(20.0) {
            plan.setup.promote = Some(gate.pick(&[
                Duration::from_millis(20)..=Duration::from_millis(300),
                Duration::from_millis(100)..=Duration::from_secs(8),
            ]));
        }
        match kind {
            Kind::Calm => plan.calm(&mut rng),
            Kind::OneFault => plan.one_fault(&mut rng),
            Kind::Storm => plan.storm(&mut rng),
        }
        plan
    }

    fn calm(&mut self, rng: &mut Rng) {
        self.terms = Terms { unserved: Some(reaction(&self.setup)), moves: Some(0), no_takeover: true };
        let percent = rng.pick(&[0.0, 1.0, 3.0]);
        self.faults = vec![(Duration::ZERO, Fault::Loss { percent })];
        self.length = Duration::from_secs(60);
    }

    fn one_fault(&mut self, rng: &mut Rng) {
        let begin = rng.millis(0..=3_000);
        let length = rng.millis(300..=40_000);
        let mut reloading = self.reloading();
        let (faults, terms) = if reloading.percent(6.0) {
            reloads(&mut reloading, &self.setup, begin, begin + length)
        } else {
            single(rng, &self.setup, begin, begin + length)
        };
        self.length = faults.last().map_or(begin, |(at, _)| *at) + Duration::from_secs(5);
        self.faults = faults;
        self.terms = terms;
    }

    /// Of its own, so that what a seed means without a reload stays as it is.
    fn reloading(&self) -> Rng {
        Rng::new(self.seed ^ 0x10ad)
    }

    fn storm(&mut self, rng: &mut Rng) {
        for _ in 0..2 + rng.below(5) {
            let begin = rng.millis(0..=40_000);
            let length = rng.millis(200..=40_000);
            self.faults.extend(any(rng, &self.setup, begin, begin + length));
        }
        let mut reloading = self.reloading();
        while reloading.percent(30.0) {
            let (at, host) = (reloading.millis(0..=60_000), reloading.index(self.setup.hosts));
            let preempt = reloading.percent(50.0);
            self.faults.push((at, Fault::Reload { host, file: file(&mut reloading, &self.setup, preempt) }));
        }
        if self.setup.promote.is_some() && rng.percent(60.0) {
            let host = rng.index(self.setup.hosts);
            let begin = rng.millis(0..=40_000);
            self.faults.push((begin, Fault::PromotionFails { host }));
            self.faults.push((begin + rng.millis(200..=40_000), Fault::PromotionWorks { host }));
        }
        let mut blind = Rng::new(self.seed ^ 0xb11d);
        if blind.percent(20.0) {
            let host = blind.index(self.setup.hosts);
            let begin = blind.millis(0..=40_000);
            self.faults.push((begin, Fault::ProbesBlind { host }));
            self.faults.push((begin + blind.millis(200..=40_000), Fault::ProbesSee { host }));
        }
        self.faults.sort_by_key(|(at, _)| *at);
        self.length = Duration::from_secs(60);
    }
}

fn setup(rng: &mut Rng, kind: Kind) -> Setup {
    let hosts = rng.pick(&[2, 2, 2, 3]);
    let mut setup = Setup::new(hosts);
    setup.interval = Duration::from_millis(rng.pick(&[500, 500, 250, 100]));
    setup.profile = match kind {
        Kind::Storm if rng.percent(50.0) => Profile::slow().with_errors(),
        _ => rng.pick(&[Profile::fast(), Profile::slow()]),
    };
    setup.holder = Target::Member(rng.index(hosts));
    setup.preempt = rng.percent(25.0);
    if setup.preempt {
        let Target::Member(holder) = setup.holder else { unreachable!("the setups above have a member") };
        setup.priorities[holder] = 150;
    }
    setup.probe = rng.percent(40.0).then_some(Duration::from_millis(500));
    setup
}

/// P1 beyond detection: look, promotion and another look where there is a gate, assign, and the words in between.
fn one_assign(setup: &Setup) -> Duration {
    let round_trip = *setup.profile.latency.end() * 2;
    let promotion = setup.promote.as_ref().map_or(Duration::ZERO, |takes| *takes.end() + round_trip);
    round_trip * 2 + promotion + *setup.profile.assign.end() + *setup.channel.end() * 4 + Duration::from_millis(20)
}

/// A silent master is dead after `D` and the skew of the worst rank; the last datagram
/// may be that much younger than the fault.
fn silence(setup: &Setup) -> Duration {
    let ranks = u32::try_from(setup.hosts).unwrap_or(2) - 1;
    let evidence = setup.probe.map_or(Duration::ZERO, |limit| probed(setup, limit));
    setup.dead_interval().max(evidence) + setup.interval * ranks / 2 + Duration::from_millis(5)
}

/// Rule 9: from the last heartbeat to complete evidence. Probes begin at 1.1 `I`; the first that fails
/// makes the node ask the API; a quarter of a second after the answer nobody has answered.
fn probed(setup: &Setup, limit: Duration) -> Duration {
    let words = *setup.channel.end() * 5 + Duration::from_millis(5);
    let look = *setup.profile.latency.end() * 2;
    setup.interval * 11 / 10 + limit + words + look + Duration::from_millis(250)
}

/// A silent master, and one assign.
fn reaction(setup: &Setup) -> Duration {
    silence(setup) + one_assign(setup)
}

/// An offer or a resignation: one round trip and three turns, and one assign.
fn handed(setup: &Setup) -> Duration {
    Duration::from_millis(20) + *setup.channel.end() * 2 + one_assign(setup)
}

/// A file as an operator may write it; a claim has at least the time of one call of the API.
fn file(rng: &mut Rng, setup: &Setup, preempt: bool) -> File {
    let claim_timeout = Duration::from_secs(rng.pick(&[8, 20]));
    let priority = rng.pick(&[50, 100, 150, 200]);
    // Mostly what the others have.
    let mut other = |had: bool| if rng.percent(30.0) { !had } else { had };
    let (probe, gate) = (other(setup.probe.is_some()), other(setup.promote.is_some()));
    File { preempt, claim_timeout, priority, probe, gate }
}

/// Other files on some hosts, and again: nothing moves, unless `preempt` asks for it.
fn reloads(rng: &mut Rng, setup: &Setup, begin: Duration, end: Duration) -> (Episode, Terms) {
    let Target::Member(master) = setup.holder else { return (Vec::new(), Terms::default()) };
    if rng.percent(30.0) {
        let all = |host| {
            let priority = if host == master { 100 } else { 200 };
            let file = File { preempt: true, priority, ..setup.file(host) };
            (begin, Fault::Reload { host, file })
        };
        let terms = Terms { unserved: Some(handed(setup)), moves: Some(1), no_takeover: false };
        return ((0..setup.hosts).map(all).collect(), terms);
    }
    let mut faults = Vec::new();
    for at in [begin, end] {
        for host in 0..setup.hosts {
            let at = at + rng.millis(0..=500);
            faults.push((at, Fault::Reload { host, file: file(rng, setup, false) }));
        }
    }
    faults.sort_by_key(|(at, _)| *at);
    (faults, Terms { unserved: Some(reaction(setup)), moves: Some(0), no_takeover: true })
}

/// One fault with its end, and what is due.
fn single(rng: &mut Rng, setup: &Setup, begin: Duration, end: Duration) -> (Episode, Terms) {
    let Target::Member(master) = setup.holder else { return (Vec::new(), Terms::default()) };
    let backup = other(rng, setup, master);
    let failback = usize::from(setup.preempt);
    let terms = |limit: Duration, moves: usize| Terms { unserved: Some(limit), moves: Some(moves), no_takeover: false };
    let moved = |limit: Duration| terms(limit, 1 + failback);
    // A service that answers keeps its address.
    let silent = |limit: Duration| if setup.probe.is_some() { terms(limit, 0) } else { moved(limit) };
    let nothing = Terms { unserved: Some(reaction(setup)), moves: Some(0), no_takeover: true };
    let length = end - begin;
    let until = |fault: Fault, over: Fault| vec![(begin, fault), (end, over)];
    // What the backup may hear of the last heartbeat, an ask's answer and a pause's end.
    let harmless = length + setup.interval * 2 + Duration::from_millis(20) < setup.dead_interval();
    match rng.below(25) {
        0 => {
            let shown_off = rng.percent(50.0);
            let mut faults = vec![(begin, Fault::HostDies { host: master, shown_off })];
            if rng.percent(50.0) {
                faults.push((begin + length.max(setup.dead_interval() * 2), Fault::HostBoots { host: master }));
            }
            (faults, moved(reaction(setup)))
        }
        1 => {
            let shown_off = rng.percent(50.0);
            (until(Fault::HostDies { host: backup, shown_off }, Fault::HostBoots { host: backup }), nothing)
        }
        2 => {
            let faults = until(Fault::AgentKilled { host: master }, Fault::AgentStarts { host: master });
            (faults, silent(reaction(setup)))
        }
        // Over within D, with the time that the new agent needs to be heard.
        3 => {
            let back = begin + rng.duration(&(Duration::from_millis(20)..=setup.interval));
            let faults =
                vec![(begin, Fault::AgentKilled { host: master }), (back, Fault::AgentStarts { host: master })];
            (faults, terms(reaction(setup), 0))
        }
        4 => (until(Fault::AgentKilled { host: backup }, Fault::AgentStarts { host: backup }), nothing),
        5 => {
            let end = begin + length.max(Duration::from_millis(200));
            let faults = vec![(begin, Fault::AgentStops { host: master }), (end, Fault::AgentStarts { host: master })];
            (faults, moved(handed(setup)))
        }
        6 => {
            let end = begin + length.max(Duration::from_millis(200));
            let faults = vec![(begin, Fault::AgentStops { host: backup }), (end, Fault::AgentStarts { host: backup })];
            (faults, nothing)
        }
        7 | 8 => {
            let short = rng.millis(300..=3_000);
            let length = rng.pick(&[length, short]);
            let harmless = harmless && length + setup.interval * 2 < setup.dead_interval();
            let fault = rng.pick(&[Fault::Stopped { host: master, length }, Fault::Frozen { host: master, length }]);
            let kept = harmless || (setup.probe.is_some() && matches!(fault, Fault::Stopped { .. }));
            (vec![(begin, fault)], if kept { terms(reaction(setup), 0) } else { moved(reaction(setup)) })
        }
        9 => {
            // Just within D: what has queued must be read before anybody is declared dead.
            let within = setup.dead_interval() - rng.duration(&(Duration::ZERO..=setup.interval));
            let length = rng.pick(&[length, within]);
            let fault = rng.pick(&[Fault::Stopped { host: backup, length }, Fault::Frozen { host: backup, length }]);
            (vec![(begin, fault)], nothing)
        }
        10 => (until(Fault::Sick { host: master }, Fault::Healthy { host: master }), moved(handed(setup))),
        11 => (until(Fault::Sick { host: backup }, Fault::Healthy { host: backup }), nothing),
        12 => (until(Fault::Drain { host: master }, Fault::Resume { host: master }), moved(handed(setup))),
        13 => (until(Fault::Drain { host: backup }, Fault::Resume { host: backup }), nothing),
        14 => (vec![(begin, Fault::Failover { host: master, to: None })], moved(handed(setup))),
        // A third node relays what it hears (rule 2).
        15 => {
            let faults = until(Fault::CutBoth { a: master, b: backup }, Fault::Mend { a: master, b: backup });
            (faults, if setup.hosts > 2 || setup.probe.is_some() { nothing } else { moved(reaction(setup)) })
        }
        16 => {
            let faults = until(Fault::Cut { from: master, to: backup }, Fault::Mend { a: master, b: backup });
            (faults, if setup.hosts > 2 || setup.probe.is_some() { nothing } else { moved(reaction(setup)) })
        }
        17 => (until(Fault::Cut { from: backup, to: master }, Fault::Mend { a: master, b: backup }), nothing),
        18 => {
            let faults = until(Fault::Loss { percent: 30.0 }, Fault::Loss { percent: 0.0 });
            (faults, if setup.probe.is_some() { nothing } else { moved(reaction(setup)) })
        }
        19 => {
            // The probe notices within 8 s here; 2 s tell a lost uplink from a blip; the standby gets itself a proof.
            let detection = Duration::from_secs(8 + 2 + 1);
            let faults = until(Fault::PublicCut { host: master }, Fault::PublicMended { host: master });
            (faults, moved(detection + handed(setup)))
        }
        20 => {
            let api = rng.pick(&[Api::Down, Api::Unreachable, Api::ReadOnly, Api::Limited]);
            (until(Fault::Api(api), Fault::Api(Api::Up)), nothing)
        }
        21 => {
            let host = rng.pick(&[master, backup]);
            let (fault, over) = rng.pick(&[
                (Fault::TokenRevoked { host }, Fault::TokenRestored { host }),
                (Fault::MetadataDown { host }, Fault::MetadataUp { host }),
                (Fault::PublicCut { host: backup }, Fault::PublicMended { host: backup }),
            ]);
            (until(fault, over), nothing)
        }
        22 => {
            let to = rng.pick(&[Target::Member(backup), Target::Nobody, Target::Foreign]);
            let learned = setup.verify_interval + setup.profile.metadata_lag + setup.interval + setup.profile.stale;
            let limit = learned + reaction(setup) + Duration::from_secs(2);
            // A foreign droplet's IP is unassigned when all heals.
            let moves = match to {
                Target::Member(_) => 0,
                Target::Nobody | Target::Foreign => 1,
            };
            (vec![(begin, Fault::MovedByHand { to })], terms(limit, moves + failback))
        }
        23 => {
            // Cut off from all, and the way to the provider comes back first: no peer's word, no probe's
            // failure is evidence then.
            let peers = (0..setup.hosts).filter(|host| *host != backup);
            let mut faults = vec![(begin, Fault::PublicCut { host: backup })];
            faults.extend(peers.clone().map(|peer| (begin, Fault::CutBoth { a: backup, b: peer })));
            faults.push((end, Fault::PublicMended { host: backup }));
            let later = end + rng.millis(0..=5_000);
            faults.extend(peers.map(|peer| (later, Fault::Mend { a: backup, b: peer })));
            (faults, if setup.probe.is_some() { nothing } else { moved(reaction(setup)) })
        }
        _ => (vec![(begin, Fault::Replayed { from: master, to: backup })], nothing),
    }
}

/// Anything, for storms.
fn any(rng: &mut Rng, setup: &Setup, begin: Duration, end: Duration) -> Episode {
    let host = rng.index(setup.hosts);
    let peer = other(rng, setup, host);
    let length = end - begin;
    let until = |fault: Fault, over: Fault| vec![(begin, fault), (end, over)];
    match rng.below(20) {
        0 => {
            let shown_off = rng.percent(50.0);
            until(Fault::HostDies { host, shown_off }, Fault::HostBoots { host })
        }
        1 => until(Fault::AgentKilled { host }, Fault::AgentStarts { host }),
        2 => until(Fault::AgentStops { host }, Fault::AgentStarts { host }),
        3 => vec![(begin, Fault::Stopped { host, length: length / 2 })],
        4 => vec![(begin, Fault::Frozen { host, length: length / 2 })],
        5 => vec![(begin, Fault::Stopped { host, length: rng.millis(300..=3_000) })],
        6 => until(Fault::Sick { host }, Fault::Healthy { host }),
        7 => until(Fault::Drain { host }, Fault::Resume { host }),
        8 => vec![(begin, Fault::Failover { host, to: Some(peer) })],
        9 => until(Fault::CutBoth { a: host, b: peer }, Fault::Mend { a: host, b: peer }),
        10 => until(Fault::Cut { from: host, to: peer }, Fault::Mend { a: host, b: peer }),
        11 => {
            let percent = rng.pick(&[3.0, 10.0, 30.0]);
            until(Fault::Loss { percent }, Fault::Loss { percent: 0.0 })
        }
        12 => {
            let most = rng.millis(10..=900);
            until(
                Fault::Delay { from: host, to: peer, most },
                Fault::Delay { from: host, to: peer, most: Duration::from_millis(1) },
            )
        }
        13 => until(Fault::PublicCut { host }, Fault::PublicMended { host }),
        14 => {
            let api = rng.pick(&[Api::Down, Api::Unreachable, Api::ReadOnly, Api::Limited]);
            until(Fault::Api(api), Fault::Api(Api::Up))
        }
        15 => until(Fault::TokenRevoked { host }, Fault::TokenRestored { host }),
        16 => until(Fault::MetadataDown { host }, Fault::MetadataUp { host }),
        17 | 18 => {
            let to = rng.pick(&[Target::Member(host), Target::Nobody, Target::Foreign]);
            vec![(begin, Fault::MovedByHand { to })]
        }
        _ => vec![(begin, Fault::Replayed { from: host, to: peer })],
    }
}

fn other(rng: &mut Rng, setup: &Setup, host: Host) -> Host {
    (host + 1 + rng.index(setup.hosts - 1)) % setup.hosts
}
