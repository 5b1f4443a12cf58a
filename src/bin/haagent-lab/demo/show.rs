//! What the acts share: the stage, the client, the page, and the accounts of what happened.

use std::time::Duration;

use super::paint::Tone;
use super::timeline::signed;
use super::traffic::{Account, Client};
use super::{DemoError, Pace, Page};
use crate::stage::{CONTAINERS, RESERVED_IP, Stage};

/// Web-1, which holds the address at the start.
pub(super) const FIRST: usize = 0;
/// Web-2, its standby.
pub(super) const SECOND: usize = 1;
/// The longest wait for the client's first answer once the address has moved.
const CLIENT_PATIENCE: Duration = Duration::from_secs(5);

/// Everything on the stage, and what happened on it.
#[derive(Debug)]
pub(super) struct Show {
    pub(super) stage: Stage,
    pub(super) client: Client,
    pub(super) page: Page,
    pub(super) pace: Pace,
    /// The events that are over, and the time before the first.
    pub(super) over: Vec<Over>,
    /// What goes on now: every request of the client belongs to one of these.
    now: Event,
}

/// An event as it begins.
#[derive(Clone, Copy, Debug)]
pub(super) struct Event {
    pub(super) name: &'static str,
    /// Since 1970.
    pub(super) begun: Duration,
    /// The newest entry of the cloud's log before it.
    pub(super) cloud: u64,
}

/// An event that is over.
#[derive(Clone, Debug, Default)]
pub(super) struct Over {
    pub(super) name: &'static str,
    pub(super) account: Account,
    pub(super) moves: usize,
}

impl Show {
    /// Sets the stage.
    pub(super) async fn open(pace: Pace, page: Page) -> Result<Self, DemoError> {
        page.lines(&[page.paint.paint(Tone::Strong, "haagent: two hosts and a cloud, all on this machine")])?;
        let mut stage = Stage::set(pace.scene).await?;
        stage.settled(FIRST).await?;
        let client = Client::start(stage.front);
        let now = Event { name: "before", begun: client.now(), cloud: stage.cloud_newest().await? };
        Ok(Self { stage, client, page, pace, over: Vec::new(), now })
    }

    /// Says what runs, and lets both agents speak.
    pub(super) async fn introduce(&mut self) -> Result<(), DemoError> {
        let scene = self.pace.scene;
        let (interval, assign) = (scene.interval.as_millis(), scene.assign.as_millis());
        let item = |word: &str, text: &str| self.page.item(Tone::Plain, word, 14, text);
        self.page.blank()?;
        item(
            "web-1, web-2",
            &format!(
                "on each: the agent (haagent run), {CONTAINERS} containers in a fake Docker engine, and a small \
                 web app that needs all {CONTAINERS}. Heartbeats each {interval} ms."
            ),
        )?;
        item(
            "cloud",
            &format!(
                "a fake DigitalOcean: {RESERVED_IP} is on web-1, moving it takes {assign} ms. Its log and its \
                 faults: {}",
                self.stage.cloud_url()
            ),
        )?;
        item(
            "client",
            &format!("asks {RESERVED_IP} all the time; on this machine that is {}", self.stage.front_url()),
        )?;
        item("files", &format!("{}, removed at the end", self.stage.folder().display()))?;
        for host in [FIRST, SECOND] {
            self.page.blank()?;
            self.command(host, &["status"]).await?;
        }
        Ok(())
    }

    /// Prints a command and its output.
    pub(super) async fn command(&self, host: usize, command: &[&str]) -> Result<(), DemoError> {
        let output = self.stage.haagent(host, command).await?;
        self.page.command(self.name(host), &format!("haagent {}", command.join(" ")), &output)?;
        Ok(())
    }

    pub(super) fn name(&self, host: usize) -> &str {
        &self.stage.hosts[host].name
    }

    /// An event begins now, after a moment of quiet; the one before is over.
    pub(super) async fn begin(&mut self, name: &'static str) -> Result<Event, DemoError> {
        tokio::time::sleep(self.pace.quiet).await;
        self.close().await?;
        self.now = Event { name, ..self.now };
        Ok(self.now)
    }

    /// Puts down what happened since the newest event began. The next one begins where this one ends.
    pub(super) async fn close(&mut self) -> Result<(), DemoError> {
        let Event { name, begun, cloud } = self.now;
        let (moves, next) = self.stage.cloud_events(cloud, "moved", Duration::ZERO).await?;
        let now = self.client.now();
        let account = self.client.record().account(begun, now);
        self.over.push(Over { name, account, moves: moves.len() });
        self.now = Event { name: "after", begun: now, cloud: next };
        Ok(())
    }

    /// Milliseconds from the event's begin until then.
    pub(super) fn since(event: &Event, at: Duration) -> i64 {
        let ms = |time: Duration| i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
        ms(at) - ms(event.begun)
    }

    /// When the client had its first answer from this host after the event had begun.
    pub(super) async fn client_reaches(&self, event: &Event, host: usize) -> Result<Duration, DemoError> {
        let name = self.name(host);
        let reached = self.client.heard(event.begun, name, CLIENT_PATIENCE).await;
        reached.ok_or_else(|| DemoError::NotVerified(format!("the client never reached {name}")))
    }

    /// How many requests came and failed during the event so far.
    pub(super) fn say_requests(&self, event: &Event) -> Result<(), DemoError> {
        let Account { sent, failed, longest_gap } = self.client.record().account(event.begun, self.client.now());
        let gap = signed(i64::try_from(longest_gap.as_millis()).unwrap_or(i64::MAX));
        self.page.text(&format!("The client sent {sent} requests, {failed} failed; the longest gap is {gap}."))?;
        Ok(())
    }
}
