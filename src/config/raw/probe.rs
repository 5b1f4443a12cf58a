//! `probe` as it was written.

use std::time::Duration;

use super::table::{Field, GROUP_PROBE, Table};
use super::value::{duration, text};
use crate::config::problem::{Collector, Told};
use crate::config::source::{Span, quoted};
use crate::config::types::{BaseUrl, HostPort, Probe, ProbeTarget};

/// What a probe is to ask, and where that was written.
pub(in crate::config) struct RawProbe {
    pub(in crate::config) target: (ProbeTarget, Span),
    pub(in crate::config) timeout: Field<Duration>,
}

const EITHER: &str = "write `probe.http = \"http://203.0.113.10/health\"` or `probe.tcp = \"203.0.113.10:80\"`";

/// The probe of a group, if it has one.
pub(super) fn probe(group: &Table<'_>, told: &mut Collector) -> Result<Option<RawProbe>, Told> {
    let Some(table) = group.inner(told, "probe", &GROUP_PROBE)? else { return Ok(None) };
    let audited = table.audit(told);
    let http = table.read(told, "http", |told, key, value| {
        let written = text(told, key, value, "a URL in quotes", "\"http://203.0.113.10/health\"")?;
        BaseUrl::new(written).map_err(|error| {
            // A URL may hold a password: it is not repeated.
            told.error(
                &value.span(),
                &format!("`probe.http` is no URL that can be asked: {error}"),
                "write `http://HOST/PATH` or `https://HOST/PATH`",
            )
        })
    });
    let tcp = table.read(told, "tcp", |told, key, value| {
        let written = text(told, key, value, "an address and a port in quotes", "\"203.0.113.10:80\"")?;
        HostPort::new(written).map_err(|error| {
            let message = format!("{} in `probe.tcp` is no HOST:PORT: {error}", quoted(written));
            told.error(&value.span(), &message, "write the reserved IP and a port: \"203.0.113.10:80\"")
        })
    });
    let timeout = table.read(told, "timeout", duration(Probe::TIMEOUTS));
    let target = match (http, tcp) {
        (Field::Given(..) | Field::Wrong(_), Field::Given(_, span)) | (Field::Given(_, span), Field::Wrong(_)) => {
            return Err(told.error(&span, "`probe` says both `http` and `tcp`: it asks in one way", "leave one"));
        }
        (Field::Wrong(proof), _) | (_, Field::Wrong(proof)) => return Err(proof),
        (Field::Given(url, span), Field::Absent) => (ProbeTarget::Http(url), span),
        (Field::Absent, Field::Given(tcp, span)) => (ProbeTarget::Tcp(tcp), span),
        (Field::Absent, Field::Absent) => {
            // A misspelt one was told.
            audited?;
            return Err(told.absent(Some(&table.header), "`probe` does not say what to ask", EITHER));
        }
    };
    audited.map(|()| Some(RawProbe { target, timeout }))
}
