//! Where a service answers, as a URL without query, fragment or password.

use std::net::Ipv4Addr;
use std::num::NonZeroU16;

/// Where a service answers: `http` or `https`, a host, perhaps a port and a path; no slash at its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaseUrl(String);

/// Why a text is no base URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// Neither of the two schemes.
    #[error("it must begin with http:// or https://")]
    Scheme,
    /// A user name or password.
    #[error("it must not hold a user name or a password")]
    User,
    /// `?` or `#`
    #[error("it must not have a query or a fragment")]
    Query,
    /// Nobody to ask.
    #[error("its host is no name and no address")]
    Host,
    /// Not 1 to 65535.
    #[error("its port is no number from 1 to 65535")]
    Port,
    /// A letter that a path must not have as it is.
    #[error("its path has a letter that must be escaped")]
    Path,
}

/// Host, without the brackets of an IPv6 address, and port (RFC 3986, section 3.2).
pub(super) fn authority(text: &str) -> Result<(&str, Option<NonZeroU16>), UrlError> {
    if text.contains('@') {
        return Err(UrlError::User);
    }
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (inner, port) = rest.split_once(']').ok_or(UrlError::Host)?;
            inner.parse::<std::net::Ipv6Addr>().map_err(|_| UrlError::Host)?;
            (inner, if port.is_empty() { None } else { Some(port.strip_prefix(':').ok_or(UrlError::Port)?) })
        }
        None => text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port))),
    };
    let named = text.starts_with('[')
        || (1..=253).contains(&host.len())
            && host.split('.').all(|label| {
                (1..=63).contains(&label.len())
                    && !label.starts_with('-')
                    && !label.ends_with('-')
                    && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            });
    // A host that ends in a number is an IPv4 address or nothing (the URL standard's own rule).
    let numeric = host.rsplit('.').next().is_some_and(|last| last.starts_with(|c: char| c.is_ascii_digit()));
    if !named || (!text.starts_with('[') && numeric && host.parse::<Ipv4Addr>().is_err()) {
        return Err(UrlError::Host);
    }
    let digits = |port: &str| if port.bytes().all(|b| b.is_ascii_digit()) { port.parse().ok() } else { None };
    match port {
        Some(port) => Ok((host, Some(digits(port).ok_or(UrlError::Port)?))),
        None => Ok((host, None)),
    }
}

impl BaseUrl {
    /// A checked URL: a small part of what RFC 3986 allows.
    ///
    /// # Errors
    /// Anything else than scheme, host, port and path.
    pub fn new(text: &str) -> Result<Self, UrlError> {
        let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")).ok_or(UrlError::Scheme)?;
        if rest.contains(['?', '#']) {
            return Err(UrlError::Query);
        }
        let (authority, path) = rest.find('/').map_or((rest, ""), |slash| rest.split_at(slash));
        self::authority(authority)?;
        if !path.bytes().all(|b| b.is_ascii_alphanumeric() || b"/-._~".contains(&b)) {
            return Err(UrlError::Path);
        }
        Ok(Self(text.trim_end_matches('/').to_owned()))
    }

    /// A name, or an address without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        let rest = self.0.split_once("://").map_or("", |(_, rest)| rest);
        let host = match rest.strip_prefix('[') {
            Some(inner) => inner.split(']').next(),
            None => rest.split([':', '/']).next(),
        };
        host.unwrap_or_default()
    }

    /// The URL as text, without a slash at its end.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether what is sent there crosses a network unencrypted.
    #[must_use]
    pub fn is_clear_text(&self) -> bool {
        self.0.strip_prefix("http://").is_some_and(|rest| {
            let host = rest.split([':', '/']).next().unwrap_or_default();
            let loopback = host == "localhost" || host.parse::<Ipv4Addr>().is_ok_and(|ip| ip.is_loopback());
            !loopback && !rest.starts_with("[::1]")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_url_is_scheme_host_port_and_path() {
        for (good, kept) in [
            ("https://api.digitalocean.com", "https://api.digitalocean.com"),
            ("http://127.0.0.1:8080/", "http://127.0.0.1:8080"),
            ("http://[::1]:1/a/b-c", "http://[::1]:1/a/b-c"),
        ] {
            assert_eq!(BaseUrl::new(good).unwrap().as_str(), kept);
        }
        for (bad, why) in [
            ("api.digitalocean.com", UrlError::Scheme),
            ("ftp://a", UrlError::Scheme),
            ("https://", UrlError::Host),
            ("https:///v2", UrlError::Host),
            ("https://a b", UrlError::Host),
            ("http://1.2.3", UrlError::Host),
            ("http://1.2.3.400", UrlError::Host),
            ("http://[::1", UrlError::Host),
            ("http://[zz]", UrlError::Host),
            ("https://user:word@host", UrlError::User),
            ("https://host:0", UrlError::Port),
            ("https://host:+1", UrlError::Port),
            ("https://host:70000", UrlError::Port),
            ("https://host/?a=1", UrlError::Query),
            ("https://host/a b", UrlError::Path),
        ] {
            assert_eq!(BaseUrl::new(bad), Err(why), "{bad}");
        }
    }

    #[test]
    fn clear_text_is_told_unless_it_stays_on_the_host() {
        for (url, clear) in [
            ("https://a", false),
            ("http://127.0.0.1:1", false),
            ("http://localhost", false),
            ("http://[::1]", false),
            ("http://10.0.0.1", true),
            ("http://127.0.0.1.example.com", true),
        ] {
            assert_eq!(BaseUrl::new(url).unwrap().is_clear_text(), clear, "{url}");
        }
    }
}
