//! What the API answers, as far as it is used here.
//!
//! The API adds members, leaves out those that a token may not see, and writes
//! `null` where a list is meant. So everything but an id may be absent or null,
//! and unknown members are ignored. Only what would make a decision wrong is an
//! error: a holder whose id cannot be read.

use std::net::Ipv4Addr;

use serde::{Deserialize, Deserializer};

use crate::proto::claim::event::{CloudActionId, Progress};
use crate::proto::ids::DropletId;

/// `null` is read as the type's default.
fn null_as_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// A list in which `null` members (seen in lists over several pages) are left out.
fn without_nulls<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    let members: Option<Vec<Option<T>>> = Option::deserialize(deserializer)?;
    Ok(members.unwrap_or_default().into_iter().flatten().collect())
}

/// A member that may be absent, `null` or there. For the droplet of a reserved
/// IP the first two can mean "nobody" or "your token may not see it".
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum Member<T> {
    /// Not in the answer.
    #[default]
    Absent,
    /// There, and `null`.
    Null,
    /// There.
    Present(T),
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Member<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Option::deserialize(deserializer)?.map_or(Self::Null, Self::Present))
    }
}

/// A reserved IPv4.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct ReservedIp {
    /// The address, which is also its name in paths.
    pub ip: Ipv4Addr,
    /// Who has it.
    #[serde(default)]
    pub droplet: Member<Droplet>,
    /// An action is under way on it, and others are refused. Absent counts as
    /// "no": a member that the API stops sending must not keep a claim unverified for ever.
    #[serde(default, deserialize_with = "null_as_default")]
    pub locked: bool,
}

/// A droplet.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Droplet {
    /// Its number.
    pub id: DropletId,
    /// How the control plane sees it.
    #[serde(default, deserialize_with = "null_as_default")]
    pub status: DropletStatus,
    /// Its addresses; `None` if the answer does not speak of them.
    #[serde(default)]
    pub networks: Option<Networks>,
}

impl Droplet {
    /// Its private IPv4 addresses. A reserved IP is listed among the public ones.
    pub fn private_addresses(&self) -> impl Iterator<Item = Ipv4Addr> + '_ {
        self.networks
            .iter()
            .flat_map(|networks| &networks.v4)
            .filter(|network| network.kind == "private")
            .filter_map(|network| network.ip_address.parse().ok())
    }
}

/// A droplet's state by the control plane. `active` does not prove life: a
/// crashed hypervisor shows it too. `off` and `archive` prove death.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DropletStatus {
    /// Being made.
    New,
    /// On, as far as anybody knows.
    Active,
    /// Powered off.
    Off,
    /// Archived.
    Archive,
    /// Not said, or a word that nobody knows.
    #[default]
    #[serde(other)]
    Unknown,
}

/// A droplet's addresses.
#[derive(Clone, Debug, PartialEq, Eq, Default, Deserialize)]
pub struct Networks {
    /// The IPv4 ones, in no promised order.
    #[serde(default, deserialize_with = "without_nulls")]
    pub v4: Vec<Network>,
}

/// One address of a droplet. Its gateway is not read: the spec allows `"nil"` there.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Network {
    /// The address.
    #[serde(default, deserialize_with = "null_as_default")]
    pub ip_address: String,
    /// `public` or `private`.
    #[serde(default, rename = "type", deserialize_with = "null_as_default")]
    pub kind: String,
}

/// An action ("event"). Its `resource_type` may say `floating_ip` and its
/// `resource_id` 0, so neither is read.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Action {
    /// Its number.
    pub id: u64,
    /// How far it is.
    #[serde(default, deserialize_with = "null_as_default")]
    pub status: String,
}

impl Action {
    /// Its number, in the reconciler's words.
    #[must_use]
    pub fn cloud_id(&self) -> CloudActionId {
        CloudActionId(self.id)
    }

