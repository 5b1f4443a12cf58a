//! The first event: one container stops, so the service is broken. The address moves to the standby.

use std::time::Duration;

use serde_json::Value;

use super::DemoError;
use super::evidence::moved_once;
use super::show::{Event, FIRST, SECOND, Show};
use super::steps::{self, time_of};
use super::timeline::signed;

const CONTAINER: &str = "app-3";

pub(super) async fn play(show: &mut Show) -> Result<(), DemoError> {
    show.page.heading("1. One container of web-1 stops")?;
    let event = show.begin("1  a container stops").await?;
    show.stage.hosts[FIRST].container_dies(CONTAINER).await?;
    show.page.text(&format!("{CONTAINER} exits with 137. The web app of web-1 answers 503 from now on."))?;
    show.stage.held(SECOND).await?;
    let reached = show.client_reaches(&event, SECOND).await?;

    let noticed = check_failed(&show.stage.group(FIRST).await?)?;
    let offered = ("web-1", "check failed", Show::since(&event, noticed));
    let marks = steps::of_move(show, &event, SECOND, Some(offered)).await?;
    steps::draw(show, &event, marks, reached)?;
    show.say_requests(&event)?;

    show.stage.hosts[FIRST].container_starts(CONTAINER).await?;
    let started = show.client.now();
    show.page.text(&format!(
        "{CONTAINER} is started again. Would a failover work? Not yet: web-1's check must pass first."
    ))?;
    show.stage.settled(SECOND).await?;
    let ready = signed(Show::since(&Event { begun: started, ..event }, show.client.now()));
    show.page.text(&format!("After {ready} it would: web-1 is a healthy standby. The address stays on web-2."))?;
    moved_once(show, &event, FIRST, SECOND).await?.say(show)
}

/// Since when the host's own check counts as failed.
fn check_failed(group: &Value) -> Result<Duration, DemoError> {
    let checks = group["checks"].as_array().map(Vec::as_slice).unwrap_or_default();
    let failed = checks.iter().find(|check| check["ok"] == false);
    let since = failed.and_then(|check| time_of(&check["since"]));
    since.ok_or_else(|| DemoError::NotVerified(format!("web-1 says that a check fails; instead: {}", group["checks"])))
}
