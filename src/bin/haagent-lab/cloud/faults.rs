//! Faults: what goes wrong, with which calls, how often and for how long.
//!
//! A fault is matched, never scheduled by a test's step: it says "the next three POSTs of droplet
//! 4711's agent", and the order of events decides which calls these are. Faults combine: delays add
//! up, and of several endings the one that was set first is used.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::event::Face;
use super::order::{Effect, Order, Pending, Target};
use super::shapes::DropletMember;
use super::state::{Course, End, Refusal};

/// Faults in force at one time; more are refused.
const MAX_FAULTS: usize = 100;
/// The longest delay, so that nothing outlives its test by much.
const MAX_DELAY: Duration = Duration::from_secs(600);

impl Effect {
    /// Its kind, as JSON has it.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Delay { .. } => "delay",
            Self::Answer { .. } => "answer",
            Self::Unauthorized => "unauthorized",
            Self::Forbidden => "forbidden",
            Self::RateLimited { .. } => "rate_limited",
            Self::ServerError => "server_error",
            Self::Unavailable => "unavailable",
            Self::GatewayPage { .. } => "gateway_page",
            Self::PendingEvent { .. } => "pending_event",
            Self::Silence => "silence",
            Self::Reset => "reset",
            Self::Huge { .. } => "huge",
            Self::Endless => "endless",
            Self::LostAnswer => "lost_answer",
            Self::HeadThenSilence => "head_then_silence",
            Self::ResetMidBody => "reset_mid_body",
            Self::Truncated => "truncated",
            Self::Drip { .. } => "drip",
            Self::HideDroplet { .. } => "hide_droplet",
            Self::ActionSlow { .. } => "action_slow",
            Self::ActionStuck => "action_stuck",
            Self::ActionErrored { .. } => "action_errored",
            Self::ActionWord { .. } => "action_word",
            Self::ActionNotFound { .. } => "action_not_found",
            Self::Says { .. } => "says",
            Self::Refuse => "refuse",
        }
    }

    /// It speaks of an action, and so matches only calls that may begin one.
    fn about_action(&self) -> bool {
        matches!(
            self,
            Self::ActionSlow { .. }
                | Self::ActionStuck
                | Self::ActionErrored { .. }
                | Self::ActionWord { .. }
                | Self::ActionNotFound { .. }
        )
    }
}

/// Why a fault cannot be ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum OrderError {
    #[error("{MAX_FAULTS} faults are in force: clear some first")]
    TooMany,
    #[error("a refused connection is no call: limit `refuse` by `for_ms` or clear it, not by `count`")]
    RefuseByCount,
    #[error("{0} is no HTTP status: 200 to 599")]
    Status(u16),
    #[error("`says` is about metadata: leave `on.face` out")]
    SaysElsewhere,
    #[error("`{0}` is about the API's answers: leave `on.face` out")]
    NotOfMetadata(&'static str),
}

/// A call, as far as faults look at it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call<'a> {
    pub(crate) face: Face,
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    pub(crate) droplet: Option<u64>,
}

/// A fault in force.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub(crate) struct Fault {
    pub(crate) id: u64,
    #[serde(flatten)]
    pub(crate) order: Order,
    /// Calls that it has met.
    pub(crate) hits: u64,
    #[serde(skip)]
    until: Option<Duration>,
}

/// What happens to one call.
#[derive(Clone, Debug, Default)]
pub(crate) struct Verdict {
    pub(crate) delay_before: Duration,
    pub(crate) delay_after: Duration,
    /// One that is not about delays or actions.
    pub(crate) ending: Option<Effect>,
    pub(crate) action: Vec<Effect>,
    pub(crate) droplet_member: Option<DropletMember>,
    pub(crate) names: Vec<&'static str>,
}

impl Verdict {
    /// The kinds of the faults that had a hand in it, for the log.
    pub(crate) fn kinds(&self) -> Vec<String> {
        self.names.iter().map(|name| (*name).to_owned()).collect()
    }

    /// How the action that this call begins will go.
    pub(crate) fn course(&self, usual: Course) -> Course {
        self.action.iter().fold(usual, |course, effect| match effect {
            Effect::ActionSlow { ms } => Course { takes: Some(Duration::from_millis(*ms)), ..course },
            Effect::ActionStuck => Course { takes: None, ..course },
            Effect::ActionErrored { unassigned: false } => Course { end: End::Errors, ..course },
            Effect::ActionErrored { unassigned: true } => Course { end: End::ErrorsUnassigned, ..course },
            Effect::ActionWord { word } => Course { word: Some(word.clone()), ..course },
            Effect::ActionNotFound { polls } => Course { hidden_polls: *polls, ..course },
            _ => course,
        })
    }
}

/// The faults in force.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    faults: Vec<Fault>,
    newest: u64,
}

