//! The web app of a host: one small page, which needs every container of its host.

use std::path::PathBuf;

use hyper::StatusCode;
use serde_json::Value;

use super::CONTAINERS;
use crate::client;
use crate::http::{self, Asked, Handler, Reply};

/// What stands behind the host's name on the page.
const SERVES: &str = " serves";

/// The service of one host: it says whose it is.
#[derive(Clone, Debug)]
pub(super) struct App {
    pub(super) host: String,
    /// The socket of the host's engine: by its word the containers run, or do not.
    pub(super) engine: PathBuf,
}

impl Handler for App {
    async fn handle(&self, _asked: Asked) -> Reply {
        let host = &self.host;
        Reply::Answer(if self.containers_run().await {
            http::answer(StatusCode::OK, "text/plain", format!("{host}{SERVES}\n"))
        } else {
            http::answer(StatusCode::SERVICE_UNAVAILABLE, "text/plain", format!("{host} is broken\n"))
        })
    }
}

impl App {
    /// The engine's own state, not its list: the list lags behind a death, the service does not.
    async fn containers_run(&self) -> bool {
        let asked = client::over_unix(&self.engine, "GET", "/_lab/state", "").await;
        let Ok(state) = asked.and_then(|answer| client::json(&answer)) else { return false };
        let containers = state["containers"].as_array();
        let runs = |container: &&Value| container["status"] == "running";
        containers.is_some_and(|all| all.iter().filter(runs).count() == CONTAINERS as usize)
    }
}

/// Whose page this is.
pub(super) fn host_of(page: &str) -> &str {
    let page = page.trim();
    page.strip_suffix(SERVES).unwrap_or(page)
}
