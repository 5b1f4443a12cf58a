//! What must be so after an event, by three witnesses: the cloud's own log, the client, both agents.

use std::time::Duration;

use serde_json::Value;

use super::DemoError;
use super::paint::Tone;
use super::show::{Event, Show};

/// What was looked at, and what was not as it must be.
#[derive(Debug, Default)]
pub(super) struct Evidence {
    verified: Vec<String>,
    missed: Vec<String>,
}

impl Evidence {
    /// Something that must be so, and what there is if it is not.
    pub(super) fn must(&mut self, so: bool, what: impl Into<String>, instead: impl FnOnce() -> String) {
        if so {
            self.verified.push(what.into());
        } else {
            self.missed.push(format!("{}; instead: {}", what.into(), instead()));
        }
    }

    /// # Errors
    /// Something was not as it must be: all of that.
    pub(super) fn so_far(&self) -> Result<(), DemoError> {
        if self.missed.is_empty() { Ok(()) } else { Err(DemoError::NotVerified(self.missed.join(". "))) }
    }

    /// Says what was verified.
    ///
    /// # Errors
    /// Something was not as it must be.
    pub(super) fn say(self, show: &Show) -> Result<(), DemoError> {
        self.so_far()?;
        show.page.blank()?;
        let mut word = "VERIFIED";
        for text in self.verified {
            show.page.item(Tone::Good, word, 10, &text)?;
            word = "";
        }
        Ok(())
    }
}

/// The address moved once, from one host to the other, and all agree about it.
///
/// # Errors
/// Somebody cannot be asked.
pub(super) async fn moved_once(show: &Show, event: &Event, from: usize, to: usize) -> Result<Evidence, DemoError> {
    let mut evidence = Evidence::default();
    let [old, new] = [from, to].map(|host| &show.stage.hosts[host]);
    let (moves, _) = show.stage.cloud_events(event.cloud, "moved", Duration::ZERO).await?;
    let one = moves.len() == 1 && {
        let one = &moves[0];
        one["from"] == old.droplet && one["to"] == new.droplet && one["by"] == new.name.as_str()
    };
    let what = format!("the cloud's log has one move, {} -> {}, ordered by {}", old.name, new.name, new.name);
    evidence.must(one, what, || told(&moves));
    agree(show, to, &mut evidence).await?;
    let late = {
        let record = show.client.record();
        let first = record.first_answer(event.begun, &new.name);
        first.and_then(|first| record.stranger(first, &new.name).map(str::to_owned))
    };
    let what = format!("the client heard nobody but {} since its first answer", new.name);
    evidence.must(late.is_none(), what, || format!("it heard {}", late.unwrap_or_default()));
    Ok(evidence)
}

/// Both agents say that this host is master and holder, that the address is served, and that a failover would work.
///
/// # Errors
/// An agent cannot be asked.
pub(super) async fn agree(show: &Show, master: usize, evidence: &mut Evidence) -> Result<(), DemoError> {
    let name = show.name(master).to_owned();
    let mut other = Vec::new();
    for host in 0..show.stage.hosts.len() {
        let group = show.stage.group(host).await?;
        let agrees = group["master"] == name.as_str()
            && group["claims"][0]["holder"] == name.as_str()
            && group["served"] == true
            && group["failover_ready"] == true;
        if !agrees {
            other.push(format!(
                "{} says: master {}, holder {}, served {}, failover_ready {}",
                show.name(host),
                group["master"],
                group["claims"][0]["holder"],
                group["served"],
                group["failover_ready"]
            ));
        }
    }
    let what = format!("both agents say: {name} is master and has it; it is served; a failover would work");
    evidence.must(other.is_empty(), what, || other.join(", "));
    Ok(())
}

/// Moves of the cloud's log in words.
pub(super) fn told(moves: &[Value]) -> String {
    let word = |one: &Value| format!("{} -> {} by {}", one["from"], one["to"], one["by"].as_str().unwrap_or("nobody"));
    if moves.is_empty() { "no move".to_owned() } else { moves.iter().map(word).collect::<Vec<_>>().join(", ") }
}