impl Faults {
    /// Puts a fault in force.
    ///
    /// # Errors
    /// It makes no sense, or there are too many.
    pub(crate) fn set(&mut self, now: Duration, mut order: Order) -> Result<u64, OrderError> {
        self.expire(now);
        if self.faults.len() >= MAX_FAULTS {
            return Err(OrderError::TooMany);
        }
        if matches!(order.effect, Effect::Says { .. }) {
            order.on.face.get_or_insert(Face::Metadata);
        }
        let of_metadata = order.on.face == Some(Face::Metadata);
        match &order.effect {
            Effect::Refuse if order.count.is_some() => return Err(OrderError::RefuseByCount),
            Effect::Answer { status, .. } | Effect::GatewayPage { status } if !(200..=599).contains(status) => {
                return Err(OrderError::Status(*status));
            }
            Effect::Says { .. } if !of_metadata => return Err(OrderError::SaysElsewhere),
            Effect::HideDroplet { .. } | Effect::PendingEvent { .. } if of_metadata => {
                return Err(OrderError::NotOfMetadata(order.effect.name()));
            }
            effect if effect.about_action() && of_metadata => {
                return Err(OrderError::NotOfMetadata(effect.name()));
            }
            _ => {}
        }
        self.newest += 1;
        let until = order.for_ms.map(|ms| now + Duration::from_millis(ms));
        self.faults.push(Fault { id: self.newest, order, hits: 0, until });
        Ok(self.newest)
    }

    /// Clears one fault, or all; tells which.
    pub(crate) fn clear(&mut self, id: Option<u64>) -> Vec<u64> {
        let (gone, kept) = std::mem::take(&mut self.faults).into_iter().partition(|f| id.is_none_or(|id| id == f.id));
        self.faults = kept;
        gone.iter().map(|fault: &Fault| fault.id).collect()
    }

    /// What is in force.
    pub(crate) fn all(&self) -> &[Fault] {
        &self.faults
    }

    /// Forgets the faults whose time is over.
    pub(crate) fn expire(&mut self, now: Duration) {
        self.faults.retain(|fault| fault.until.is_none_or(|until| until > now));
    }

    /// When the next one is over by time.
    pub(crate) fn next_expiry(&self) -> Option<Duration> {
        self.faults.iter().filter_map(|fault| fault.until).min()
    }

    /// Whether connections to this listener are refused.
    pub(crate) fn refuses(&self, face: Face, droplet: Option<u64>) -> bool {
        self.faults.iter().any(|fault| {
            let on = &fault.order.on;
            matches!(fault.order.effect, Effect::Refuse)
                && on.face.unwrap_or(Face::Api) == face
                && (face == Face::Api || on.droplet.is_none_or(|id| droplet == Some(id)))
        })
    }

    /// Judges a call, and counts it for the faults that it meets.
    pub(crate) fn judge(&mut self, now: Duration, call: Call<'_>) -> Verdict {
        self.expire(now);
        let mut verdict = Verdict::default();
        for fault in self.faults.iter_mut().filter(|fault| matches(&fault.order.on, &fault.order.effect, call)) {
            let effect = &fault.order.effect;
            match effect {
                Effect::Refuse => continue,
                Effect::Delay { ms, before } => {
                    let delay = if *before { &mut verdict.delay_before } else { &mut verdict.delay_after };
                    *delay = delay.saturating_add(Duration::from_millis(*ms)).min(MAX_DELAY);
                }
                Effect::HideDroplet { member } => verdict.droplet_member = Some(*member),
                effect if effect.about_action() => verdict.action.push(effect.clone()),
                _ if verdict.ending.is_some() => continue, // not met: its count is for a later call
                effect => verdict.ending = Some(effect.clone()),
            }
            verdict.names.push(effect.name());
            fault.hits += 1;
        }
        self.faults.retain(|fault| fault.order.count.is_none_or(|count| fault.hits < count));
        verdict
    }
}

fn matches(on: &Target, effect: &Effect, call: Call<'_>) -> bool {
    on.face.unwrap_or(Face::Api) == call.face
        && on.method.as_deref().is_none_or(|method| method.eq_ignore_ascii_case(call.method))
        && on.path.as_deref().is_none_or(|pattern| fits(pattern, call.path))
        && on.droplet.is_none_or(|id| call.droplet == Some(id))
        && (call.method == "POST" || !(effect.about_action() || matches!(effect, Effect::PendingEvent { .. })))
}

/// Whether a path fits a pattern in which `*` stands for any text.
fn fits(pattern: &str, path: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else { return pattern == path };
    let Some(mut path) = path.strip_prefix(start) else { return false };
    let mut parts: Vec<&str> = rest.split('*').collect();
    let Some(end) = parts.pop() else { return true };
    for part in parts {
        let Some(at) = path.find(part) else { return false };
        path = path.get(at + part.len()..).unwrap_or("");
    }
    path.ends_with(end)
}

