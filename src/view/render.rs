//! The snapshot for people: 80 columns, the answers in the order in which an
//! operator asks, ages with units, and a word beside each colour.

mod why;

use std::fmt::Write as _;
use std::time::Duration;

use super::judge::{Verdict, drain_of, peer_name};
use super::status::{
    Act, ActKind, Check, Claim, ClaimHolder, Group, GroupFacts, Hook, HookState, Move, Peer, Presence, Probe, Severity,
    Stamp, State, Status, Waiting,
};
use super::words::{self, age, exact};
use crate::proto::claim::event::ClaimState;
use crate::proto::ids::NodeName;
pub use why::why;

const WIDTH: usize = 80;
/// Where what follows a label begins.
const INDENT: usize = 12;
/// A space at which no line ends: between a number and its unit.
const GLUE: &str = "\u{a0}";
/// The longest word in the column of states: "drained".
const STATE: usize = 7;

/// Whether to colour: only on a terminal, and not where `NO_COLOR` is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Style {
    /// Colour the words that matter.
    pub colour: bool,
}

#[derive(Clone, Copy)]
enum Paint {
    Good,
    Doubt,
    Bad,
    Strong,
}

impl Style {
    /// The word that the eye should find.
    pub(super) fn strong(self, text: &str) -> String {
        self.paint(Paint::Strong, text)
    }

