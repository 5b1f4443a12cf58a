//! The fake of the metadata service at `http://169.254.169.254`, as one droplet sees it.
//!
//! It knows of a move after the lag of its side (winner or loser), and nothing about other droplets.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::answer::Plain;
use super::event::{Event, Face, Request};
use super::faults::{Call, Verdict};
use super::lab::{Inner, Lab};
use super::order::Effect;
use super::state::{Cloud, Droplet};
use super::world::Inactive;
use crate::http::{self, Asked, Handler, Reply};

const NETMASK: &str = "255.255.240.0";
const NAMESERVERS: [&str; 2] = ["67.207.67.2", "67.207.67.3"];
const ROOT: &str = "/metadata/v1/";

/// The metadata service behind one listener.
#[derive(Clone, Debug)]
pub(crate) struct Metadata {
    pub(crate) lab: Arc<Lab>,
    pub(crate) whose: Whose,
}

/// Whose metadata a listener serves.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Whose {
    Droplet(u64),
    /// Told by the address that the question comes from: for hosts in namespaces.
    BySource,
}

impl Handler for Metadata {
    async fn handle(&self, asked: Asked) -> Reply {
        let received = self.lab.now();
        let (droplet, verdict) = self.lab.with(|inner, now| {
            let droplet = self.droplet(inner, &asked);
            let call = Call { face: Face::Metadata, method: asked.method.as_str(), path: &asked.path, droplet };
            (droplet, inner.faults.judge(now, call))
        });
        http::pause(verdict.delay_before).await;
        let decided = self.lab.with(|inner, now| decide(inner, now, received, &asked, droplet, &verdict));
        http::pause(verdict.delay_after).await;
        match (decided, &verdict.ending) {
            (Some(plain), ending) => plain.send(ending.as_ref()),
            (None, Some(Effect::Reset)) => Reply::Reset,
            (None, _) => std::future::pending().await,
        }
    }
}

impl Metadata {
    fn droplet(&self, inner: &Inner, asked: &Asked) -> Option<u64> {
        match self.whose {
            Whose::Droplet(id) => Some(id),
            Whose::BySource => {
                let IpAddr::V4(source) = asked.source?.ip() else { return None };
                let is = |droplet: &&Droplet| [droplet.spec.private, droplet.spec.public].contains(&Some(source));
                inner.cloud.droplets().find(is).map(|droplet| droplet.spec.id)
            }
        }
    }
}

/// Finds the answer and logs it. None: there is no answer.
fn decide(
    inner: &mut Inner,
    now: Duration,
    received: Duration,
    asked: &Asked,
    droplet: Option<u64>,
    verdict: &Verdict,
) -> Option<Plain> {
    let not_found = || Plain::text(404, "not found");
    let found = droplet.and_then(|id| inner.cloud.droplet(id));
    let plain = match &verdict.ending {
        Some(Effect::Silence | Effect::Reset) => None,
        Some(Effect::Answer { status, body, headers, .. }) => {
            let plain = Plain::text(*status, body.clone().unwrap_or_default());
            Some(headers.iter().fold(plain, |plain, (name, value)| plain.with(name, value.as_str())))
        }
        Some(Effect::Unauthorized) => Some(Plain::text(401, "unauthorized")),
        Some(Effect::Forbidden) => Some(Plain::text(403, "forbidden")),
        Some(Effect::RateLimited { .. }) => Some(Plain::text(429, "too many requests")),
        Some(Effect::ServerError) => Some(Plain::text(500, "internal server error")),
        Some(Effect::Unavailable) => Some(Plain::text(503, "service unavailable")),
        Some(Effect::GatewayPage { status }) => Some(Plain::gateway_page(*status)),
        Some(_) | None => Some(match found {
            Some(droplet) if asked.method == hyper::Method::GET => {
                let says = match verdict.ending {
                    Some(Effect::Says { active, ip }) => Some((active, ip)),
                    _ => None,
                };
                answer(&inner.cloud, now, droplet, &asked.path, says)
            }
            Some(_) => Plain::text(405, "method not allowed"),
            None => not_found(),
        }),
    };
    let by = found.map(|droplet| droplet.spec.name.clone());
    inner.log.push(
        now,
        Event::Request(Request {
            face: Face::Metadata,
            droplet,
            by,
            source: asked.source.map(|source| source.to_string()),
            method: asked.method.to_string(),
            path: asked.path.clone(),
            body: None,
            status: plain
                .as_ref()
                .filter(|_| !matches!(verdict.ending, Some(Effect::LostAnswer)))
                .map(|plain| plain.status),
            message: None,
            faults: verdict.kinds(),
            received_ms: u64::try_from(received.as_millis()).unwrap_or(u64::MAX),
        }),
    );
    plain
}