    /// How far it is. For some hours in 2021 the API said `done` for `completed`
    /// (terraform-provider-digitalocean issue 711); an unknown word is no end.
    #[must_use]
    pub fn progress(&self) -> Progress {
        match self.status.as_str() {
            "completed" | "done" => Progress::Completed,
            "errored" => Progress::Errored,
            _ => Progress::Pending,
        }
    }
}

/// The body of an error. Every member may be missing: gateways answer HTML.
#[derive(Clone, Debug, PartialEq, Eq, Default, Deserialize)]
pub struct ErrorBody {
    /// The kind, `not_found`; all 422s share one.
    #[serde(default, deserialize_with = "null_as_default")]
    pub id: String,
    /// The English text, which alone tells one 422 from another.
    #[serde(default, deserialize_with = "null_as_default")]
    pub message: String,
    /// What DigitalOcean's support asks for.
    #[serde(default)]
    pub request_id: Option<String>,
}

/// `{"reserved_ip": ...}`
#[derive(Debug, Deserialize)]
pub(super) struct ReservedIpAnswer {
    pub(super) reserved_ip: ReservedIp,
}

/// `{"droplet": ...}`
#[derive(Debug, Deserialize)]
pub(super) struct DropletAnswer {
    pub(super) droplet: Droplet,
}

/// `{"action": ...}`
#[derive(Debug, Deserialize)]
pub(super) struct ActionAnswer {
    pub(super) action: Action,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reserved_ip(json: &str) -> ReservedIp {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn an_absent_droplet_is_told_from_a_null_one() {
        assert_eq!(reserved_ip(r#"{"ip":"203.0.113.10"}"#).droplet, Member::Absent);
        assert_eq!(reserved_ip(r#"{"ip":"203.0.113.10","droplet":null}"#).droplet, Member::Null);
        let held = reserved_ip(r#"{"ip":"203.0.113.10","droplet":{"id":9007199254740993}}"#);
        let Member::Present(droplet) = held.droplet else { panic!("{held:?}") };
        assert_eq!(droplet.id, DropletId(9_007_199_254_740_993));
    }

    #[test]
    fn unknown_null_and_missing_members_are_tolerated() {
        let ip = reserved_ip(
            r#"{"new":{"a":[1]},"region":null,"locked":null,"ip":"203.0.113.10","droplet":
                {"id":1,"name":null,"status":null,"tags":null,"networks":{"v4":[null,{"type":null},
                {"ip_address":"203.0.113.10","type":"public"},{"ip_address":"10.0.0.2","gateway":"nil","type":"private"},
                {"ip_address":"junk","type":"private"}],"v6":7}}}"#,
        );
        assert!(!ip.locked);
        let Member::Present(droplet) = ip.droplet else { panic!() };
        assert_eq!(droplet.status, DropletStatus::Unknown);
        assert_eq!(droplet.private_addresses().collect::<Vec<_>>(), [Ipv4Addr::new(10, 0, 0, 2)]);
    }

    #[test]
    fn a_holder_without_a_readable_id_is_an_error() {
        for body in [r#"{}"#, r#"{"id":null}"#, r#"{"id":-1}"#, r#"{"id":1.5}"#, "7", "[]"] {
            let json = format!(r#"{{"ip":"203.0.113.10","droplet":{body}}}"#);
            assert!(serde_json::from_str::<ReservedIp>(&json).is_err(), "{body}");
        }
    }

    #[test]
    fn every_word_for_an_actions_status_has_a_meaning() {
        for (word, meaning) in [
            (r#""in-progress""#, Progress::Pending),
            (r#""new""#, Progress::Pending),
            (r#""something else""#, Progress::Pending),
            ("null", Progress::Pending),
            (r#""completed""#, Progress::Completed),
            (r#""done""#, Progress::Completed),
            (r#""errored""#, Progress::Errored),
        ] {
            let json = format!(
                r#"{{"id":4294967297,"status":{word},"region":null,"resource_id":0,"resource_type":"floating_ip"}}"#
            );
            assert_eq!(serde_json::from_str::<Action>(&json).unwrap().progress(), meaning, "{word}");
        }
    }
}
