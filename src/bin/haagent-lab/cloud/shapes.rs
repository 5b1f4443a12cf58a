//! The JSON of the API and of `v1.json`: every member that the reference knows of (sections 2.1, 4, 5.1, 9).

use std::net::Ipv4Addr;
use std::time::{Duration, UNIX_EPOCH};

use serde_json::{Value, json};

use super::event::{ActionKind, ActionStatus};
use super::state::{Action, Cloud, Droplet, Refusal, ReservedIp};

/// What links point at: clients must follow pages by number, not by this host.
const PUBLIC_API: &str = "https://api.digitalocean.com";
const PROJECT: &str = "11111111-2222-3333-4444-555555555555";
const VPC: &str = "66666666-7777-8888-9999-000000000000";

/// The two families of paths on one state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    Reserved,
    /// The old name of the same thing.
    Floating,
}

impl Family {
    pub(crate) fn of_path(segment: &str) -> Option<Self> {
        match segment {
            "reserved_ips" => Some(Self::Reserved),
            "floating_ips" => Some(Self::Floating),
            _ => None,
        }
    }

    pub(crate) fn singular(self) -> &'static str {
        match self {
            Self::Reserved => "reserved_ip",
            Self::Floating => "floating_ip",
        }
    }

    pub(crate) fn plural(self) -> &'static str {
        match self {
            Self::Reserved => "reserved_ips",
            Self::Floating => "floating_ips",
        }
    }
}

/// How the `droplet` of a reserved IP is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum DropletMember {
    #[default]
    Full,
    /// As for a token without `droplet:read`
    Null,
    /// The member is not there
    Absent,
}

/// `2026-01-02T03:04:05Z`.
fn stamp(cloud: &Cloud, at: Duration) -> String {
    humantime::format_rfc3339_seconds(UNIX_EPOCH + cloud.unix(at)).to_string()
}

fn region(slug: &str) -> Value {
    let name = match slug {
        "fra1" => "Frankfurt 1",
        "ams3" => "Amsterdam 3",
        "nyc3" => "New York 3",
        "lon1" => "London 1",
        other => other,
    };
    json!({
        "name": name, "slug": slug, "available": true,
        "features": ["backups", "ipv6", "metadata", "install_agent", "storage", "image_transfer"],
        "sizes": ["s-1vcpu-1gb", "s-2vcpu-4gb"],
    })
}

/// A network's gateway is its first address; netmasks are the provider's usual ones.
fn network(address: Ipv4Addr, netmask: &str, kind: &str) -> Value {
    let [a, b, c, _] = address.octets();
    json!({"ip_address": address, "netmask": netmask, "gateway": Ipv4Addr::new(a, b, c, 1), "type": kind})
}

pub(crate) fn droplet(cloud: &Cloud, now: Duration, droplet: &Droplet) -> Value {
    let spec = &droplet.spec;
    let mut networks = Vec::new();
    networks.extend(spec.public.map(|ip| network(ip, "255.255.240.0", "public")));
    networks.extend(spec.private.map(|ip| network(ip, "255.255.240.0", "private")));
    // A reserved IP is one more public entry: "the first public address" may be the wrong one.
    let reserved = cloud.addresses(now).map(|(ip, _)| ip).filter(|ip| cloud.holder_shown(now, *ip) == Some(spec.id));
    networks.extend(reserved.map(|ip| network(ip, "255.255.252.0", "public")));
    json!({
        "id": spec.id, "name": spec.name, "memory": 1024, "vcpus": 1, "disk": 25,
        "disk_info": [{"type": "local", "size": {"amount": 25, "unit": "gib"}}],
        "locked": cloud.droplet_locked(spec.id), "status": spec.status, "kernel": null,
        "created_at": stamp(cloud, Duration::ZERO),
        "features": ["droplet_agent", "monitoring", "private_networking"],
        "backup_ids": [], "next_backup_window": null, "snapshot_ids": [],
        "image": {
            "id": 1, "name": "24.04 (LTS) x64", "type": "base", "distribution": "Ubuntu", "slug": "ubuntu-24-04-x64",
            "public": true, "regions": [spec.region], "created_at": "2025-01-01T00:00:00Z", "min_disk_size": 10,
            "size_gigabytes": 0.6, "description": "", "tags": [], "status": "available", "error_message": "",
        },
        "volume_ids": [],
        "size": {
            "slug": "s-1vcpu-1gb", "memory": 1024, "vcpus": 1, "disk": 25, "transfer": 1.0, "price_monthly": 6.0,
            "price_hourly": 0.00893, "regions": [spec.region], "available": true, "description": "Basic",
        },
        "size_slug": "s-1vcpu-1gb",
        "networks": {"v4": networks, "v6": []},
        "region": region(&spec.region), "tags": spec.tags, "vpc_uuid": VPC,
    })
}

pub(crate) fn reserved_ip(
    cloud: &Cloud,
    now: Duration,
    ip: Ipv4Addr,
    address: &ReservedIp,
    member: DropletMember,
) -> Value {
    let holder = cloud.holder_shown(now, ip).and_then(|id| cloud.droplet(id));
    let mut value = json!({
        "ip": ip, "region": region(&address.region), "locked": cloud.address_locked(ip), "project_id": PROJECT,
    });
    match member {
        DropletMember::Full => value["droplet"] = holder.map_or(Value::Null, |holder| droplet(cloud, now, holder)),
        DropletMember::Null => value["droplet"] = Value::Null,
        DropletMember::Absent => {}
    }
    value
}

