//! The third event: the private link is cut, and nothing else is wrong. Nothing moves, because the service
//! still answers through the reserved IP.

use std::time::Duration;

use serde_json::Value;

use super::DemoError;
use super::calls;
use super::evidence::{Evidence, agree, told};
use super::show::{Event, FIRST, SECOND, Show};
use super::timeline::signed;

/// A word of the lines of the status that say why the standby waits.
const SUBJECT: &str = "answers";

pub(super) async fn play(show: &mut Show) -> Result<(), DemoError> {
    show.page.heading("3. The private link is cut, and nothing else is wrong")?;
    let event = show.begin("3  the private link is cut").await?;
    show.stage.cut_link().await?;
    show.page.text(
        "No heartbeat passes. To web-2 this looks like the death before, but for one thing: the page still \
         answers through the reserved IP, and that is what its `probe` asks.",
    )?;
    let silence = i64::try_from(show.pace.cut.as_millis()).unwrap_or(i64::MAX);
    show.stage
        .until("both agents miss each other", async |stage| {
            for host in [FIRST, SECOND] {
                let group = stage.group(host).await?;
                if heard(&group).is_none_or(|heard| heard < silence) {
                    return Ok(Err(format!("{} heard its peer {:?} ms ago", group["name"], heard(&group))));
                }
            }
            Ok(Ok(()))
        })
        .await?;

    let group = show.stage.group(SECOND).await?;
    let silent = signed(heard(&group).unwrap_or_default());
    let page = show.stage.haagent(SECOND, &["status"]).await?;
    let why = items_about(&page, SUBJECT);
    show.page.text(&format!("web-2 has not heard web-1 for {silent}. These lines of its status say why it waits:"))?;
    show.page.blank()?;
    show.page.command("web-2", "haagent status", &why.join("\n"))?;
    show.page.blank()?;
    show.page.text("What both asked the API meanwhile, by the API's own log:")?;
    show.page.blank()?;
    for host in [FIRST, SECOND] {
        let asked = calls::of(show, &event, host).await?;
        let lines = calls::lines(&asked, show.page.paint);
        let nothing = lines.is_empty().then(|| "      nothing".to_owned());
        show.page.lines(&[format!("   {}", show.name(host))])?;
        show.page.lines(&lines.into_iter().chain(nothing).collect::<Vec<_>>())?;
    }
    show.page.blank()?;
    show.say_requests(&event)?;
    let mut evidence = Evidence::default();
    let (state, probe) = (&group["state"], &group["probe"]);
    let waits = state == "backup" && probe["defers"] == true;
    let what = "web-2 says that it stays the standby because the service answers";
    evidence.must(waits, what, || format!("state {state}, probe {probe}"));
    nothing_moved(show, &event, &mut evidence).await?;
    evidence.so_far()?;

    show.stage.heal_link().await?;
    let healed = show.client.now();
    show.stage.settled(FIRST).await?;
    let quiet = signed(Show::since(&Event { begun: healed, ..event }, show.client.now()));
    show.page.text(&format!("The link is whole again. {quiet} later both agents say that all is well."))?;

    agree(show, FIRST, &mut evidence).await?;
    evidence.say(show)
}

/// No assign was asked for, nothing moved, and no request of the client failed.
async fn nothing_moved(show: &Show, event: &Event, evidence: &mut Evidence) -> Result<(), DemoError> {
    let (orders, _) = show.stage.cloud_events(event.cloud, "accepted", Duration::ZERO).await?;
    let (moves, _) = show.stage.cloud_events(event.cloud, "moved", Duration::ZERO).await?;
    let mut asked = Vec::new();
    for host in [FIRST, SECOND] {
        asked.extend(calls::of(show, event, host).await?.into_iter().filter(|call| !call.reads()));
    }
    let quiet = orders.is_empty() && moves.is_empty() && asked.is_empty();
    evidence.must(quiet, "the cloud's log has no assign and no move", || {
        format!("{}; {} calls of the agents to change something", told(&moves), asked.len())
    });
    let failed = show.client.record().account(event.begun, show.client.now()).failed;
    evidence.must(failed == 0, "no request of the client failed", || format!("{failed} failed"));
    Ok(())
}

/// How long ago this host heard its peer, milliseconds.
fn heard(group: &Value) -> Option<i64> {
    group["peers"][0]["heard_ms_ago"].as_i64()
}

/// The items of a status page that have this word: the line with the label, and what hangs under it.
fn items_about<'a>(page: &'a str, word: &str) -> Vec<&'a str> {
    let mut items: Vec<Vec<&str>> = Vec::new();
    for line in page.lines() {
        match items.last_mut() {
            Some(item) if line.starts_with("      ") => item.push(line),
            _ => items.push(vec![line]),
        }
    }
    let about = |item: &Vec<&str>| item.iter().any(|line| line.to_lowercase().contains(word));
    items.into_iter().filter(about).flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_item_of_a_page_is_its_label_and_what_hangs_under_it() {
        let page = "group web: OK\n  master    web-1\n  problem   silent, but the\n            Probe answers\n  checks    ok\n";
        assert_eq!(items_about(page, "probe"), ["  problem   silent, but the", "            Probe answers"]);
        assert!(items_about(page, "nothing").is_empty());
    }
}