/// The service without faults. `says` overrules what is true about the reserved IP.
fn answer(
    cloud: &Cloud,
    now: Duration,
    droplet: &Droplet,
    path: &str,
    says: Option<(bool, Option<Ipv4Addr>)>,
) -> Plain {
    let known = cloud.address_known_to(now, droplet.spec.id);
    let reserved = match says {
        None => known,
        Some((true, ip)) => ip.or(known).or(cloud.addresses(now).map(|(ip, _)| ip).next()),
        Some((false, _)) => None,
    };
    match path {
        "/v1/maintenance_event" | "/metadata/v1/maintenance_event" => Plain::text(200, droplet.maintenance.clone()),
        "/metadata/v1.json" => Plain::json(200, &everything(droplet, reserved)),
        "/metadata/v1" => moved_to_index(ROOT),
        _ => match path.strip_prefix(ROOT) {
            Some(below) => in_tree(&tree(droplet, reserved, cloud.settings.inactive_address), below),
            None => Plain::text(404, "not found"),
        },
    }
}

/// The values of the tree in the order in which indexes list them.
fn tree(droplet: &Droplet, reserved: Option<Ipv4Addr>, inactive: Inactive) -> Vec<(String, String)> {
    let spec = &droplet.spec;
    let mut leaves = Vec::new();
    let mut leaf = |path: &str, value: String| leaves.push((path.to_owned(), value));
    leaf("id", spec.id.to_string());
    leaf("hostname", spec.name.clone());
    leaf("region", spec.region.clone());
    for (kind, address) in [("public", spec.public), ("private", spec.private)] {
        let Some(address) = address else { continue };
        let below = |rest: &str| format!("interfaces/{kind}/0/{rest}");
        leaf(&below("ipv4/address"), address.to_string());
        leaf(&below("ipv4/netmask"), NETMASK.to_owned());
        leaf(&below("ipv4/gateway"), gateway(address).to_string());
        if kind == "public" {
            leaf(&below("anchor_ipv4/address"), anchor(spec.id).to_string());
            leaf(&below("anchor_ipv4/netmask"), "255.255.0.0".to_owned());
            leaf(&below("anchor_ipv4/gateway"), "10.17.0.1".to_owned());
        }
        leaf(&below("mac"), mac(spec.id, kind));
        leaf(&below("type"), kind.to_owned());
    }
    leaf("dns/nameservers", NAMESERVERS.join("\n"));
    for alias in ["floating_ip", "reserved_ip"] {
        leaf(&format!("{alias}/ipv4/active"), reserved.is_some().to_string());
        match (reserved, inactive) {
            (Some(ip), _) => leaf(&format!("{alias}/ipv4/ip_address"), ip.to_string()),
            (None, Inactive::Empty) => leaf(&format!("{alias}/ipv4/ip_address"), String::new()),
            (None, Inactive::NotFound) => {}
        }
    }
    leaf("reserved_ip/ipv6/active", "false".to_owned());
    leaf("tags/", spec.tags.join("\n"));
    leaf("features/dhcp_enabled", "true".to_owned());
    leaves
}

/// A value, an index, the way to the index (301), or nothing (404).
fn in_tree(leaves: &[(String, String)], path: &str) -> Plain {
    let leaf = leaves.iter().find(|(name, _)| name.trim_end_matches('/') == path.trim_end_matches('/'));
    match leaf {
        // `tags` is listed as a folder and read as a value, with the slash and without.
        Some((name, value)) if name.ends_with('/') || name == path => return Plain::text(200, value.clone()),
        Some(_) | None => {}
    }
    let folder = if path.is_empty() || path.ends_with('/') { path.to_owned() } else { format!("{path}/") };
    let mut children: Vec<&str> = Vec::new();
    for below in leaves.iter().filter_map(|(name, _)| name.strip_prefix(&folder)) {
        let child = below.find('/').map_or(below, |slash| below.get(..=slash).unwrap_or(below));
        if !child.is_empty() && !children.contains(&child) {
            children.push(child);
        }
    }
    match children.is_empty() {
        true => Plain::text(404, "not found"),
        false if folder != path => moved_to_index(&format!("{ROOT}{folder}")),
        false => Plain::text(200, children.join("\n")),
    }
}

fn moved_to_index(path: &str) -> Plain {
    Plain::text(301, format!("see {path}\n")).with("location", path)
}

