//! What all HTTP clients of the agent have in common: no proxy, no redirect, no
//! HTTP/2, a bounded pool, a resolver that remembers, and a limit on every body.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use reqwest::{ClientBuilder, Response, redirect};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::{self, PemObject};
use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::Verifier;

use crate::config::file::{self, FileError};
use crate::net::dns::Resolver;
use crate::proto::time::Duration;

/// What the agent calls itself.
pub const USER_AGENT: &str = concat!("haagent/", env!("CARGO_PKG_VERSION"));

/// An idle connection is kept this long: shorter than the readiness interval, so
/// that a read at rest opens its own and proves the whole way to the provider.
const IDLE: Duration = Duration::from_secs(60);

/// The longest file of authorities that is read: Debian's own, of all there are, has 220 KB.
const CA_FILE_BYTES: u64 = 4 << 20;

/// Why a file of authorities cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CaFileError {
    /// It is no file, or too long, or closed to us.
    #[error(transparent)]
    File(#[from] FileError),
    /// What is in it.
    #[error(transparent)]
    Pem(#[from] pem::Error),
}

/// Why TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The extra authorities cannot be read.
    #[error("the certificates of {path} (digitalocean.ca_file) cannot be read")]
    CaFile {
        path: PathBuf,
        #[source]
        cause: CaFileError,
    },
    /// The file has none.
    #[error("{0} (digitalocean.ca_file) has no certificate in PEM form")]
    NoCertificate(PathBuf),
    /// The host has no certificate store.
    #[error("no authority to trust: install the package ca-certificates, or set digitalocean.ca_file")]
    Store(#[source] rustls::Error),
    /// The TLS library refuses its own defaults.
    #[error("TLS cannot be set up")]
    Versions(#[source] rustls::Error),
}

/// The TLS settings: the host's authorities, and those of `ca_file`.
///
/// Loading the store takes about 15 ms and reads files, so this is made once
/// for each set of clients; clones share the store and the session tickets.
///
/// # Errors
/// The file or the store cannot be read, or holds no certificate.
pub fn tls(ca_file: Option<&Path>) -> Result<ClientConfig, TlsError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let extra: Vec<CertificateDer<'static>> = match ca_file {
        None => Vec::new(),
        Some(path) => {
            let certificates = certificates(path).map_err(|cause| TlsError::CaFile { path: path.to_owned(), cause })?;
            if certificates.is_empty() {
                return Err(TlsError::NoCertificate(path.to_owned()));
            }
            certificates
        }
    };
    let verifier = Verifier::new_with_extra_roots(extra, Arc::clone(&provider)).map_err(TlsError::Store)?;
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Versions)?
        .dangerous() // rustls' word for "a verifier of one's own"; it is the host's
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, CaFileError> {
    let (bytes, _) = file::read(path, CA_FILE_BYTES)?;
    Ok(CertificateDer::pem_slice_iter(&bytes).collect::<Result<_, _>>()?)
}

/// The TLS settings of a client that speaks plain HTTP: it trusts nobody.
/// Without them reqwest would load the host's store, or refuse to be built.
///
/// # Errors
/// The TLS library refuses its own defaults.
pub fn no_tls() -> Result<ClientConfig, TlsError> {
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Versions)?;
    Ok(config.with_root_certificates(RootCertStore::empty()).with_no_client_auth())
}

/// A client that does what it is told and nothing else. `connect_timeout`
/// covers DNS, TCP and TLS together.
pub fn builder(tls: ClientConfig, resolver: Resolver, connect_timeout: Duration) -> ClientBuilder {
    reqwest::Client::builder()
        .user_agent(USER_AGENT)
        .tls_backend_preconfigured(tls)
        .dns_resolver(resolver)
        .connect_timeout(connect_timeout)
        .no_proxy()
        .redirect(redirect::Policy::none())
        .retry(reqwest::retry::never())
        .referer(false)
        .http1_only()
        .pool_max_idle_per_host(1)
        .pool_idle_timeout(IDLE)
}

/// Why a body could not be read.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// It is longer than allowed. What was read is dropped, the rest is not read.
    #[error("more than {limit} bytes")]
    TooBig { limit: usize },
    /// The connection broke.
    #[error("the connection broke")]
    Broken(#[source] reqwest::Error),
}

/// Reads a body of at most `limit` bytes. The caller sets the deadline.
///
/// # Errors
/// The body is longer (told by its header, before any of it is read, or by counting), or the connection breaks.
pub async fn read_limited(mut response: Response, limit: usize) -> Result<Vec<u8>, BodyError> {
    if response.content_length().is_some_and(|length| length > limit as u64) {
        return Err(BodyError::TooBig { limit });
    }
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(BodyError::Broken)? {
        if chunk.len() > limit - body.len() {
            return Err(BodyError::TooBig { limit });
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn authorities_that_never_end_or_never_come_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let long = folder.path().join("long");
        std::fs::File::create(&long).unwrap().set_len(CA_FILE_BYTES + 1).unwrap();
        for (path, says) in
            [(pipe.as_path(), "no regular file"), (Path::new("/dev/zero"), "no regular file"), (&long, "is longer")]
        {
            let error = tls(Some(path)).unwrap_err();
            let why = std::error::Error::source(&error).unwrap().to_string();
            assert!(error.to_string().contains("digitalocean.ca_file") && why.contains(says), "{error}: {why}");
        }
    }
}
