//! P3, one truth: no node believes that it holds an IP that it does not hold for
//! longer than one verify interval plus the lag of metadata, and the second read
//! `I` later that rule 13 asks for.

use haagent::proto::claim::STALE_READ;
use haagent::proto::claim::event::ClaimState;
use haagent::proto::time::Time;

use super::{Duration, Invariant};
use crate::cloud::Api;
use crate::world::{API_TIMEOUT, Setup, World};

/// By whose word a node can learn that it lost the IP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Teacher {
    Metadata,
    /// Metadata never said "mine" in this hold, said "not mine" within `S` of a landing
    /// (the lag), or is down: only the API counts (rule 13).
    Api,
}

pub(crate) struct OneTruth {
    wrong: Vec<Option<(Time, Teacher)>>,
    by_metadata: Duration,
    by_api: Duration,
}

impl OneTruth {
    pub(crate) fn new(setup: &Setup) -> Self {
        // Two local reads take up to 20 ms each, each word through a channel its delay.
        let slack = Duration::from_millis(60) + *setup.channel.end() * 2;
        Self {
            wrong: vec![None; setup.hosts],
            by_metadata: setup.verify_interval + setup.profile.metadata_lag + setup.interval + slack,
            // Stale reads, the longest pause between two looks (10 s and its jitter), a lost
            // answer and the second look after it, and two rounds of `Unknown`.
            by_api: setup.profile.stale + Duration::from_secs(12) + API_TIMEOUT * 2 + slack,
        }
    }
}

impl Invariant for OneTruth {
    fn promise(&self) -> &'static str {
        "P3 one truth"
    }

    fn look(&mut self, world: &World) -> Result<(), String> {
        for (index, host) in world.hosts.iter().enumerate() {
            let believes = host.agent.as_ref().filter(|agent| {
                agent.report.state == ClaimState::Held
                    && host.paused.is_none()
                    && world.cloud.holder() != Some(host.droplet)
            });
            let api =
                matches!(world.cloud.api, Api::Up | Api::ReadOnly) && host.token && !world.network.public_cut[index];
            let teacher = believes.and_then(|agent| {
                let lagging = agent.landed.is_some_and(|landed| world.now - landed <= STALE_READ);
                if host.metadata && agent.metadata_said_mine && !lagging {
                    Some(Teacher::Metadata)
                } else {
                    // Nothing answers: still Held, "unverified" (fail static).
                    api.then_some(Teacher::Api)
                }
            });
            let Some(teacher) = teacher else {
                self.wrong[index] = None;
                continue;
            };
            let (since, by) = *self.wrong[index].get_or_insert((world.now, teacher));
            if by != teacher {
                self.wrong[index] = Some((world.now, teacher));
                continue;
            }
            let limit = match teacher {
                Teacher::Metadata => self.by_metadata,
                Teacher::Api => self.by_api,
            };
            if world.now - since > limit {
                return Err(format!(
                    "host {index} believes for {:?} that it holds what it does not ({teacher:?} could tell; at most {limit:?})",
                    world.now - since
                ));
            }
        }
        Ok(())
    }
}
