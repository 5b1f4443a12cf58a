//! The answers of `haagent why` for people.

use super::{Page, Paint, Style, act, claim_words, clean, deferred, last_move, steps, told, until_it_fails};
use crate::view::judge::Block;
use crate::view::status::{Move, State};
use crate::view::why::{Failover, GroupWhy, PROBE, Why, untold_waiting};
use crate::view::words::{self, age};

/// All groups, in 80 columns.
#[must_use]
pub fn why(why: &Why, style: Style) -> String {
    let mut page = Page::default();
    for (place, group) in why.groups.iter().enumerate() {
        if place > 0 {
            page.line("");
        }
        one_group(&mut page, why, group, style);
    }
    if why.groups.is_empty() {
        page.line("no group is configured");
    }
    page.text
}

fn one_group(page: &mut Page, why: &Why, group: &GroupWhy, style: Style) {
    page.prose(&style.strong(&clean(&group.answer)));
    page.line("");
    page.item("master", &master(why, group));
    for claim in &group.claims {
        page.item("address", &claim_words(&why.node, claim));
    }
    if group.claims.is_empty() {
        page.item("address", "this group has no claim");
    }
    for problem in &group.problems {
        page.item("problem", &style.paint(Paint::Doubt, &told(problem)));
    }
    this_node(page, why, group);
    failover(page, group, style);
    for one in &group.acts {
        page.item("in force", &act(why.at, one, style));
    }
    match &group.last_move {
        Some(last) => moved(page, why, group, last),
        None => page.item("last move", "none is known"),
    }
    page.item("look next", &clean(&group.look_next.join("; ")));
}

fn master(why: &Why, group: &GroupWhy) -> String {
    let Some(master) = &group.master else { return "nobody is heard as master".to_owned() };
    let whose = if master.node == why.node { " (this node)" } else { "" };
    let since = master.since.map(|since| format!(" for {}", age(why.at.since(since)))).unwrap_or_default();
    let because = master.evidence.as_ref().or(master.reason.as_ref());
    let because = because.map(|because| format!(": {}", clean(because))).unwrap_or_default();
    format!("{}{whose}{since}, term {}{because}", master.node, master.term)
}

fn this_node(page: &mut Page, why: &Why, group: &GroupWhy) {
    let state = format!("{} for {}", words::state(group.state), age(why.at.since(group.since)));
    // Told of the master above, or in what follows.
    let told_above =
        |evidence: &str| group.state == State::Master || group.because.iter().any(|line| line.contains(evidence));
    let evidence = group.evidence.as_ref().filter(|evidence| !told_above(evidence));
    let evidence = evidence.map(|evidence| format!(": {}", clean(evidence))).unwrap_or_default();
    page.item("this node", &format!("{state}{evidence}"));
    for line in &group.because {
        page.item("", &told(line));
    }
    if let Some(waiting) = untold_waiting(group) {
        let left = waiting.until.map(|until| format!("; {} left", age(until.since(why.at)))).unwrap_or_default();
        page.item("", &format!("{}{left}", clean(&waiting.what)));
    }
}

fn failover(page: &mut Page, group: &GroupWhy, style: Style) {
    page.item("failover", &would_follow(group, style));
    // What is told of this node stands above.
    let (above, below): (Vec<&Block>, Vec<&Block>) =
        group.failover.blocks.iter().partition(|block| group.because.contains(&block.to_string()));
    for block in above {
        // All of it stands above; here only what it comes to.
        let what = block.what.split_once(": ").map_or(block.what.as_str(), |(what, _)| what);
        page.item("blocked", &style.paint(Paint::Bad, &format!("{} (see above)", clean(what))));
    }
    for block in below {
        page.item("blocked", &style.paint(Paint::Bad, &told(&block.what)));
        if let Some(mend) = &block.mend {
            page.item("  mend", &clean(mend));
        }
    }
}

/// Who would take over, and when.
fn would_follow(group: &GroupWhy, style: Style) -> String {
    let Failover { ready, turns, needs, .. } = &group.failover;
    let (good, bad) = (|text: &str| style.paint(Paint::Good, text), |text: &str| style.paint(Paint::Bad, text));
    let doubt = |text: &str| style.paint(Paint::Doubt, text);
    let Some(master) = &group.master else {
        let names: Vec<String> = turns.iter().map(|turn| clean(&turn.node)).collect();
        return match ready {
            Some(true) if deferred(group.waiting.as_ref()) => until_it_fails(&good(&names.join(", then "))),
            Some(true) => format!("no master is heard; {} can take over", good(&names.join(", then "))),
            Some(false) => format!("no master is heard, and {} can take over", bad("NOBODY")),
            None => format!("no master is heard, and {}", doubt("nobody is known to be able to take over")),
        };
    };
    let when = format!("if {} died now", master.node);
    match (ready, turns.split_first()) {
        (Some(true), Some((first, later))) => {
            let who = good(&format!("{} would take over", clean(&first.node)));
            let later =
                later.iter().map(|turn| format!(", then {} after {}", clean(&turn.node), seconds(turn.after_ms)));
            let later: String = later.collect();
            let probe = if needs.contains(&PROBE) { ", if the probe is not answered either" } else { "" };
            format!(
                "{when}, {who}, {} after its last heartbeat{later}{probe}; then one assign",
                seconds(first.after_ms)
            )
        }
        (Some(true), None) => format!("{when}, {}", good("somebody would take over")),
        (Some(false), _) => format!("{when}, {} would take over", bad("NOBODY")),
        (None, _) => format!("{when}, {}", doubt("nobody is known to be able to take over")),
    }
}

/// A time that is a sum of settings, as short as it is: "1.5 s", "0.35 s".
#[allow(clippy::cast_precision_loss, reason = "shown with three places")]
fn seconds(ms: u64) -> String {
    format!("{} s", ms as f64 / 1e3)
}

fn moved(page: &mut Page, why: &Why, group: &GroupWhy, last: &Move) {
    page.item("last move", &last_move(why.at, last));
    // The one that made the master is told with it.
    let told = group.master.as_ref().is_some_and(|master| master.evidence == last.evidence);
    let rests_on = last.evidence.as_deref().filter(|_| !told).and_then(|evidence| Some(evidence.split_once("; ")?.1));
    if let Some(rests_on) = rests_on {
        page.item("", &clean(rests_on));
    }
    let steps = steps(last);
    if !steps.is_empty() {
        page.item("", &steps);
    }
    if let Some(by) = &last.by {
        page.item("", &format!("asked for by {}", clean(by)));
    }
}

#[cfg(test)]
mod tests;
