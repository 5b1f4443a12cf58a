//! Names to addresses, with a memory.
//!
//! A failover must not wait for DNS. An answer that was found within [`FRESH`]
//! is used at once; an older one is used too when a new lookup fails or takes
//! longer than [`PATIENCE`]. Only names from the configuration are looked up (no
//! redirect is followed), so the memory is as long as the configuration.
//!
//! One task per lookup, and one lookup per name at a time: `getaddrinfo` blocks a
//! thread for as long as it likes, and a dead name server must not eat them all.
//! A lookup is never cancelled; whoever waits for it may go.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::sync::watch;

use crate::proto::time::{Duration, Time};
use crate::sys::clock;

/// How long an answer is used without asking again.
pub const FRESH: Duration = Duration::from_secs(30);
/// How long a new lookup may take before an old answer is used.
pub const PATIENCE: Duration = Duration::from_millis(250);
/// How long a first lookup may take: less than the API's connect timeout at the
/// default settings (3 s), so that the failure is called by its name.
pub const LOOKUP_TIMEOUT: Duration = Duration::from_millis(2_500);

/// Why a name has no address.
#[derive(Clone, Debug, thiserror::Error)]
pub enum DnsError {
    /// The lookup failed.
    #[error("DNS: {host}: {why}")]
    Failed { host: Arc<str>, why: Arc<str> },
    /// The lookup found nothing.
    #[error("DNS: {host} has no address")]
    Empty { host: Arc<str> },
    /// The lookup goes on, and nobody waits for it any more.
    #[error("DNS: {host}: no answer within {} s", LOOKUP_TIMEOUT.as_secs_f32())]
    TimedOut { host: Arc<str> },
}

type Answer = Result<Arc<[IpAddr]>, DnsError>;
type Lookup = Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send>>;

/// The host's own way to look up a name, or a test's.
trait NameService: Send + Sync {
    fn lookup(&self, host: Arc<str>) -> Lookup;
}

/// `getaddrinfo`: `/etc/hosts`, `nsswitch.conf` and the rest hold for the agent too.
struct HostNames;

impl NameService for HostNames {
    fn lookup(&self, host: Arc<str>) -> Lookup {
        Box::pin(async move {
            let found = tokio::net::lookup_host((host.as_ref(), 0)).await?;
            Ok(found.map(|address| address.ip()).collect())
        })
    }
}

/// What is known of one name.
#[derive(Default)]
struct Entry {
    known: Option<(Arc<[IpAddr]>, Time)>,
    under_way: Option<watch::Receiver<Option<Answer>>>,
}

struct Shared {
    names: Mutex<HashMap<Arc<str>, Entry>>,
    service: Box<dyn NameService>,
}

impl Shared {
    fn with_entry<T>(&self, host: &Arc<str>, use_it: impl FnOnce(&mut Entry) -> T) -> T {
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        use_it(names.entry(Arc::clone(host)).or_default())
    }
}

/// A resolver with a memory. Clones share it.
#[derive(Clone)]
pub struct Resolver {
    shared: Arc<Shared>,
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resolver").finish_non_exhaustive()
    }
}

impl Default for Resolver {
    fn default() -> Self {
        Self::with(Box::new(HostNames))
    }
}

impl Resolver {
    fn with(service: Box<dyn NameService>) -> Self {
        Self { shared: Arc::new(Shared { names: Mutex::default(), service }) }
    }

    /// The addresses of `host`, in the order to be tried; at least one. Ends
    /// within [`LOOKUP_TIMEOUT`]. An address as text is its own answer.
    ///
    /// # Errors
    /// The lookup fails, finds nothing or takes too long, and no earlier answer is known.
    pub async fn addresses(&self, host: &str) -> Result<Arc<[IpAddr]>, DnsError> {
        if let Ok(address) = host.trim_start_matches('[').trim_end_matches(']').parse() {
            return Ok([address].into());
        }
        let host: Arc<str> = host.into();
        let now = clock::now();
        let found = self.shared.with_entry(&host, |entry| match &entry.known {
            Some((addresses, at)) if now.since(*at) < FRESH => Ok(Arc::clone(addresses)),
            known => {
                let known = known.as_ref().map(|(addresses, _)| Arc::clone(addresses));
                Err((known, entry.under_way.get_or_insert_with(|| self.begin(&host)).clone()))
            }
        });
        let (known, mut under_way) = match found {
            Ok(addresses) => return Ok(addresses),
            Err(lookup) => lookup,
        };
        let patience = if known.is_some() { PATIENCE } else { LOOKUP_TIMEOUT };
        let answer = match tokio::time::timeout(patience, under_way.wait_for(Option::is_some)).await {
            Ok(Ok(answer)) => answer.clone(),
            // Too late, or the runtime ends.
            Ok(Err(_)) | Err(_) => None,
        };
        match (answer, known) {
            (Some(Ok(addresses)), _) | (_, Some(addresses)) => Ok(addresses),
            (Some(Err(error)), None) => Err(error),
            (None, None) => Err(DnsError::TimedOut { host }),
        }
    }