/// A reserved IP as its creation answers it: still without a droplet, and locked while one is on its way.
pub(crate) fn new_reserved_ip(ip: Ipv4Addr, region_slug: &str, locked: bool) -> Value {
    json!({"ip": ip, "droplet": null, "region": region(region_slug), "locked": locked, "project_id": PROJECT})
}

pub(crate) fn action(cloud: &Cloud, action: &Action) -> Value {
    let status = match (&action.word, action.status) {
        (Some(word), ActionStatus::Completed) => json!(word),
        (_, status) => json!(status),
    };
    let (resource, resource_type) = match action.kind {
        ActionKind::AssignIp | ActionKind::UnassignIp | ActionKind::ReserveIp => {
            (action.ip.map(|ip| u64::from(u32::from(ip))), cloud.settings.resource_type.as_str())
        }
        ActionKind::Snapshot => (action.droplet, "droplet"),
    };
    json!({
        "id": action.id, "status": status, "type": action.kind,
        "started_at": stamp(cloud, action.started), "completed_at": action.ended.map(|at| stamp(cloud, at)),
        "resource_id": resource, "resource_type": resource_type,
        "region": region(&action.region), "region_slug": action.region,
    })
}

/// One action under its key; `project_id` is a member only here, not in lists.
pub(crate) fn single_action(cloud: &Cloud, one: &Action) -> Value {
    let mut value = action(cloud, one);
    value["project_id"] = json!(PROJECT);
    json!({"action": value})
}

/// The links of a reserved IP that was created for a droplet.
pub(crate) fn creation_links(droplet: u64, action: u64) -> Value {
    json!({
        "droplets": [{"id": droplet, "rel": "droplet", "href": format!("{PUBLIC_API}/v2/droplets/{droplet}")}],
        "actions": [{"id": action, "rel": "assign_ip", "href": format!("{PUBLIC_API}/v2/actions/{action}")}],
    })
}

/// Which part of a list is asked for: `per_page` 1 to 200, 20 if not said; `page` from 1.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Page {
    pub(crate) page: u64,
    pub(crate) per_page: u64,
}

/// A list: the page of `all`, its links and the total. `rest` is the query without page numbers.
pub(crate) fn list(key: &str, path: &str, rest: &str, all: Vec<Value>, page: Page) -> Value {
    let total = all.len() as u64;
    let last = total.div_ceil(page.per_page).max(1);
    let link = |number: u64| {
        let rest = if rest.is_empty() { String::new() } else { format!("&{rest}") };
        format!("{PUBLIC_API}{path}?page={number}&per_page={}{rest}", page.per_page)
    };
    let mut pages = serde_json::Map::new();
    if page.page > 1 {
        pages.insert("first".to_owned(), json!(link(1)));
        pages.insert("prev".to_owned(), json!(link(page.page - 1)));
    }
    if page.page < last {
        pages.insert("next".to_owned(), json!(link(page.page + 1)));
        pages.insert("last".to_owned(), json!(link(last)));
    }
    let skip = usize::try_from((page.page - 1).saturating_mul(page.per_page)).unwrap_or(usize::MAX);
    let take = usize::try_from(page.per_page).unwrap_or(usize::MAX);
    let shown: Vec<Value> = all.into_iter().skip(skip).take(take).collect();
    let links = if pages.is_empty() { json!({}) } else { json!({"pages": pages}) };
    json!({key: shown, "links": links, "meta": {"total": total}})
}

/// An error body.
pub(crate) fn error(id: &str, message: &str, request_id: &str) -> Value {
    json!({"id": id, "message": message, "request_id": request_id})
}

/// The status and body of a refusal.
pub(crate) fn refusal(refusal: Refusal, request_id: &str) -> (u16, Value) {
    let (status, id) = refusal.status();
    (status, error(id, &refusal.to_string(), request_id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_has_only_the_links_that_make_sense() {
        let all = |n: u64| (0..n).map(|i| json!(i)).collect::<Vec<_>>();
        let page = |page, per_page| Page { page, per_page };
        let whole = list("xs", "/v2/xs", "", all(2), page(1, 20));
        assert_eq!(whole, json!({"xs": [0, 1], "links": {}, "meta": {"total": 2}}));
        let middle = list("xs", "/v2/xs", "tag_name=a", all(5), page(2, 2));
        assert_eq!(middle["xs"], json!([2, 3]));
        assert_eq!(middle["links"]["pages"]["next"], "https://api.digitalocean.com/v2/xs?page=3&per_page=2&tag_name=a");
        assert!(middle["links"]["pages"]["prev"].is_string());
        let end = list("xs", "/v2/xs", "", all(5), page(3, 2));
        assert_eq!((end["xs"].clone(), end["links"]["pages"]["next"].clone()), (json!([4]), Value::Null));
        assert_eq!(list("xs", "/v2/xs", "", all(5), page(u64::MAX, 200))["xs"], json!([]));
    }
}