    fn paint(self, paint: Paint, text: &str) -> String {
        let code = match paint {
            Paint::Good => "32",
            Paint::Doubt => "33",
            Paint::Bad => "31",
            Paint::Strong => "1",
        };
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// The whole snapshot.
#[must_use]
pub fn status(status: &Status, style: Style) -> String {
    let mut page = Page::default();
    let up = age(Duration::from_millis(status.uptime_ms));
    // What a group's problem says already, with its mend, is not said again.
    let is_told = |problem: &str| {
        let mut concerns = status.groups.iter().flat_map(|group| &group.verdict.concerns);
        concerns.any(|concern| concern.starts_with(problem))
    };
    let warnings = status.warnings.iter().filter(|warning| !is_told(warning));
    let problems: Vec<&String> = warnings.chain(&status.config.error).collect();
    // What concerns no group stands at the end; whoever reads only the top must know that it is there.
    let below = match problems.len() {
        0 => String::new(),
        1 => format!("; {}: 1, see below", style.paint(Paint::Doubt, "WARNING")),
        many => format!("; {}: {many}, see below", style.paint(Paint::Doubt, "WARNINGS")),
    };
    page.line(&format!("haagent {} on {}, up {up}{below}", clean(&status.version), status.node));
    for group in &status.groups {
        page.line("");
        one_group(&mut page, status, group, style);
    }
    if status.groups.is_empty() {
        page.line("");
        page.line("no group is configured");
    }

    page.line("");
    for problem in problems {
        page.item("warning", &style.paint(Paint::Doubt, &clean(problem)));
    }
    let loaded = age(status.at.since(status.config.loaded));
    page.item("config", &format!("{}, read {loaded} ago", clean(&status.config.file)));
    if let Some(since) = status.config.refused_since {
        let refused = format!("the file on disk is refused, for {}", age(status.at.since(since)));
        page.item("", &style.paint(Paint::Doubt, &refused));
    }
    for waiting in &status.config.restart_needed {
        page.item("", &clean(&format!("restart needed: {waiting}; haagent restart, then systemctl restart haagent")));
    }
    page.item("heart", &clean(&status.scheduling));
    if status.log_lines_dropped > 0 {
        page.item("log", &format!("{} lines dropped: the journal did not take them", status.log_lines_dropped));
    }
    page.text
}

fn one_group(page: &mut Page, status: &Status, group: &Group, style: Style) {
    let facts = &group.facts;
    let verdict = match group.verdict.severity {
        Severity::Ok => style.paint(Paint::Good, "OK"),
        Severity::Warning => style.paint(Paint::Doubt, "WARNING"),
        Severity::Critical => style.paint(Paint::Bad, "CRITICAL"),
        Severity::Unknown => style.paint(Paint::Bad, "UNKNOWN"),
    };
    page.line(&format!("group {}: {verdict}", style.paint(Paint::Strong, facts.name.as_str())));
    address(page, status, group, style);
    page.item("master", &master(status, facts));
    failover(page, group, style);
    if let Some(probe) = &facts.probe {
        page.item("probe", &probe_words(status.at, probe, facts.state, style));
    }
    for concern in group.verdict.concerns.iter().filter(|concern| !group.verdict.blocked_by.contains(concern)) {
        page.item("problem", &told(concern));
    }

    let names = facts.peers.iter().map(|peer| peer_name(peer).len());
    let width = names.chain([status.node.as_str().len()]).max().unwrap_or(0);
    page.item_at("nodes", &this_node(status, group, width, style), width + 2);
    for peer in &facts.peers {
        page.item_at("", &other_node(status, group, peer, width, style), width + 2);
    }

    let width = facts.checks.iter().map(|check| check.name.chars().count()).max().unwrap_or(0);
    for (place, one) in facts.checks.iter().enumerate() {
        let label = if place == 0 { "checks" } else { "" };
        page.item_at(label, &check(status.at, one, width, style), width + 2);
    }
    let width = facts.hooks.iter().map(|hook| hook.name.chars().count()).max().unwrap_or(0);
    for (place, one) in facts.hooks.iter().enumerate() {
        let label = if place == 0 { "hooks" } else { "" };
        page.item_at(label, &hook(status.at, one, width, style), width + 2);
    }
    for one in &facts.acts {
        page.item("in force", &act(status.at, one, style));
    }
    if let Some(last) = &facts.last_move {
        page.item("last move", &last_move(status.at, last));
        let steps = steps(last);
        if !steps.is_empty() {
            page.item("", &steps);
        }
    }
}

fn address(page: &mut Page, status: &Status, group: &Group, style: Style) {
    let served = match group.verdict.served {
        Some(true) => style.paint(Paint::Good, "SERVED"),
        Some(false) => style.paint(Paint::Bad, "NOT SERVED"),
        None => style.paint(Paint::Bad, "NOT KNOWN TO SERVE"),
    };
    if group.facts.claims.is_empty() {
        page.item("address", &format!("{served}: this group has no claim"));
    }
    for claim in &group.facts.claims {
        page.item("address", &format!("{served}: {}", claim_words(&status.node, claim)));
    }
}

fn claim_words(this: &NodeName, claim: &Claim) -> String {
    let address = claim.address.as_deref().map_or_else(|| "an address not yet discovered".to_owned(), clean);
    let holder = match &claim.holder {
        Some(ClaimHolder::Node(name)) if name == this => format!("is on {name} (this node)"),
        Some(ClaimHolder::Node(name)) => format!("is on {name}"),
        Some(ClaimHolder::Droplet(id)) => format!("is on droplet {id}, no member"),
        Some(ClaimHolder::Nobody) => "is assigned to nobody".to_owned(),
        None => "has an unknown holder".to_owned(),
    };
    let word = match (claim.word, claim.verified_ms_ago) {
        (Some(word), Some(ms)) => format!("; {word} said so {} ago", age(Duration::from_millis(ms))),
        (Some(word), None) => format!("; {word} said so, not verified since the takeover"),
        (None, _) => String::new(),
    };
    // What is held here is on this node, and that is said already.
    let state = match claim.state {
        ClaimState::Idle | ClaimState::Held => "",
        ClaimState::Claiming => "; this node is claiming it",
        ClaimState::Lost => "; it was taken away from this node",
        ClaimState::Failing => "; this node's claim of it FAILS, and is tried again",
    };
    format!("{address} {holder}{word}{state}")
}

fn master(status: &Status, facts: &GroupFacts) -> String {
    let Some(master) = &facts.master else { return no_master(status, facts) };
    let whose = if *master == status.node { " (this node)" } else { "" };
    let since = facts.master_since.map(|since| format!(" for {}", age(status.at.since(since)))).unwrap_or_default();
    // The move that made it master tells why, with what is known of it.
    let told = facts.last_move.as_ref().is_some_and(|one| one.term == facts.term && one.to.as_ref() == Some(master));
    let reason = facts.master_reason.as_deref().filter(|_| !told);
    let reason = reason.map(|reason| words::became_master(reason).unwrap_or(reason));
    let reason = reason.map(|reason| format!(": {}", clean(reason))).unwrap_or_default();
    format!("{master}{whose}{since}, term {}{reason}", facts.term)
}

/// Who was master last, and why this node is not: as things stand, not as they were when it became what it is.
fn no_master(status: &Status, facts: &GroupFacts) -> String {
    let last = last_master(facts).map_or_else(|| "NOBODY".to_owned(), |words| format!("NOT HEARD: {words}"));
    let (why, until) = match &facts.waiting {
        Some(waiting) => (&waiting.what, waiting.until),
        None => (facts.evidence.as_ref().unwrap_or(&facts.reason), None),
    };
    let left = until.map(|until| format!("; {} left", age(until.since(status.at)))).unwrap_or_default();
    format!("{last}; {} is {}: {}{left}", status.node, words::state(facts.state), clean(why))
}

/// The silent member that was master when it was heard last, and since when it is silent.
pub(super) fn last_master(facts: &GroupFacts) -> Option<String> {
    let silent = facts.peers.iter().filter(|peer| peer.presence == Presence::Silent);
    let masters = silent.filter(|peer| peer.state == Some(State::Master));
    let last = masters.min_by_key(|peer| peer.heard_ms_ago.unwrap_or(u64::MAX))?;
    let silence = last.heard_ms_ago.map(|ms| format!(", silent for {}", age(Duration::from_millis(ms))));
    Some(format!("{} was master{}", peer_name(last), silence.unwrap_or_default()))
}

fn failover(page: &mut Page, group: &Group, style: Style) {
    let answer = match group.verdict.failover_ready {
        Some(true) => style.paint(Paint::Good, "would work"),
        Some(false) => style.paint(Paint::Bad, "WOULD NOT WORK"),
        None => style.paint(Paint::Doubt, "not known to work"),
    };
    let mut blocks = group.verdict.blocked_by.iter().map(|block| told(block));
    let successors = clean(&group.verdict.successors.join(" or "));
    match blocks.next() {
        Some(first) => page.item("failover", &format!("{answer}: {first}")),
        None if group.facts.master.is_some() => page.item("failover", &format!("{answer}, to {successors}")),
        None if deferred(group.facts.waiting.as_ref()) => {
            page.item(
                "failover",
                &format!("{}, {}", style.paint(Paint::Doubt, "DEFERRED"), until_it_fails(&successors)),
            );
        }
        None => page.item("failover", &format!("no master is heard; {successors} can take over")),
    }
    for block in blocks {
        page.item("", &block);
    }
}

/// Whether an answering service is what keeps the node from taking over.
fn deferred(waiting: Option<&Waiting>) -> bool {
    waiting.is_some_and(|waiting| waiting.kind == words::PROBE_ANSWERS)
}

fn until_it_fails(who: &str) -> String {
    format!("the service still answers: {who} takes over when it no longer does")
}

fn probe_words(at: Stamp, probe: &Probe, state: State, style: Style) -> String {
    // The holder's own packets need not come back to it, and a standby's probe is what counts.
    let fails = match state {
        State::Master => "does not answer from here, where it is held, which proves nothing".to_owned(),
        State::Init | State::Backup | State::Fault => style.paint(Paint::Bad, "DOES NOT ANSWER"),
    };
    let answered = match probe.answered {
        Some(true) => style.paint(Paint::Good, "answers"),
        Some(false) => fails,
        None if probe.detail.is_some() => style.paint(Paint::Bad, "CANNOT BE ASKED"),
        None => return format!("{}: not asked yet", clean(&probe.target)),
    };
    let detail = probe.detail.as_deref().map(|detail| format!(" ({})", clean(detail))).unwrap_or_default();
    let since = probe.since.map(|since| format!(", for {}", age(at.since(since)))).unwrap_or_default();
    let deferred = if probe.defers {
        format!("; {}", style.paint(Paint::Doubt, "the takeover is deferred"))
    } else {
        String::new()
    };
    format!("{} {answered}{detail}{since}{deferred}", clean(&probe.target))
}

fn this_node(status: &Status, Group { facts, verdict: told }: &Group, width: usize, style: Style) -> String {
    let mut line = format!("{:width$}  {}  this node", status.node, state(facts, &status.node, facts.state, style));
    let _ = write!(line, "  {}", readiness(facts.ready, facts.witness, style));
    let _ = write!(line, "  priority {}", facts.effective_priority);
    if facts.effective_priority != facts.priority {
        let _ = write!(line, " (of {})", facts.priority);
    }
    let _ = write!(line, "  v{}", clean(&status.version));
    detail(&mut line, facts.ready, facts.detail.as_deref(), told);
    line
}

fn other_node(
    status: &Status,
    Group { facts, verdict: told }: &Group,
    peer: &Peer,
    width: usize,
    style: Style,
) -> String {
    let mut line = format!("{:width$}  ", peer_name(peer));
    // What a peer said before it fell silent is no longer known to be true.
    match (peer.state, &peer.node) {
        (Some(one), Some(node)) if peer.presence == Presence::Heard => line.push_str(&state(facts, node, one, style)),
        _ => line.push_str(&format!("{:STATE$}", "?")),
    }
    let heard = peer.heard_ms_ago.map(|ms| age(Duration::from_millis(ms)));
    let heard = match (peer.presence, heard) {
        (Presence::Heard, Some(heard)) => format!("heard {heard} ago"),
        (Presence::Heard, None) => "heard".to_owned(),
        (Presence::Silent, heard) => {
            let silence = heard.map(|heard| format!(" for {heard}")).unwrap_or_default();
            format!("{}{silence}", style.paint(Paint::Bad, "SILENT"))
        }
        (Presence::Left, heard) => {
            let left = heard.map(|heard| format!(" {heard} ago")).unwrap_or_default();
            format!("{}{left}", style.paint(Paint::Doubt, "left"))
        }
        (Presence::Never, _) => style.paint(Paint::Bad, "never heard"),
    };
    let _ = write!(line, "  {heard}");
    if peer.other_protocol.is_some() {
        let _ = write!(line, "  {}", style.paint(Paint::Bad, "OTHER PROTOCOL"));
    }
    if peer.key_differs {
        let _ = write!(line, "  {}", style.paint(Paint::Bad, "KEY DIFFERS"));
    }
    if peer.presence != Presence::Heard {
        return line;
    }
    match (peer.loss, peer.loss_of) {
        // A cut that is over stays in it until so many came: whoever reads it must know what it is a part of.
        (Some(loss), Some(of)) if loss > 0.0 => {
            let _ = write!(line, "  loss {:.0}{GLUE}% of the last {of}", (loss * 100.0).max(1.0));
        }
        (Some(_), _) => line.push_str("  loss 0\u{a0}%"),
        (None, _) => {}
    }
    if let Some(rtt) = peer.rtt_us {
        let _ = write!(line, "  rtt {}", round_trip(rtt));
    }
    if peer.hears_us == Some(false) {
        let _ = write!(line, "  {}", style.paint(Paint::Bad, "does not hear us"));
    }
    let _ = write!(line, "  {}", readiness(peer.ready, peer.witness, style));
    if let Some(priority) = peer.priority {
        let _ = write!(line, "  priority {priority}");
    }
    if let Some(version) = &peer.version {
        let _ = write!(line, "  v{}", clean(version));
        if *version != status.version {
            let _ = write!(line, " {}", style.paint(Paint::Doubt, "(differs)"));
        }
    }
    if peer.config_ok == Some(false) {
        let _ = write!(line, "  {}", style.paint(Paint::Bad, "config differs"));
    }
    detail(&mut line, peer.ready, peer.detail.as_deref(), told);
    line
}

/// The state in a column of its own. A drain is not a fault, though the protocol has one state for both.
fn state(facts: &GroupFacts, node: &NodeName, state: State, style: Style) -> String {
    let pad = |word: &str| format!("{word:STATE$}");
    match state {
        State::Master => style.paint(Paint::Strong, &pad("master")),
        State::Fault if drain_of(facts, node).is_some() => style.paint(Paint::Doubt, &pad("drained")),
        State::Fault => style.paint(Paint::Bad, &pad("fault")),
        State::Init | State::Backup => pad(words::state(state)),
    }
}

fn readiness(ready: Option<bool>, witness: bool, style: Style) -> String {
    match ready {
        _ if witness => "witness".to_owned(),
        Some(true) => style.paint(Paint::Good, "ready"),
        Some(false) => style.paint(Paint::Bad, "NOT READY"),
        None => "ready?".to_owned(),
    }
}

/// Why a node is not ready, unless the page says so above.
fn detail(line: &mut String, ready: Option<bool>, detail: Option<&str>, told: &Verdict) {
    let is_told = |detail: &&str| told.blocked_by.iter().chain(&told.concerns).any(|above| above.contains(*detail));
    if let Some(detail) = detail.filter(|detail| ready != Some(true) && !is_told(detail)) {
        let _ = write!(line, "  {}", self::told(detail));
    }
}

fn check(at: Stamp, check: &Check, width: usize, style: Style) -> String {
    let paint = match check.ok {
        Some(true) => Paint::Good,
        Some(false) => Paint::Bad,
        None => Paint::Doubt,
    };
    let mut words = style.paint(paint, &check.verdict.to_string());
    match check.ok {
        Some(true) if check.verdict != super::status::CheckVerdict::Ok => words.push_str(" (still counts as ok)"),
        Some(false) if check.verdict == super::status::CheckVerdict::Ok => words.push_str(" (still counts as failing)"),
        Some(_) | None => {}
    }
    let since = check.since.map(|since| format!(" for {}", age(at.since(since)))).unwrap_or_default();
    let detail = check.detail.as_deref().map(|detail| format!(": {}", clean(detail))).unwrap_or_default();
    format!("{:width$}  {words}{since}{detail}", clean(&check.name))
}

fn hook(at: Stamp, hook: &Hook, width: usize, style: Style) -> String {
    let words = hook.state.to_string();
    let words = match hook.state {
        HookState::Ok => style.paint(Paint::Good, &words),
        HookState::Failed | HookState::Timeout | HookState::Refused => style.paint(Paint::Bad, &words),
        HookState::Idle | HookState::Running => words,
    };
    let code = hook.exit_code.filter(|code| *code != 0).map(|code| format!(" with exit code {code}"));
    let since = hook.since.map(|since| match hook.state {
        HookState::Running => format!(" for {}", age(at.since(since))),
        HookState::Idle | HookState::Ok | HookState::Failed | HookState::Timeout | HookState::Refused => {
            format!(" {} ago", age(at.since(since)))
        }
    });
    let took = hook.duration_ms.filter(|_| hook.state != HookState::Running).map(|ms| format!(", took {}", exact(ms)));
    let attempt = (hook.attempts > 1).then(|| format!(", attempt {}", hook.attempts));
    let detail = hook.detail.as_deref().filter(|_| hook.state != HookState::Running);
    let detail = detail.map(|detail| format!(": {}", clean(detail)));
    let rest: String = [code, since, took, attempt, detail].into_iter().flatten().collect();
    format!("{:width$}  {words}{rest}", clean(&hook.name))
}

fn act(at: Stamp, act: &Act, style: Style) -> String {
    let node = act.node.as_ref().map_or_else(|| "the whole group".to_owned(), NodeName::to_string);
    let what = match act.kind {
        ActKind::Drain => "drained",
        ActKind::Failover => "told to fail over",
        ActKind::Restart => "restart announced",
        ActKind::Reload => "reloaded",
    };
    let what = style.paint(Paint::Doubt, what);
    let until = match act.until {
        Some(until) => format!("{} left", age(until.since(at))),
        None => "until resumed".to_owned(),
    };
    let reason = act.reason.as_deref().map(|reason| format!(": {}", clean(reason))).unwrap_or_default();
    format!("{node} {what} by {} {} ago, {until}{reason}", clean(&act.by), age(at.since(act.since)))
}

fn last_move(at: Stamp, last: &Move) -> String {
    let took = last.phases_ms.total().map(|ms| format!(", took {}", exact(ms)));
    format!(
        "{} {} {} ago{}: {}",
        last.kind,
        way(last),
        age(at.since(last.at)),
        took.unwrap_or_else(|| ", not verified yet".to_owned()),
        clean(sentence(last))
    )
}

/// The sentence that the evidence begins with; what it rests on is for `haagent history`.
fn sentence(last: &Move) -> &str {
    let sentence = last.evidence.as_deref().and_then(|evidence| evidence.split(';').next());
    sentence.filter(|sentence| !sentence.is_empty()).unwrap_or(&last.reason)
}

/// "web-1 -> web-2".
pub(super) fn way(one: &Move) -> String {
    let name = |node: &Option<NodeName>| node.as_ref().map_or_else(|| "nobody".to_owned(), NodeName::to_string);
    format!("{} -> {}", name(&one.from), name(&one.to))
}

/// The steps of a move, each with the time since the one before.
fn steps(one: &Move) -> String {
    let mut before: Option<u64> = None;
    let mut words = Vec::new();
    for (name, at) in one.phases_ms.reached() {
        match before {
            Some(earlier) => words.push(format!("{name} +{}", exact(at.saturating_sub(earlier)).replace(' ', GLUE))),
            None => words.push(name.to_owned()),
        }
        before = Some(at);
    }
    words.join(", ")
}

fn round_trip(us: u64) -> String {
    let tenths = us.saturating_add(50) / 100;
    format!("{}.{}{GLUE}ms", tenths / 10, tenths % 10)
}

/// Text from outside (a peer, the API, an operator's reason) must not steer the terminal.
#[must_use]
pub fn clean(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '\n' | '\t' | '\r' => ' ',
            // Controls, and what reorders or hides the text around it.
            c if c.is_control() => '?',
            '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' => '?',
            c => c,
        })
        .collect()
}