/// What `pending_event` answers.
pub(crate) fn pending(on: Pending) -> Refusal {
    match on {
        Pending::Droplet => Refusal::DropletBusy,
        Pending::Ip => Refusal::AddressBusy,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(json: &str) -> Order {
        serde_json::from_str(json).unwrap()
    }

    fn call(method: &'static str, path: &'static str, droplet: u64) -> Call<'static> {
        Call { face: Face::Api, method, path, droplet: Some(droplet) }
    }

    #[test]
    fn a_pattern_matches_with_stars() {
        for (pattern, path, fit) in [
            ("/v2/a", "/v2/a", true),
            ("/v2/a", "/v2/ab", false),
            ("/v2/reserved_ips/*/actions", "/v2/reserved_ips/203.0.113.1/actions", true),
            ("/v2/reserved_ips/*/actions", "/v2/reserved_ips/203.0.113.1", false),
            ("*/actions/*", "/v2/reserved_ips/203.0.113.1/actions/7", true),
            ("*", "", true),
            ("a*b*c", "axxbyyc", true),
            ("a*b*c", "acb", false),
        ] {
            assert_eq!(fits(pattern, path), fit, "{pattern} {path}");
        }
    }

    #[test]
    fn a_fault_meets_the_calls_it_is_about_and_goes_after_its_count() {
        let mut faults = Faults::default();
        let json =
            r#"{"on":{"method":"POST","path":"*/actions","droplet":1},"count":2,"effect":{"kind":"server_error"}}"#;
        faults.set(Duration::ZERO, order(json)).unwrap();
        let mut met =
            |method, path, droplet| faults.judge(Duration::ZERO, call(method, path, droplet)).ending.is_some();
        assert!(!met("GET", "/v2/x/actions", 1) && !met("POST", "/v2/x", 1) && !met("POST", "/v2/x/actions", 2));
        assert!(met("POST", "/v2/x/actions", 1) && met("POST", "/v2/x/actions", 1));
        assert!(!met("POST", "/v2/x/actions", 1), "its count is used up");
    }

    #[test]
    fn a_fault_goes_after_its_time() {
        let mut faults = Faults::default();
        faults.set(Duration::from_millis(10), order(r#"{"for_ms":100,"effect":{"kind":"refuse"}}"#)).unwrap();
        assert_eq!(faults.next_expiry(), Some(Duration::from_millis(110)));
        assert!(faults.refuses(Face::Api, None) && !faults.refuses(Face::Metadata, Some(1)));
        faults.expire(Duration::from_millis(110));
        assert!(!faults.refuses(Face::Api, None));
    }

    #[test]
    fn delays_add_up_and_the_first_ending_is_used() {
        let mut faults = Faults::default();
        for json in [
            r#"{"effect":{"kind":"delay","ms":5}}"#,
            r#"{"effect":{"kind":"delay","ms":7}}"#,
            r#"{"effect":{"kind":"delay","ms":1,"before":true}}"#,
            r#"{"count":1,"effect":{"kind":"unavailable"}}"#,
            r#"{"count":1,"effect":{"kind":"silence"}}"#,
            r#"{"effect":{"kind":"action_stuck"}}"#,
        ] {
            faults.set(Duration::ZERO, order(json)).unwrap();
        }
        let verdict = faults.judge(Duration::ZERO, call("GET", "/v2/x", 1));
        assert_eq!((verdict.delay_after, verdict.delay_before), (Duration::from_millis(12), Duration::from_millis(1)));
        assert!(matches!(verdict.ending, Some(Effect::Unavailable)));
        assert!(verdict.action.is_empty(), "a GET begins no action");
        let verdict = faults.judge(Duration::ZERO, call("POST", "/v2/x", 1));
        assert!(matches!(verdict.ending, Some(Effect::Silence)), "the second one's count was kept for a later call");
        assert_eq!(verdict.names, ["delay", "delay", "delay", "silence", "action_stuck"]);
    }

    #[test]
    fn faults_are_cleared_by_number_or_all() {
        let mut faults = Faults::default();
        let first = faults.set(Duration::ZERO, order(r#"{"effect":{"kind":"silence"}}"#)).unwrap();
        let second = faults.set(Duration::ZERO, order(r#"{"effect":{"kind":"reset"}}"#)).unwrap();
        assert_eq!(faults.clear(Some(first)), [first]);
        assert_eq!(faults.clear(None), [second]);
        assert!(faults.all().is_empty());
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let mut faults = Faults::default();
        let mut set = |json: &str| faults.set(Duration::ZERO, order(json)).unwrap_err();
        assert_eq!(set(r#"{"count":1,"effect":{"kind":"refuse"}}"#), OrderError::RefuseByCount);
        assert_eq!(set(r#"{"effect":{"kind":"answer","status":99}}"#), OrderError::Status(99));
        assert_eq!(set(r#"{"on":{"face":"api"},"effect":{"kind":"says","active":true}}"#), OrderError::SaysElsewhere);
        let stuck = r#"{"on":{"face":"metadata"},"effect":{"kind":"action_stuck"}}"#;
        assert_eq!(set(stuck), OrderError::NotOfMetadata("action_stuck"));
        assert!(serde_json::from_str::<Order>(r#"{"effect":{"kind":"silense"}}"#).is_err());
        assert!(serde_json::from_str::<Order>(r#"{"on":{"paht":"x"},"effect":{"kind":"silence"}}"#).is_err());
    }
}
