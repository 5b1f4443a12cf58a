//! An operator's word: what it changes, and when it is refused.

use super::Election;
use super::event::{Command, Reason, Refusal};
use super::state::State;
use crate::proto::claim::event::{Base, Holder};
use crate::proto::ids::DropletId;
use crate::proto::time::Time;

impl Election {
    pub(super) fn command(&mut self, now: Time, command: Command) -> Result<(), Refusal> {
        match command {
            Command::Drain => self.drained = true,
            Command::Resume => {
                self.drained = false;
                self.protected = false;
            }
            Command::Failover { to } => return self.order(now, to),
            Command::Take { droplet } => return self.take(now, droplet),
            Command::Resign => {
                let successor = self.successor(now);
                self.leave(now, Reason::Stopping { successor });
            }
        }
        Ok(())
    }

    /// `failover --take`: this foreign droplet becomes the base (rule 12).
    pub(super) fn take(&mut self, now: Time, droplet: DropletId) -> Result<(), Refusal> {
        if self.claim.look.is_none_or(|look| look.holder != Holder::Foreign(droplet)) {
            return Err(Refusal::NotTheHolder(droplet));
        }
        let base = Base::of_foreign(droplet);
        match &self.state {
            State::Master(_) => self.base = base,
            State::Backup(_) if self.master_heard(now).is_none() => {
                self.take_over(now, Reason::Taken { droplet }, base, true);
            }
            State::Init(_) | State::Backup(_) | State::Fault(_) | State::Left(_) => return Err(Refusal::NotMaster),
        }
        Ok(())
    }
}
