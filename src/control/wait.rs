//! `haagent wait`, on the agent's side: watch the snapshot until a node has come so far.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::server::Caller;
use super::wire::{LONGEST_WAIT, Response, WaitFor, all_groups};
use crate::proto::ids::GroupName;
use crate::view::judge;
use crate::view::status::Status;

/// Answers when this node has reached `what` in the named group, or in all of them; or when the time is over.
/// What is still lacking is told to the caller whenever it changes.
pub async fn wait(
    mut snapshots: watch::Receiver<Arc<Status>>,
    named: Option<GroupName>,
    what: WaitFor,
    timeout: Duration,
    caller: &Caller,
) -> Response {
    let groups: Vec<GroupName> =
        snapshots.borrow_and_update().groups.iter().map(|group| group.facts.name.clone()).collect();
    let meant: Vec<GroupName> = match all_groups(&groups, named.as_ref(), "wait") {
        Ok(meant) if meant.is_empty() => {
            return Response::Error { message: "this agent has no group: there is nothing to wait for".to_owned() };
        }
        Ok(meant) => meant.into_iter().cloned().collect(),
        Err(refusal) => return Response::Refused(refusal),
    };
    let mut lacking = String::new();
    let reached = async {
        loop {
            let now = still_lacking(&snapshots.borrow_and_update(), &meant, what);
            match now {
                None => return true,
                Some(now) if now != lacking => {
                    caller.progress(&format!("waiting for {what}: {now}"));
                    lacking = now;
                }
                Some(_) => {}
            }
            if snapshots.changed().await.is_err() {
                return false;
            }
        }
    };
    match tokio::time::timeout(timeout.min(LONGEST_WAIT), reached).await {
        Ok(true) => Response::Done { message: format!("{what}") },
        Ok(false) => Response::Error { message: "the agent is stopping".to_owned() },
        Err(_) => Response::TimedOut { message: format!("not {what}: {lacking}") },
    }
}

/// What the first of the groups lacks; nothing if all have come so far.
fn still_lacking(status: &Status, groups: &[GroupName], what: WaitFor) -> Option<String> {
    groups.iter().find_map(|name| {
        let Some(group) = status.groups.iter().find(|group| group.facts.name == *name) else {
            return Some(format!("group {name} is gone from the configuration"));
        };
        let lacks = !judge::reached(what, &group.facts);
        lacks.then(|| format!("group {name}: {}", judge::lacking(what, &group.facts)))
    })
}
