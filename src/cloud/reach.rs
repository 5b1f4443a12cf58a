//! Whether the API's host can be reached: a TCP connection that is opened and
//! closed. No request, so no quota; and no TLS, so it says nothing about the token.
//!
//! The metadata service is answered by the hypervisor and proves nothing about
//! the uplink; this does. What the attempts say together is for [`crate::proto::reach`] to judge.
//! One task, [`run`]: it may be cancelled at any point.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use futures_util::future::select_ok;
use reqwest::Url;
use tokio::net::TcpStream;
use tokio::sync::watch;

use crate::net::dns::Resolver;
use crate::proto::reach::{Judge, Reach};
use crate::proto::time::Duration;
use crate::sys::clock;

/// How long an attempt may take, DNS included: one lost SYN is repeated after a
/// second. So a cut uplink is known within 5 + 3 x 1.5 s.
pub const TIMEOUT: Duration = Duration::from_millis(1_500);

/// Where to connect to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    host: String,
    port: u16,
}

impl Target {
    /// The host and port of a base address (see `digitalocean::client::base_url`).
    #[must_use]
    pub fn of(url: &Url) -> Option<Self> {
        Some(Self { host: url.host_str()?.to_owned(), port: url.port_or_known_default()? })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// Tries for ever, until nobody looks at `reach` any more.
pub async fn run(target: Target, resolver: Resolver, reach: watch::Sender<Reach>) {
    let mut judge = Judge::default();
    while !reach.is_closed() {
        let begun = clock::now();
        let now = judge.record(connects(&target, &resolver).await);
        reach.send_if_modified(|known| std::mem::replace(known, now) != now);
        let pause = judge.period().saturating_sub(clock::now().since(begun));
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = reach.closed() => {}
        }
    }
}

/// Whether a connection to the target can be opened in time.
pub async fn connects(target: &Target, resolver: &Resolver) -> bool {
    let attempt = async {
        let addresses = resolver.addresses(&target.host).await.ok()?;
        // One of each family at once: a broken IPv6 path must not hide a good IPv4 one.
        let first = |is: fn(&IpAddr) -> bool| addresses.iter().copied().find(is);
        let families = [first(IpAddr::is_ipv4), first(IpAddr::is_ipv6)];
        let attempts = families
            .into_iter()
            .flatten()
            .map(|address| Box::pin(TcpStream::connect(SocketAddr::new(address, target.port))));
        select_ok(attempts).await.ok()
    };
    matches!(tokio::time::timeout(TIMEOUT, attempt).await, Ok(Some(_)))
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn an_open_port_is_reached_and_a_closed_one_is_not() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = Url::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
        let target = Target::of(&url).unwrap();
        let resolver = Resolver::default();
        assert!(connects(&target, &resolver).await);
        drop(listener);
        assert!(!connects(&target, &resolver).await);
    }

    #[tokio::test]
    async fn the_task_tells_changes_and_ends_when_nobody_looks() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = Url::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
        let (sender, mut reach) = watch::channel(Reach::default());
        let task = tokio::spawn(run(Target::of(&url).unwrap(), Resolver::default(), sender));
        reach.wait_for(|reach| *reach == Reach::Reachable).await.unwrap();
        drop(reach);
        tokio::time::timeout(Duration::from_secs(5), task).await.unwrap().unwrap();
    }
}