/// What is told of a failure, without the number that only the provider's support asks for: it is in the JSON.
pub(super) fn told(text: &str) -> String {
    words::without_request_id(&clean(text))
}

/// Text of 80 columns, with labels in a column of their own.
#[derive(Default)]
pub(super) struct Page {
    pub(super) text: String,
}

impl Page {
    pub(super) fn line(&mut self, line: &str) {
        self.text.push_str(&line.trim_end().replace(GLUE, " "));
        self.text.push('\n');
    }

    /// Text that begins at the left and is wrapped like an item.
    pub(super) fn prose(&mut self, words: &str) {
        self.wrap(String::new(), words, 2);
    }

    pub(super) fn item(&mut self, label: &str, words: &str) {
        self.item_at(label, words, 0);
    }

    /// As `item`; wrapped lines are indented by `hanging` columns more.
    pub(super) fn item_at(&mut self, label: &str, words: &str, hanging: usize) {
        self.wrap(format!("  {label:width$}", width = INDENT - 2), words, INDENT + hanging);
    }

    /// `words` behind `start`; wrapped lines are indented by `indent` columns.
    fn wrap(&mut self, start: String, words: &str, indent: usize) {
        let mut line = start;
        let mut empty = true;
        // Runs of spaces are columns and are kept, unless the line breaks there.
        let mut gap = 0;
        for word in words.split(' ') {
            if word.is_empty() {
                gap += 1;
                continue;
            }
            if !empty && columns(&line) + 1 + gap + columns(word) > WIDTH {
                self.line(&line);
                line = " ".repeat(indent);
                empty = true;
            }
            if !empty {
                line.push_str(&" ".repeat(1 + gap));
            }
            line.push_str(word);
            (empty, gap) = (false, 0);
        }
        self.line(&line);
    }
}

/// The columns that a text takes: its characters without the codes of its colours.
fn columns(text: &str) -> usize {
    let mut in_code = false;
    let visible = |c: &char| {
        let shown = !in_code && *c != '\x1b';
        in_code = (in_code || *c == '\x1b') && *c != 'm';
        shown
    };
    text.chars().filter(visible).count()
}

#[cfg(test)]
mod tests;
