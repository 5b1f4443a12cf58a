//! The world at the start: what `--world` may say.
//!
//! Addresses are those to bind; port 0 takes a free one, and the ready line tells which.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// Everything that exists when the fake cloud starts.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct World {
    /// Where the API listens.
    pub(crate) api: SocketAddr,
    /// Where the control endpoint listens.
    pub(crate) control: SocketAddr,
    /// One metadata listener for all droplets, told apart by their private or public source
    /// address: for hosts in namespaces of their own.
    pub(crate) metadata: Option<SocketAddr>,
    pub(crate) settings: Settings,
    #[serde(rename = "token")]
    pub(crate) tokens: Vec<Token>,
    #[serde(rename = "droplet")]
    pub(crate) droplets: Vec<DropletSpec>,
    #[serde(rename = "reserved_ip")]
    pub(crate) reserved_ips: Vec<ReservedIpSpec>,
}

/// A token that the API accepts.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Token {
    pub(crate) token: String,
    /// The droplet whose agent uses it: what the event log and the faults tell callers apart by.
    pub(crate) droplet: Option<u64>,
    /// What it may do; all of it if absent.
    pub(crate) scopes: Option<BTreeSet<String>>,
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Token").field("droplet", &self.droplet).field("scopes", &self.scopes).finish_non_exhaustive()
    }
}

/// A droplet as it is at the start, or as the control endpoint adds it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DropletSpec {
    pub(crate) id: u64,
    pub(crate) name: String,
    /// Its address in the VPC; old droplets have none.
    pub(crate) private: Option<Ipv4Addr>,
    pub(crate) public: Option<Ipv4Addr>,
    #[serde(default = "default_region")]
    pub(crate) region: String,
    #[serde(default)]
    pub(crate) status: Power,
    #[serde(default)]
    pub(crate) tags: Vec<String>,
    /// Where its metadata service listens.
    pub(crate) metadata: Option<SocketAddr>,
    /// Where its service listens: the data plane forwards a held address there.
    pub(crate) service: Option<SocketAddr>,
}

/// A reserved IPv4 as it is at the start.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReservedIpSpec {
    pub(crate) ip: Ipv4Addr,
    #[serde(default = "default_region")]
    pub(crate) region: String,
    /// The droplet that has it; none: nobody.
    pub(crate) holder: Option<u64>,
    /// Where clients reach it: a loopback address that forwards to the present holder.
    pub(crate) dataplane: Option<SocketAddr>,
}

/// What the control plane says of a droplet's power. `active` does not prove life.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Power {
    New,
    #[default]
    Active,
    Off,
    Archive,
}

/// What a reserved IP shows as its droplet while a move is under way. Not documented by
/// DigitalOcean, so a client must bear all three.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum DuringMove {
    #[default]
    Old,
    Nobody,
    New,
}

/// What the metadata service answers for the address of a droplet that has none; unverified.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Inactive {
    #[default]
    NotFound,
    Empty,
}

/// How the cloud behaves without any fault; the control endpoint may change each at any time.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Settings {
    /// How long an assign or unassign takes.
    pub(crate) action_ms: u64,
    /// How long after its end the API still shows the old holder (a stale read).
    pub(crate) api_lag_ms: u64,
    /// How long the metadata service of the droplet that got an address does not know it yet.
    pub(crate) winner_lag_ms: u64,
    /// How long that of the droplet that lost it still says that it has it.
    pub(crate) loser_lag_ms: u64,
    /// How long clients still reach the old holder.
    pub(crate) dataplane_lag_ms: u64,
    /// During that time clients reach nobody, not the old holder.
    pub(crate) dataplane_gap: bool,
    pub(crate) during_move: DuringMove,
    pub(crate) inactive_address: Inactive,
    /// Calls per token and hour (sliding) before 429.
    pub(crate) calls_per_hour: u64,
    /// Calls per token and minute (sliding) before 429.
    pub(crate) calls_per_minute: u64,
    /// How long a reserved IP that was just created is not found.
    pub(crate) created_lag_ms: u64,
    /// The `resource_type` of actions; the live API says `floating_ip` too.
    pub(crate) resource_type: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            action_ms: 1000,
            api_lag_ms: 0,
            winner_lag_ms: 0,
            loser_lag_ms: 0,
            dataplane_lag_ms: 0,
            dataplane_gap: false,
            during_move: DuringMove::Old,
            inactive_address: Inactive::NotFound,
            calls_per_hour: 5000,
            calls_per_minute: 250,
            created_lag_ms: 0,
            resource_type: "reserved_ip".to_owned(),
        }
    }
}

/// `POST /settings`: some of the members of [`Settings`].
pub(crate) type SettingsChange = serde_json::Map<String, serde_json::Value>;

impl Settings {
    /// These with some changed.
    ///
    /// # Errors
    /// There is no such setting, or it cannot have that value.
    pub(crate) fn changed(&self, change: SettingsChange) -> Result<Self, serde_json::Error> {
        let mut value = serde_json::to_value(self)?;
        for (key, new) in change {
            value[key] = new;
        }
        serde_json::from_value(value)
    }
}