fn everything(droplet: &Droplet, reserved: Option<Ipv4Addr>) -> Value {
    let spec = &droplet.spec;
    let ipv4 = |address| json!({"ip_address": address, "netmask": NETMASK, "gateway": gateway(address)});
    let mut public = json!([]);
    if let Some(address) = spec.public {
        public = json!([{
            "ipv4": ipv4(address), "mac": mac(spec.id, "public"), "type": "public",
            "anchor_ipv4": {"ip_address": anchor(spec.id), "netmask": "255.255.0.0", "gateway": "10.17.0.1"},
        }]);
    }
    let mut private = json!([]);
    if let Some(address) = spec.private {
        private = json!([{"ipv4": ipv4(address), "mac": mac(spec.id, "private"), "type": "private"}]);
    }
    let held = reserved.map_or(json!({"active": false}), |ip| json!({"ip_address": ip, "active": true}));
    json!({
        "droplet_id": spec.id, "hostname": spec.name, "user_data": "", "vendor_data": "", "public_keys": [],
        "auth_key": "", "region": spec.region, "tags": spec.tags,
        "interfaces": {"public": public, "private": private},
        "dns": {"nameservers": NAMESERVERS},
        "floating_ip": {"ipv4": held}, "reserved_ip": {"ipv4": held, "ipv6": {"active": false}},
        "features": {"dhcp_enabled": true, "vpc_peering_enabled": false},
        "dotty_keys": [], "dotty_status": "running", "ssh_info": {"port": 22, "host_keys": []},
        "managed_keys_enabled": true,
    })
}

fn gateway(address: Ipv4Addr) -> Ipv4Addr {
    let [a, b, c, _] = address.octets();
    Ipv4Addr::new(a, b, c, 1)
}

/// An address of the anchor network, made from the droplet's number.
fn anchor(id: u64) -> Ipv4Addr {
    let [.., c, d] = id.to_be_bytes();
    Ipv4Addr::new(10, 17, c, d)
}

fn mac(id: u64, kind: &str) -> String {
    let [.., b, c, d] = id.to_be_bytes();
    let last = if kind == "public" { 1 } else { 2 };
    format!("02:00:{b:02x}:{c:02x}:{d:02x}:{last:02x}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cloud::world::World;

    fn cloud() -> Cloud {
        Cloud::new(&World::default(), Duration::ZERO)
    }

    fn text(id: u64, path: &str) -> (u16, String) {
        let cloud = cloud();
        let plain = answer(&cloud, Duration::ZERO, cloud.droplet(id).unwrap(), path, None);
        (plain.status, String::from_utf8(plain.body.to_vec()).unwrap())
    }

    #[test]
    fn the_tree_has_what_an_agent_reads() {
        for (path, value) in [
            ("id", "400000001"),
            ("hostname", "web-1"),
            ("region", "fra1"),
            ("tags", "haagent"),
            ("tags/", "haagent"),
            ("interfaces/private/0/ipv4/address", "127.0.1.1"),
            ("interfaces/public/0/ipv4/address", "198.51.100.1"),
            ("reserved_ip/ipv4/active", "true"),
            ("reserved_ip/ipv4/ip_address", "203.0.113.10"),
            ("floating_ip/ipv4/active", "true"),
            ("interfaces/", "public/\nprivate/"),
            ("reserved_ip/", "ipv4/\nipv6/"),
            ("", "id\nhostname\nregion\ninterfaces/\ndns/\nfloating_ip/\nreserved_ip/\ntags/\nfeatures/"),
        ] {
            assert_eq!(text(400_000_001, &format!("/metadata/v1/{path}")), (200, value.to_owned()), "{path}");
        }
        assert_eq!(text(400_000_001, "/v1/maintenance_event"), (200, String::new()));
    }

    #[test]
    fn a_droplet_without_the_address_says_so() {
        assert_eq!(text(400_000_002, "/metadata/v1/reserved_ip/ipv4/active").1, "false");
        assert_eq!(text(400_000_002, "/metadata/v1/reserved_ip/ipv4/ip_address").0, 404);
        let mut cloud = cloud();
        cloud.settings.inactive_address = Inactive::Empty;
        let droplet = cloud.droplet(400_000_002).unwrap();
        let plain = answer(&cloud, Duration::ZERO, droplet, "/metadata/v1/reserved_ip/ipv4/ip_address", None);
        assert_eq!((plain.status, plain.body.len()), (200, 0));
    }

    #[test]
    fn an_index_without_its_slash_is_a_301_and_an_unknown_path_a_404() {
        for (path, status) in [
            ("/metadata/v1", 301),
            ("/metadata/v1/interfaces", 301),
            ("/metadata/v1/interfaces/private/0", 301),
            ("/metadata/v1/id/", 404),
            ("/metadata/v1/inter", 404),
            ("/metadata/v1/interfaces/private/1/ipv4/address", 404),
            ("/metadata", 404),
            ("/", 404),
        ] {
            assert_eq!(text(400_000_001, path).0, status, "{path}");
        }
    }

    #[test]
    fn the_json_form_agrees_with_the_tree() {
        let (_, text) = text(400_000_001, "/metadata/v1.json");
        let value: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["droplet_id"], 400_000_001);
        assert_eq!(value["interfaces"]["private"][0]["ipv4"]["ip_address"], "127.0.1.1");
        assert_eq!(value["reserved_ip"]["ipv4"], json!({"ip_address": "203.0.113.10", "active": true}));
    }
}
