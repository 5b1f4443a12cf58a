//! One node's own view of the shared file: its name, its address, the others.

use std::net::Ipv4Addr;

use super::problem::Problems;
use super::raw::toml_key;
use super::types::{Config, Group};
use crate::proto::ids::{DropletId, NodeName, Priority};

/// What an agent finds out about its host. The file's word goes before it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeFacts {
    /// What the kernel calls the host.
    pub host_name: String,
    /// The private IPv4 that the metadata service names.
    pub private_address: Option<Ipv4Addr>,
    /// The droplet's number, by the metadata service.
    pub droplet_id: Option<DropletId>,
}

/// A configuration and the node that it is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeConfig {
    /// This node's name.
    pub name: NodeName,
    /// Where its heartbeats leave from.
    pub address: Ipv4Addr,
    /// Its droplet, if the metadata service has answered or the file says so.
    pub droplet_id: Option<DropletId>,
    /// Its groups, by name; at least one.
    pub groups: Vec<NodeGroup>,
    /// The rest. [`Config::groups`] is as the file has it.
    pub config: Config,
}

/// A group as one of its members sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeGroup {
    /// The group's settings; its `peers` are all members, this node among them.
    pub group: Group,
    /// The others, ascending; at least one.
    pub others: Vec<Ipv4Addr>,
    /// This node's own priority.
    pub priority: Priority,
}

impl Config {
    /// This configuration for one node.
    ///
    /// # Errors
    /// The node has no usable name or address, is no member of a group, or nobody is left besides it.
    pub fn for_node(&self, facts: &NodeFacts) -> Result<NodeConfig, Problems> {
        let mut problems = Problems::default();
        let name = self.node.name.clone().or_else(|| {
            NodeName::new(&facts.host_name)
                .map_err(|_| {
                    let message = format!("the host name {:?} cannot be the name of a node", facts.host_name);
                    problems.error(None, &message, "under [node] write `name = \"web-1\"`");
                })
                .ok()
        });
        let address = self.node.address.given().or(facts.private_address);
        if address.is_none() {
            let message =
                format!("the metadata service at {} names no private address", self.digitalocean.metadata_url.as_str());
            problems.error(None, &message, "under [node] write `address = \"...\"`, this host's address in the VPC");
        }
        let (Some(name), Some(address)) = (name, address) else { return Err(problems) };
        let mut groups = Vec::new();
        for group in &self.groups {
            let title = format!("[group.{}]", toml_key(group.name.as_str()));
            let others: Vec<Ipv4Addr> = group.peers.iter().copied().filter(|peer| *peer != address).collect();
            if others.is_empty() {
                let message = format!("besides this node ({address}) nobody is left in `peers` of {title}");
                problems.error(None, &message, "list all members, this node too");
            }
            if group.peers.binary_search(&address).is_err() {
                // The others would not hear it: it would be a stranger that takes their address.
                let message = format!("this node's address {address} is not in `peers` of {title}");
                problems.error(None, &message, "list all members on all nodes, or correct node.address");
            }
            let priority = group.priorities.get(&name).copied().unwrap_or(group.priority);
            groups.push(NodeGroup { group: group.clone(), others, priority });
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        let droplet_id = self.digitalocean.droplet_id.given().or(facts.droplet_id);
        Ok(NodeConfig { name, address, droplet_id, groups, config: self.clone() })
    }
}
