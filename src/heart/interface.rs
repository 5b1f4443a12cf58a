//! Which interface the heartbeats leave by: named in the log and in errors.

use std::net::{IpAddr, Ipv4Addr};

use pnet::datalink::{self, NetworkInterface};

/// No interface of this host has the address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "no interface of this host has node.address {address} (it has {present}): correct node.address, or leave it out"
)]
pub struct NoInterface {
    address: Ipv4Addr,
    present: String,
}

/// The name of the interface that has `address`. Any address of 127.0.0.0/8 is the loopback's.
///
/// # Errors
/// There is none; the error names the addresses that there are.
pub(super) fn of(address: Ipv4Addr) -> Result<String, NoInterface> {
    find(&datalink::interfaces(), address)
}

fn find(interfaces: &[NetworkInterface], address: Ipv4Addr) -> Result<String, NoInterface> {
    let has = |interface: &&NetworkInterface| interface.ips.iter().any(|network| network.ip() == IpAddr::V4(address));
    let loopback = |interface: &&NetworkInterface| address.is_loopback() && interface.is_loopback();
    let found = interfaces.iter().find(has).or_else(|| interfaces.iter().find(loopback));
    found.map(|interface| interface.name.clone()).ok_or_else(|| {
        let addresses: Vec<_> = interfaces
            .iter()
            .flat_map(|interface| &interface.ips)
            .filter(|network| network.is_ipv4())
            .map(|network| network.ip().to_string())
            .collect();
        NoInterface { address, present: addresses.join(", ") }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loopback_has_its_whole_network_and_a_foreign_address_nobody() {
        assert_eq!(of(Ipv4Addr::new(127, 0, 3, 7)).unwrap(), "lo");
        let error = of(Ipv4Addr::new(192, 0, 2, 77)).unwrap_err().to_string();
        assert!(error.contains("192.0.2.77") && error.contains("127.0.0.1"), "{error}");
    }
}