    fn begin(&self, host: &Arc<str>) -> watch::Receiver<Option<Answer>> {
        let (answered, under_way) = watch::channel(None);
        let (shared, host) = (Arc::clone(&self.shared), Arc::clone(host));
        tokio::spawn(async move {
            let answer: Answer = match shared.service.lookup(Arc::clone(&host)).await {
                Ok(addresses) if addresses.is_empty() => Err(DnsError::Empty { host: Arc::clone(&host) }),
                Ok(addresses) => Ok(addresses.into()),
                Err(error) => Err(DnsError::Failed { host: Arc::clone(&host), why: error.to_string().as_str().into() }),
            };
            shared.with_entry(&host, |entry| {
                entry.under_way = None;
                if let Ok(addresses) = &answer {
                    entry.known = Some((Arc::clone(addresses), clock::now()));
                }
            });
            answered.send_replace(Some(answer));
        });
        under_way
    }
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let resolver = self.clone();
        Box::pin(async move {
            let addresses = resolver.addresses(name.as_str()).await?;
            // Port 0: reqwest puts the URL's own there.
            let sockets: Vec<_> = addresses.iter().map(|address| SocketAddr::new(*address, 0)).collect();
            Ok(Box::new(sockets.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// A name server that answers each lookup when it is told to.
    #[derive(Clone, Default)]
    struct Scripted {
        asked: Arc<AtomicUsize>,
        answer: Arc<Mutex<Option<io::Result<Vec<IpAddr>>>>>,
    }

    impl NameService for Scripted {
        fn lookup(&self, _host: Arc<str>) -> Lookup {
            self.asked.fetch_add(1, Ordering::SeqCst);
            match self.answer.lock().unwrap().take() {
                Some(answer) => Box::pin(async move { answer }),
                None => Box::pin(std::future::pending()),
            }
        }
    }

    fn address(last: u8) -> IpAddr {
        Ipv4Addr::new(192, 0, 2, last).into()
    }

    fn set_up() -> (Scripted, Resolver) {
        let names = Scripted::default();
        (names.clone(), Resolver::with(Box::new(names)))
    }

    fn make_stale(resolver: &Resolver) {
        resolver.shared.with_entry(&"api.example".into(), |entry| {
            if let Some((_, at)) = &mut entry.known {
                *at = at.before(FRESH);
            }
        });
    }

    #[tokio::test]
    async fn a_fresh_answer_is_used_again_and_an_old_one_when_the_lookup_fails_or_hangs() {
        let (names, resolver) = set_up();
        *names.answer.lock().unwrap() = Some(Ok(vec![address(1)]));
        for _ in 0..3 {
            assert_eq!(resolver.addresses("api.example").await.unwrap().as_ref(), [address(1)]);
        }
        assert_eq!(names.asked.load(Ordering::SeqCst), 1);

        make_stale(&resolver);
        *names.answer.lock().unwrap() = Some(Err(io::Error::other("SERVFAIL")));
        assert_eq!(resolver.addresses("api.example").await.unwrap().as_ref(), [address(1)]);
        assert_eq!(names.asked.load(Ordering::SeqCst), 2);

        make_stale(&resolver);
        *names.answer.lock().unwrap() = Some(Ok(vec![address(2)]));
        assert_eq!(resolver.addresses("api.example").await.unwrap().as_ref(), [address(2)], "it moved");

        // This one hangs, and it is the only one that is begun.
        make_stale(&resolver);
        for _ in 0..2 {
            assert_eq!(resolver.addresses("api.example").await.unwrap().as_ref(), [address(2)]);
        }
        assert_eq!(names.asked.load(Ordering::SeqCst), 4);
    }

    #[tokio::test]
    async fn a_first_lookup_that_fails_is_an_error_and_the_next_one_asks_again() {
        let (names, resolver) = set_up();
        *names.answer.lock().unwrap() = Some(Err(io::Error::other("NXDOMAIN")));
        let error = resolver.addresses("api.example").await.unwrap_err();
        assert_eq!(error.to_string(), "DNS: api.example: NXDOMAIN");
        *names.answer.lock().unwrap() = Some(Ok(Vec::new()));
        assert!(matches!(resolver.addresses("api.example").await, Err(DnsError::Empty { .. })));
        *names.answer.lock().unwrap() = Some(Ok(vec![address(1)]));
        assert!(resolver.addresses("api.example").await.is_ok());
    }

    #[tokio::test]
    async fn an_address_needs_no_name_server() {
        let (names, resolver) = set_up();
        assert_eq!(resolver.addresses("192.0.2.1").await.unwrap().as_ref(), [address(1)]);
        assert!(resolver.addresses("[::1]").await.unwrap()[0].is_loopback());
        assert_eq!(names.asked.load(Ordering::SeqCst), 0);
    }
}
