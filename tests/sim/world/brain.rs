//! The brain of each agent: the reconciler's core, and the driver that carries its
//! calls to the model cloud and brings back what becomes of them.

use haagent::proto::claim::event::{Action, FailureClass, Holder, Intent, Outcome, Ticket};
use haagent::proto::claim::{STALE_READ, event as claim};
use haagent::proto::time::Duration;

use super::queue::{Event, Word};
use super::{Happening, World, droplet};
use crate::cloud::failed;
use crate::faults::Host as HostIndex;
use crate::planted::Bug;

/// The driver's time limit for an API call (`digitalocean.timeout`).
pub(crate) const API_TIMEOUT: Duration = Duration::from_secs(5);

impl World {
    /// Into the brain's channel, which keeps the order.
    pub(super) fn tell_brain(&mut self, host: HostIndex, word: impl FnOnce(u32) -> Event) {
        let delay = self.rng.duration(&self.setup.channel.clone());
        let now = self.now;
        let Some(agent) = &mut self.hosts[host].agent else { return };
        agent.brain_channel = agent.brain_channel.max(now + delay);
        let (at, run) = (agent.brain_channel, agent.run);
        self.post(at, word(run));
    }

    pub(super) fn learn_intent(&mut self, host: HostIndex, intent: Intent) {
        if let Some(agent) = &mut self.hosts[host].agent {
            agent.gate.hold = match intent {
                Intent::Hold(hold) => Some(hold.since),
                Intent::Yield | Intent::Warm | Intent::Watch => None,
            };
            agent.gate.pass_ungated(agent.file);
        }
        self.brain(host, claim::Input::Intent(intent));
    }

    /// One input to the reconciler.
    pub(super) fn brain(&mut self, host: HostIndex, input: claim::Input) {
        let local = self.hosts[host].local(self.now);
        let Some(agent) = &mut self.hosts[host].agent else { return };
        agent.brain_at = None;
        agent.reconciler.handle(local, input);
        while let Some(output) = self.hosts[host].agent.as_mut().and_then(|agent| agent.reconciler.poll_output()) {
            match output {
                claim::Output::Start { ticket, action } => self.call(host, ticket, action),
                claim::Output::Cancel { ticket } => {
                    if let Some(agent) = &mut self.hosts[host].agent {
                        agent.calls.remove(&ticket);
                    }
                }
                claim::Output::Report(report) => {
                    if let Some(agent) = &mut self.hosts[host].agent {
                        // A lost poll: a look is what told that the assign has worked.
                        if agent.report.sent && report.state == claim::ClaimState::Held {
                            agent.landed = Some(self.now);
                        }
                        agent.report = report.clone();
                    }
                    self.happenings.push(Happening::Report { host, report: report.clone() });
                    if self.setup.bug != Some(Bug::ReportsNothing) {
                        self.tell(host, Word::Claim(report));
                    }
                }
                claim::Output::Milestone(_) | claim::Output::Failed(_) => {}
            }
        }
        let Some(agent) = &mut self.hosts[host].agent else { return };
        if let Some(deadline) = agent.reconciler.next_deadline() {
            let at = self.now + deadline.since(local);
            agent.brain_at = Some(at);
            let run = agent.run;
            self.post(at, Event::Brain { host, run });
        }
    }

