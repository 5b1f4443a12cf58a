//! One step of a test: a fault, and what must follow from it.
//!
//! What is expected must not hold before the fault: it is looked at for a while first. So an
//! expectation that would hold anyway fails the test, and so does a lab that moves by itself.
//! When it holds it must go on to: nothing more may happen for a while.

use std::time::{Duration, SystemTime};

use haagent::sys::clock;
use serde_json::Value;

use super::lab::Lab;
use super::lab::cloud::Deeds;
use super::lab::node::Node;
use super::lab::wait::{DEADLINE, until};

/// A further condition.
pub type Also<'a> = &'a dyn Fn(&Lab) -> Result<(), String>;

/// What must follow from a fault. Everything counts from the fault on.
pub struct Expected<'a> {
    /// Who holds the address, in truth.
    pub holder: &'a str,
    /// All live nodes that say that they are master.
    pub masters: &'a [&'a str],
    /// The live nodes that see another holder or master, or none.
    pub blind: &'a [&'a str],
    /// Assigns of agents; any other write fails the test.
    pub assigns: usize,
    /// Changes of the holder, by whomever.
    pub moves: usize,
    /// The services that answered the client, one for each connection that was cut.
    pub client: &'a [&'a str],
    /// Node, state, reason: the newest change of state in `haagent history --json`.
    pub history: &'a [(&'a str, &'a str, &'a str)],
    /// From, to, reason: the newest move that the new holder wrote down, verified.
    pub recorded: Option<(Option<&'a str>, &'a str, &'a str)>,
    /// For how many dead intervals nothing more may happen.
    pub lasts: u32,
    pub also: Also<'a>,
}

impl<'a> Expected<'a> {
    /// The address stays, and `holder` stays master. Where nothing changes, only `also` can show
    /// that there was a fault.
    pub fn nothing_moves(holder: &'a str, masters: &'a [&'a str], also: Also<'a>) -> Self {
        Self {
            holder,
            masters,
            blind: &[],
            assigns: 0,
            moves: 0,
            client: &[],
            history: &[],
            recorded: None,
            lasts: 2,
            also,
        }
    }

    /// Longer than any rule counts silence (rule 7: eight dead intervals and the skew), and
    /// than the truth is asked for by a node without a master (each two seconds).
    pub fn for_good(self) -> Self {
        Self { lasts: 10, ..self }
    }

    /// One assign moves the address from one node to another, which became master for this reason.
    pub fn one_move(from: &'a str, history: &'a [(&'a str, &'a str, &'a str); 1]) -> Self {
        let [(new, _, reason)] = history;
        let only = std::slice::from_ref(new);
        Self {
            holder: new,
            masters: only,
            blind: &[],
            assigns: 1,
            moves: 1,
            client: only,
            history,
            recorded: Some((Some(from), new, reason)),
            lasts: 2,
            also: &|_| Ok(()),
        }
    }

    pub fn and(self, also: Also<'a>) -> Self {
        Self { also, ..self }
    }

    fn look(&self, lab: &Lab, mark: &Mark) -> Result<(), String> {
        let holder = lab.holder();
        compare("the holder", holder.as_str(), self.holder)?;
        let Deeds { writes, assigns, moves } = lab.cloud.deeds(mark.event);
        compare("assigns", &assigns, &self.assigns)?;
        compare("writing calls", &writes, &self.assigns)?;
        compare("moves", &moves, &self.moves)?;
        compare("what the client heard", &lab.client.heard()[mark.connections..], self.client)?;
        self.look_at_nodes(lab)?;
        for (node, state, reason) in self.history {
            let newest = newest(lab.node(node), "state", mark.at)?;
            let told = (&newest["to_state"], &newest["reason"]);
            if told.0 != state || told.1 != reason {
                return Err(format!("history of {node}: not ({state}, {reason}) but {newest}"));
            }
        }
        if let Some((from, to, reason)) = self.recorded {
            let newest = newest(lab.node(to), "move", mark.at)?;
            let told = (newest["from"].as_str(), &newest["to"], &newest["reason"]);
            if told.0 != from || told.1 != to || told.2 != reason || newest["phases_ms"]["verified"].is_null() {
                return Err(format!("history of {to}: not a verified move ({from:?}, {to}, {reason}) but {newest}"));
            }
        }
        (self.also)(lab)
    }

    fn look_at_nodes(&self, lab: &Lab) -> Result<(), String> {
        let holder = match self.holder {
            "stranger" => format!("droplet:{}", super::lab::STRANGER),
            name => name.to_owned(),
        };
        let mut masters = Vec::new();
        for node in lab.nodes().iter().filter(|node| node.is_live()) {
            let group = node.group()?;
            if group["state"] == "master" {
                masters.push(node.name.as_str());
            }
            if self.blind.contains(&node.name.as_str()) {
                continue;
            }
            let sees = |key: &str, value: &Value, expected: Option<&str>| {
                let value = value.as_str();
                if value == expected { Ok(()) } else { Err(format!("{} sees {key} {value:?}: {group}", node.name)) }
            };
            sees("holder", &group["claims"][0]["holder"], Some(&holder))?;
            sees("master", &group["master"], self.masters.first().copied())?;
        }
        compare("the masters", masters.as_slice(), self.masters)
    }
}

/// A moment to count from.
struct Mark {
    event: u64,
    connections: usize,
    at: SystemTime,
}

impl Mark {
    fn now(lab: &Lab) -> Self {
        Self { event: lab.cloud.newest(), connections: lab.client.heard().len(), at: clock::wall() }
    }
}

/// Shows that what is expected does not hold, injects the fault, and waits until it holds for good.
#[track_caller]
pub fn step(lab: &Lab, name: &str, fault: impl FnOnce(&Lab), expected: &Expected<'_>) {
    let before = Mark::now(lab);
    if until(lab.interval() * 2, || expected.look(lab, &before)).is_ok() {
        panic!("{name}: what is expected holds without the fault: the test proves nothing");
    }
    if let Some(event) = lab.cloud.stir(before.event, Duration::ZERO) {
        panic!("{name}: something happened before the fault: {event}");
    }
    let mark = Mark::now(lab);
    fault(lab);
    if let Err(why) = until(DEADLINE, || expected.look(lab, &mark)) {
        panic!("{name}: {why}");
    }
    let settled = lab.cloud.newest();
    if let Some(event) = lab.cloud.stir(settled, lab.dead_interval() * expected.lasts) {
        panic!("{name}: it did not end there: {event}");
    }
    if let Err(why) = expected.look(lab, &mark) {
        panic!("{name}: it did not last: {why}");
    }
}

/// The newest entry of a kind in a node's own history, not older than `since`.
fn newest(node: &Node, kind: &str, since: SystemTime) -> Result<Value, String> {
    if !node.is_live() {
        return Err(format!("{} does not run", node.name));
    }
    // Entries are kept to the millisecond.
    let since = since - Duration::from_millis(1);
    let entries = node.history()?;
    let is_new = |entry: &&Value| {
        let at = entry["at"].as_str().and_then(|at| humantime::parse_rfc3339(at).ok());
        entry["entry"] == kind && at.is_some_and(|at| at > since)
    };
    let newest = entries.iter().rev().find(is_new).cloned();
    newest.ok_or_else(|| format!("{} wrote down no {kind} since the fault", node.name))
}

fn compare<T: PartialEq<U> + std::fmt::Debug + ?Sized, U: std::fmt::Debug + ?Sized>(
    what: &str,
    found: &T,
    expected: &U,
) -> Result<(), String> {
    if found == expected { Ok(()) } else { Err(format!("{what}: {found:?}, not {expected:?}")) }
}
