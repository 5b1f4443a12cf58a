//! From a droplet, as the API shows it, to a holder, as the election speaks of it.
//!
//! Pure. The one thing that must never happen here: taking "your token may not
//! see droplets" for "nobody has the address".

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use crate::cloud::digitalocean::types::{Droplet, DropletStatus, Member};
use crate::proto::claim::event::Holder;
use crate::proto::ids::DropletId;

/// Who is who in a group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Directory {
    /// The private addresses of all members, this node's own too.
    pub members: Vec<Ipv4Addr>,
    /// Droplets of members, as their bulletins said or as an earlier run kept
    /// them. A member whose droplet shows no private address is known by this alone.
    pub droplets: BTreeMap<DropletId, Ipv4Addr>,
}

/// What a droplet says about the holder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// This is the holder.
    Holder(Holder),
    /// No droplet is shown: "nobody", if the token may see droplets. Reading
    /// this node's own one proves that.
    NobodyIfSeen,
    /// The droplet is shown without anything that tells who it is: read it (404: it is gone).
    Read(DropletId),
}

impl Directory {
    /// Who the droplet of a reserved IP is to this node.
    #[must_use]
    pub fn judge(&self, shown: &Member<Droplet>, own: DropletId) -> Verdict {
        match shown {
            Member::Absent | Member::Null => Verdict::NobodyIfSeen,
            Member::Present(droplet) => {
                let bare = droplet.networks.is_none() && droplet.status == DropletStatus::Unknown;
                match self.holder(droplet, own) {
                    Holder::Foreign(id) if bare => Verdict::Read(id),
                    holder => Verdict::Holder(holder),
                }
            }
        }
    }

    /// Who a droplet is to this node. One that is off or archived holds nothing
    /// that anybody would miss, whoever it is.
    #[must_use]
    pub fn holder(&self, droplet: &Droplet, own: DropletId) -> Holder {
        if droplet.id == own {
            return Holder::Mine;
        }
        match droplet.status {
            DropletStatus::Off | DropletStatus::Archive => return Holder::Nobody,
            DropletStatus::New | DropletStatus::Active | DropletStatus::Unknown => {}
        }
        let by_address = droplet.private_addresses().find(|address| self.members.contains(address));
        let by_droplet = || self.droplets.get(&droplet.id).copied().filter(|address| self.members.contains(address));
        by_address.or_else(by_droplet).map_or(Holder::Foreign(droplet.id), Holder::Member)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: DropletId = DropletId(1);
    const PEER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);

    fn directory() -> Directory {
        let known = [(DropletId(2), PEER), (DropletId(9), Ipv4Addr::new(10, 0, 0, 99))];
        Directory { members: vec![Ipv4Addr::new(10, 0, 0, 1), PEER], droplets: known.into() }
    }

    fn judge(json: &str) -> Verdict {
        directory().judge(&serde_json::from_str(json).unwrap(), OWN)
    }

    #[test]
    fn a_droplet_is_mine_a_members_nobodys_or_foreign() {
        use Verdict::{Holder as Is, NobodyIfSeen, Read};
        let network = |address: &str, kind: &str| {
            format!(r#""networks":{{"v4":[{{"ip_address":"{address}","type":"{kind}"}}]}}"#)
        };
        let (private, public) = (network("10.0.0.2", "private"), network("10.0.0.2", "public"));
        for (json, verdict) in [
            ("null".to_owned(), NobodyIfSeen),
            (r#"{"id":1}"#.to_owned(), Is(Holder::Mine)),
            (r#"{"id":1,"status":"off"}"#.to_owned(), Is(Holder::Mine)),
            (format!(r#"{{"id":7,"status":"active",{private}}}"#), Is(Holder::Member(PEER))),
            (format!(r#"{{"id":7,"status":"active",{public}}}"#), Is(Holder::Foreign(DropletId(7)))),
            (format!(r#"{{"id":7,"status":"off",{private}}}"#), Is(Holder::Nobody)),
            (format!(r#"{{"id":7,"status":"archive",{public}}}"#), Is(Holder::Nobody)),
            (format!(r#"{{"id":7,"status":"new",{private}}}"#), Is(Holder::Member(PEER))),
            (r#"{"id":2,"status":"active","networks":{"v4":[]}}"#.to_owned(), Is(Holder::Member(PEER))),
            (r#"{"id":2}"#.to_owned(), Is(Holder::Member(PEER))),
            // Known once, but no member any more.
            (r#"{"id":9,"status":"active"}"#.to_owned(), Is(Holder::Foreign(DropletId(9)))),
            (r#"{"id":7,"status":"active"}"#.to_owned(), Is(Holder::Foreign(DropletId(7)))),
            (r#"{"id":7}"#.to_owned(), Read(DropletId(7))),
        ] {
            assert_eq!(judge(&json), verdict, "{json}");
        }
        assert_eq!(directory().judge(&Member::Absent, OWN), NobodyIfSeen);
    }
}