    fn call(&mut self, host: HostIndex, ticket: Ticket, action: Action) {
        let now = self.now;
        let Some(agent) = &mut self.hosts[host].agent else { return };
        agent.calls.insert(ticket, action);
        if action == Action::Assign {
            agent.metadata_said_mine = false;
        }
        let run = agent.run;
        if action == Action::Promote {
            agent.gate.promoting = agent.gate.hold;
        }
        self.happenings.push(Happening::Called { host, action });
        if action == Action::Promote {
            let takes = self.setup.promote.clone().unwrap_or(Duration::ZERO..=Duration::from_secs(2));
            let after = self.rng.duration(&takes);
            let outcome = match self.hosts[host].promotes {
                true => Outcome::Promoted,
                false => failed(FailureClass::Again, "the promote hook failed"),
            };
            self.post(now + after, Event::Reply { host, run, ticket, outcome });
            return;
        }
        if action == Action::LookLocal {
            if self.hosts[host].metadata {
                let after = self.rng.millis(1..=10);
                self.post(now + after, Event::Request { host, run, ticket, action });
            } else {
                let outcome = failed(FailureClass::Again, "metadata does not answer");
                self.post(now + Duration::from_secs(1), Event::Reply { host, run, ticket, outcome });
            }
            return;
        }
        if self.network.public_cut[host] {
            let after = self.rng.millis(1..=3_000);
            let outcome = failed(FailureClass::Again, "connection failed");
            self.post(now + after, Event::Reply { host, run, ticket, outcome });
            return;
        }
        if !self.rng.percent(self.setup.profile.lost_request_percent) {
            let after = self.rng.duration(&self.setup.profile.latency.clone());
            self.post(now + after, Event::Request { host, run, ticket, action });
        }
        let outcome = failed(FailureClass::Unanswered, "no answer within 5 s");
        self.post(now + API_TIMEOUT, Event::Reply { host, run, ticket, outcome });
    }

    /// The request is at the provider, whatever became of the agent that sent it.
    pub(super) fn request(&mut self, host: HostIndex, run: u32, ticket: Ticket, action: Action) {
        let now = self.now;
        let local = action == Action::LookLocal;
        if self.network.public_cut[host] && !local {
            return;
        }
        let (outcome, begun) = if self.hosts[host].token || local {
            self.cloud.request(now, droplet(host), action)
        } else {
            (failed(FailureClass::Never, "401 token refused"), None)
        };
        if let Some((after, id)) = begun {
            self.post(now + after, Event::Landing { id });
        }
        if local {
            let after = self.rng.millis(1..=10);
            self.post(now + after, Event::Reply { host, run, ticket, outcome });
        } else if !self.rng.percent(self.setup.profile.lost_reply_percent) {
            let after = self.rng.duration(&self.setup.profile.latency.clone());
            self.post(now + after, Event::Reply { host, run, ticket, outcome });
        }
    }

    /// What has become of a call, if its agent still waits for it.
    pub(super) fn end_call(&mut self, host: HostIndex, ticket: Ticket, outcome: Outcome) {
        let outcome = self.planted_outcome(outcome);
        let Some(agent) = &mut self.hosts[host].agent else { return };
        let Some(action) = agent.calls.remove(&ticket) else { return };
        if let Outcome::Local { mine } = outcome {
            // The read began a little before its answer.
            let lag = STALE_READ + Duration::from_millis(50);
            let lagging = agent.landed.is_some_and(|landed| self.now - landed <= lag);
            // "Not mine" within S of a landing is the lag, and makes the service a doubtful witness.
            agent.metadata_said_mine = mine || (agent.metadata_said_mine && !lagging);
        }
        if action == Action::Promote && outcome == Outcome::Promoted {
            agent.gate.promoted = agent.gate.promoted.max(agent.gate.promoting);
        }
        if ends_well(&outcome) {
            agent.landed = Some(self.now);
        }
        self.happenings.push(Happening::Answered { host, action, outcome: outcome.clone() });
        self.brain(host, claim::Input::Done { ticket, outcome });
    }

    fn planted_outcome(&self, outcome: Outcome) -> Outcome {
        match (self.setup.bug, outcome) {
            (Some(Bug::BelievesMetadataAlways), Outcome::Local { .. }) => Outcome::Local { mine: true },
            (Some(Bug::TakesForeignForNobody), Outcome::Api { holder: Holder::Foreign(_), locked }) => {
                Outcome::Api { holder: Holder::Nobody, locked }
            }
            (_, outcome) => outcome,
        }
    }
}

/// The answer says that an own assign has worked.
fn ends_well(outcome: &Outcome) -> bool {
    match outcome {
        Outcome::Progress(progress) => *progress == claim::Progress::Completed,
        Outcome::Failed(failure) => failure.class == FailureClass::AlreadyAssigned,
        Outcome::Local { .. }
        | Outcome::Api { .. }
        | Outcome::Warmed
        | Outcome::Accepted { .. }
        | Outcome::Promoted => false,
    }
}
