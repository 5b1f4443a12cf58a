//! `probe`: the service, asked through the claimed address.

use std::fmt;
use std::net::IpAddr;
use std::num::NonZeroU16;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::url::authority;
use super::{BaseUrl, UrlError};

/// `[group.NAME] probe`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// `http` or `tcp`
    pub target: ProbeTarget,
    /// `timeout` of one probe, within [`Probe::TIMEOUTS`].
    pub timeout: Duration,
}

impl Probe {
    /// `timeout` if nothing is said.
    pub const TIMEOUT: Duration = Duration::from_millis(500);
    /// Below, a packet that is lost and sent again is a failure; above, a takeover waits for it.
    pub const TIMEOUTS: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(2);
}

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProbeTarget {
    /// `http`: GET.
    Http(BaseUrl),
    /// `tcp`: a connection.
    Tcp(HostPort),
}

impl ProbeTarget {
    /// A name, or an address without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        match self {
            Self::Http(url) => url.host(),
            Self::Tcp(tcp) => tcp.host(),
        }
    }

    /// The address, where it is written as one.
    #[must_use]
    pub fn literal(&self) -> Option<IpAddr> {
        self.host().parse().ok()
    }
}

impl fmt::Display for ProbeTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http(url) => f.write_str(url.as_str()),
            Self::Tcp(tcp) => write!(f, "tcp {tcp}"),
        }
    }
}

/// A host and a port, `HOST:PORT`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPort {
    host: String,
    port: NonZeroU16,
}

impl HostPort {
    /// A checked pair. An IPv6 address stands in brackets.
    ///
    /// # Errors
    /// Anything else than a host, a colon and a port.
    pub fn new(text: &str) -> Result<Self, UrlError> {
        let (host, port) = authority(text)?;
        let port = port.ok_or(UrlError::Port)?;
        Ok(Self { host: host.to_owned(), port })
    }

    /// A name, or an address without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    #[must_use]
    pub const fn port(&self) -> NonZeroU16 {
        self.port
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_and_a_port_are_both_needed() {
        for (good, host, port) in
            [("203.0.113.10:80", "203.0.113.10", 80), ("[::1]:443", "::1", 443), ("a.b:1", "a.b", 1)]
        {
            let pair = HostPort::new(good).unwrap();
            assert_eq!((pair.host(), pair.port().get(), pair.to_string().as_str()), (host, port, good));
        }
        for (bad, why) in [
            ("203.0.113.10", UrlError::Port),
            ("203.0.113.10:", UrlError::Port),
            ("203.0.113.10:0", UrlError::Port),
            (":80", UrlError::Host),
            ("203.0.113:80", UrlError::Host),
            ("http://a:80", UrlError::Port),
            ("a/b:80", UrlError::Host),
        ] {
            assert_eq!(HostPort::new(bad), Err(why), "{bad}");
        }
    }

    #[test]
    fn the_host_of_a_url_is_found_with_and_without_port_and_path() {
        for (url, host) in [
            ("http://203.0.113.10", "203.0.113.10"),
            ("https://www.example.com:8443/health", "www.example.com"),
            ("http://[2001:db8::1]/", "2001:db8::1"),
        ] {
            assert_eq!(ProbeTarget::Http(BaseUrl::new(url).unwrap()).host(), host);
        }
    }
}