/// Two droplets, one reserved IP on the first: enough to try things.
impl Default for World {
    fn default() -> Self {
        let local = |last, port| SocketAddr::from((Ipv4Addr::new(127, 0, 1, last), port));
        let droplet = |last: u8| DropletSpec {
            id: 400_000_000 + u64::from(last),
            name: format!("web-{last}"),
            private: Some(Ipv4Addr::new(127, 0, 1, last)),
            public: Some(Ipv4Addr::new(198, 51, 100, last)),
            region: default_region(),
            status: Power::Active,
            tags: vec!["haagent".to_owned()],
            metadata: Some(local(last, 0)),
            service: Some(local(last, 8080)),
        };
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Self {
            api: any,
            control: any,
            metadata: None,
            settings: Settings::default(),
            tokens: vec![Token { token: "dop_v1_lab".to_owned(), droplet: None, scopes: None }],
            droplets: vec![droplet(1), droplet(2)],
            reserved_ips: vec![ReservedIpSpec {
                ip: Ipv4Addr::new(203, 0, 113, 10),
                region: default_region(),
                holder: Some(400_000_001),
                dataplane: Some(any),
            }],
        }
    }
}

fn default_region() -> String {
    "fra1".to_owned()
}

/// Why a world cannot be.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WorldError {
    #[error("cannot read the world from {}", path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("the world is not what --world takes: {text}")]
    Parse { text: String },
    #[error("two droplets have the id {0}")]
    SameDroplet(u64),
    #[error("the reserved IP {0} is there twice")]
    SameAddress(Ipv4Addr),
    #[error("{ip} is held by droplet {holder}, which does not exist")]
    NoHolder { ip: Ipv4Addr, holder: u64 },
    #[error("{ip} is in {region}, its holder {holder} is not: an address never leaves its region")]
    OtherRegion { ip: Ipv4Addr, region: String, holder: u64 },
    #[error("droplet {0} holds two reserved IPs: one is the most that a droplet can have")]
    TwoAddresses(u64),
    #[error("a token is empty, or there twice")]
    Token,
}

impl World {
    /// Reads a TOML file, or JSON where the name ends so.
    ///
    /// # Errors
    /// The file cannot be read, or describes what cannot be.
    pub(crate) fn from_file(path: &Path) -> Result<Self, WorldError> {
        let text =
            std::fs::read_to_string(path).map_err(|source| WorldError::Read { path: path.to_owned(), source })?;
        if path.extension().is_some_and(|extension| extension == "json") {
            return Self::from_json(&text);
        }
        let world: Self = toml::from_str(&text).map_err(|error| WorldError::Parse { text: error.to_string() })?;
        world.checked()
    }

    /// Reads JSON.
    ///
    /// # Errors
    /// The text is no JSON, or describes what cannot be.
    pub(crate) fn from_json(text: &str) -> Result<Self, WorldError> {
        let world: Self = serde_json::from_str(text).map_err(|error| WorldError::Parse { text: error.to_string() })?;
        world.checked()
    }

    fn checked(self) -> Result<Self, WorldError> {
        let mut ids = BTreeSet::new();
        if let Some(twice) = self.droplets.iter().find(|droplet| !ids.insert(droplet.id)) {
            return Err(WorldError::SameDroplet(twice.id));
        }
        let mut tokens = BTreeSet::new();
        if self.tokens.iter().any(|token| token.token.is_empty() || !tokens.insert(&token.token)) {
            return Err(WorldError::Token);
        }
        let (mut addresses, mut holders) = (BTreeSet::new(), BTreeSet::new());
        for address in &self.reserved_ips {
            let ip = address.ip;
            if !addresses.insert(ip) {
                return Err(WorldError::SameAddress(ip));
            }
            let Some(holder) = address.holder else { continue };
            let Some(droplet) = self.droplets.iter().find(|droplet| droplet.id == holder) else {
                return Err(WorldError::NoHolder { ip, holder });
            };
            if droplet.region != address.region {
                return Err(WorldError::OtherRegion { ip, region: address.region.clone(), holder });
            }
            if !holders.insert(holder) {
                return Err(WorldError::TwoAddresses(holder));
            }
        }
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_world_can_be() {
        assert!(World::default().checked().is_ok());
    }

    #[test]
    fn a_world_is_written_in_toml_or_json() {
        let toml = r#"
            [settings]
            action_ms = 100
            [[token]]
            token = "dop_v1_a"
            droplet = 1
            [[droplet]]
            id = 1
            name = "a"
            private = "127.0.1.1"
            [[reserved_ip]]
            ip = "203.0.113.1"
            holder = 1
        "#;
        let world: World = toml::from_str(toml).unwrap();
        assert_eq!((world.settings.action_ms, world.tokens[0].droplet), (100, Some(1)));
        let json = r#"{"droplet":[{"id":1,"name":"a"}],"reserved_ip":[{"ip":"203.0.113.1","holder":1}],"token":[]}"#;
        assert_eq!(World::from_json(json).unwrap().reserved_ips[0].holder, Some(1));
    }

    #[test]
    fn what_cannot_be_is_refused() {
        for (json, why) in [
            (r#"{"droplet":[{"id":1,"name":"a"},{"id":1,"name":"b"}],"reserved_ip":[]}"#, "two droplets"),
            (r#"{"droplet":[],"reserved_ip":[{"ip":"203.0.113.1","holder":1}]}"#, "does not exist"),
            (
                r#"{"droplet":[{"id":1,"name":"a","region":"ams3"}],"reserved_ip":[{"ip":"203.0.113.1","holder":1}]}"#,
                "never leaves its region",
            ),
            (
                r#"{"droplet":[{"id":1,"name":"a"}],"reserved_ip":[{"ip":"203.0.113.1","holder":1},{"ip":"203.0.113.2","holder":1}]}"#,
                "two reserved IPs",
            ),
            (r#"{"droplets":[]}"#, "unknown field"),
            (r#"{"token":[{"token":""}]}"#, "token is empty"),
        ] {
            let error = World::from_json(json).unwrap_err().to_string();
            assert!(error.contains(why), "{json}: {error}");
        }
    }
}
