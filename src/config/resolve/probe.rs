//! What a probe means beside the group's claim.

use std::net::IpAddr;

use crate::config::problem::{Collector, Told};
use crate::config::raw::{Field, RawProbe};
use crate::config::types::{Claim, Probe};

/// The probe of the group `title`, which claims `claim` where that is known.
pub(super) fn probe(
    raw: Option<RawProbe>,
    claim: Option<Claim>,
    title: &str,
    told: &mut Collector,
) -> Result<Option<Probe>, Told> {
    let Some(RawProbe { target: (target, span), timeout }) = raw else { return Ok(None) };
    match (target.literal(), claim) {
        (Some(asked), Some(claim)) if asked != IpAddr::V4(claim.address()) => {
            let message = format!("the probe asks {asked}, and {title} claims {}", claim.address());
            let mend = "ask through the claimed address: an answer by another one says nothing of who serves it";
            return Err(told.error(&span, &message, mend));
        }
        (Some(_), _) => {}
        (None, _) => {
            let wanted = claim.map_or_else(|| "the claimed address".to_owned(), |claim| claim.address().to_string());
            let message = format!(
                "the probe asks a name: \"{}\" must lead to {wanted}, and to nothing else, also when a name server fails",
                target.host()
            );
            told.warning(Some(&span), &message, "write the address, or put the name into /etc/hosts");
        }
    }
    match timeout {
        Field::Wrong(proof) => Err(proof),
        timeout => Ok(Some(Probe { target, timeout: timeout.or(Probe::TIMEOUT) })),
    }
}
