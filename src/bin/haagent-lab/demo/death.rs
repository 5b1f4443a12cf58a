//! The second event: the host that serves dies, and the API refuses to move the address for a while.

use serde_json::json;

use super::DemoError;
use super::calls::{self, Call};
use super::evidence::moved_once;
use super::show::{Event, FIRST, SECOND, Show};
use super::steps;
use super::timeline::signed;

/// The shortest wait after "pending event", milliseconds.
const PENDING_WAIT_MS: i64 = 1000;
/// What a wait may seem shorter than it was: the log has whole milliseconds.
const ROUNDING_MS: i64 = 2;

pub(super) async fn play(show: &mut Show) -> Result<(), DemoError> {
    show.page.heading("2. The host that serves dies, and the API refuses")?;
    let (refusals, retry_after) = (show.pace.pending_events, show.pace.retry_after);
    let assigns = json!({"method": "POST", "path": "/v2/reserved_ips/*/actions"});
    let pending = json!({"on": assigns, "count": refusals, "effect": {"kind": "pending_event"}});
    let limited = json!({"on": assigns, "count": 1,
        "effect": {"kind": "rate_limited", "retry_after": retry_after.to_string(), "reset_in": retry_after}});
    show.stage.break_cloud(&pending).await?;
    show.stage.break_cloud(&limited).await?;
    let times = if refusals == 1 { "first assign" } else { "first two assigns" };
    show.page.text(&format!(
        "The API will answer the {times} with 422 (pending event), and the next with 429 (too many requests, \
         Retry-After: {retry_after})."
    ))?;

    let event = show.begin("2  the host dies, the API refuses").await?;
    show.stage.hosts[SECOND].dies().await?;
    show.page.text(
        "web-2 dies: kill -9 for its agent and for its Docker engine, and nobody listens where its web app did. \
         Nothing says goodbye.",
    )?;
    show.stage.held(FIRST).await?;
    let reached = show.client_reaches(&event, FIRST).await?;
    let asked = calls::of(show, &event, FIRST).await?;
    let mut marks = steps::of_move(show, &event, FIRST, None).await?;
    // Two logs, each in whole milliseconds: an answer must not seem to come before its question.
    let sent = marks.iter().find(|(_, what, _)| *what == steps::ASSIGN_SENT).map_or(0, |(_, _, at)| *at);
    marks.extend(asked.iter().filter_map(Call::assign).map(|(what, at)| ("API", what, at.max(sent))));
    steps::draw(show, &event, marks, reached)?;
    show.say_requests(&event)?;

    show.page.text("What web-1 asked the API, and how long after the answer before, by the API's own log:")?;
    show.page.blank()?;
    show.page.lines(&calls::lines(&asked, show.page.paint))?;
    show.page.blank()?;

    show.stage.hosts[SECOND].comes_back().await?;
    let started = show.client.now();
    show.stage.settled(FIRST).await?;
    let back = signed(Show::since(&Event { begun: started, ..event }, show.client.now()));
    show.page.text(&format!("web-2 is up again, and {back} later it is the standby. The address stays on web-1."))?;

    let mut evidence = moved_once(show, &event, SECOND, FIRST).await?;
    let refused = calls::refusals(&asked);
    let statuses: Vec<u16> = refused.iter().map(|(call, _)| call.status).collect();
    let ordered: Vec<u16> = (0..refusals).map(|_| 422).chain([429]).collect();
    let what = format!("the API refused web-1 with {}", list(&statuses));
    evidence.must(statuses == ordered, what, || format!("{} was ordered", list(&ordered)));
    let kept = |(call, wait): &(&Call, Option<i64>)| {
        let least =
            if call.status == 429 { i64::try_from(retry_after * 1000).unwrap_or(i64::MAX) } else { PENDING_WAIT_MS };
        wait.is_some_and(|wait| wait + ROUNDING_MS >= least)
    };
    let waits: Vec<String> = refused.iter().filter_map(|(_, wait)| wait.map(signed)).collect();
    let what = format!("it waited after each: {}", waits.join(", "));
    evidence.must(refused.iter().all(kept), what, || format!("at least 1 s, and {retry_after} s after the 429"));
    evidence.say(show)
}

fn list(statuses: &[u16]) -> String {
    statuses.iter().map(u16::to_string).collect::<Vec<_>>().join(", ")
}
