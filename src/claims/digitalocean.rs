//! The driver of a DigitalOcean reserved IPv4.

use std::net::Ipv4Addr;
use std::sync::{Mutex, OnceLock, PoisonError};

use tokio::sync::watch;

use super::Driver;
use crate::cloud::digitalocean::client::{Client, Connection};
use crate::cloud::digitalocean::error::Error;
use crate::cloud::discover::{Directory, Verdict};
use crate::cloud::metadata;
use crate::hooks::Promotion;
use crate::net::explain;
use crate::proto::claim::event::{Action, CloudActionId, Failure, FailureClass, Holder, Outcome, Progress};
use crate::proto::ids::DropletId;
use crate::proto::time::{Duration, Time};
use crate::sys::clock;

/// How long "this token may see droplets" is believed. Each look that shows no
/// droplet needs it, and a scope can be taken away at any time.
const SIGHT_KEPT: Duration = Duration::from_secs(60);

/// What a driver needs to know.
#[derive(Debug)]
pub struct Settings {
    /// The API; each action asks the newest client.
    pub api: watch::Receiver<Client>,
    /// This droplet's metadata service.
    pub metadata: metadata::Client,
    /// The reserved IP.
    pub address: Ipv4Addr,
    /// This droplet, if it is known; else the metadata service is asked when it is needed.
    pub droplet: Option<DropletId>,
    /// Who is who in the group, now.
    pub directory: watch::Receiver<Directory>,
    /// The `promote` hook.
    pub promotion: Promotion,
}

/// The driver of one reserved IPv4.
///
/// A look at the API is one request, in two cases two: where no droplet is
/// shown, this node's own is read at most once a minute, because "nobody" and
/// "you may not see it" look alike; and a droplet that is shown without
/// anything but its number is read.
#[derive(Debug)]
pub struct DigitalOcean {
    api: watch::Receiver<Client>,
    metadata: metadata::Client,
    address: Ipv4Addr,
    droplet: OnceLock<DropletId>,
    directory: watch::Receiver<Directory>,
    promotion: Promotion,
    sight: Mutex<Option<Sight>>,
}

/// The API showed a droplet.
#[derive(Debug)]
struct Sight {
    at: Time,
    /// To this client: another token may see less.
    client: Client,
}

impl DigitalOcean {
    /// A driver. Asks nobody.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        let Settings { api, metadata, address, droplet, directory, promotion } = settings;
        let droplet = droplet.map(OnceLock::from).unwrap_or_default();
        Self { api, metadata, address, droplet, directory, promotion, sight: Mutex::default() }
    }

    fn api(&self) -> Client {
        self.api.borrow().clone()
    }

    async fn own_droplet(&self) -> Result<DropletId, Failure> {
        if let Some(droplet) = self.droplet.get() {
            return Ok(*droplet);
        }
        let droplet = self.metadata.id().await.map_err(|error| Failure {
            class: FailureClass::Again,
            text: format!(
                "this droplet's number is unknown, nothing was asked: {}; set digitalocean.droplet_id",
                explain(&error)
            )
            .into(),
        })?;
        Ok(*self.droplet.get_or_init(|| droplet))
    }

    async fn look_local(&self) -> Result<Outcome, Failure> {
        let mine = self
            .metadata
            .holds(self.address)
            .await
            .map_err(|error| Failure { class: FailureClass::Again, text: explain(&error).into() })?;
        Ok(Outcome::Local { mine })
    }

    async fn look_api(&self, connection: Connection) -> Result<Outcome, Failure> {
        let own = self.own_droplet().await?;
        let api = self.api();
        let shown = api.reserved_ip(self.address, connection).await.map_err(|error| error.failure())?;
        let directory = self.directory.borrow().clone();
        let holder = match directory.judge(&shown.droplet, own) {
            Verdict::Holder(holder) => {
                self.saw_a_droplet(&api);
                holder
            }
            Verdict::NobodyIfSeen if self.may_see(&api, own).await? => Holder::Nobody,
            Verdict::NobodyIfSeen => Holder::Unknown,
            Verdict::Read(droplet) => match api.droplet(droplet).await {
                Ok(droplet) => {
                    self.saw_a_droplet(&api);
                    directory.holder(&droplet, own)
                }
                Err(error) => match error.status() {
                    Some(404) => Holder::Nobody,
                    Some(403) => Holder::Unknown,
                    _ => return Err(error.failure()),
                },
            },
        };
        Ok(Outcome::Api { holder, locked: shown.locked })
    }

    async fn assign(&self) -> Result<Outcome, Failure> {
        let own = self.own_droplet().await?;
        let action = self.api().assign(self.address, own).await.map_err(|error| error.failure())?;
        Ok(Outcome::Accepted { action: action.cloud_id() })
    }

    async fn poll(&self, action: CloudActionId) -> Result<Outcome, Failure> {
        match self.api().action(self.address, action).await {
            Ok(action) => Ok(Outcome::Progress(action.progress())),
            // Not visible yet, or (addresses brought along) never.
            Err(error) if error.status() == Some(404) => Ok(Outcome::Progress(Progress::Unknown)),
            Err(error) => Err(error.failure()),
        }
    }

    /// The reconciler repeats it, whatever was wrong.
    async fn promote(&self) -> Result<Outcome, Failure> {
        let promoted = self.promotion.run().await;
        promoted.map(|()| Outcome::Promoted).map_err(|text| Failure { class: FailureClass::Again, text })
    }

    /// Whether the token may see droplets: it has shown one lately, or shows this node's own.
    async fn may_see(&self, api: &Client, own: DropletId) -> Result<bool, Failure> {
        let lately = |sight: &Sight| clock::now().since(sight.at) < SIGHT_KEPT && sight.client.is_clone_of(api);
        if self.sight.lock().unwrap_or_else(PoisonError::into_inner).as_ref().is_some_and(lately) {
            return Ok(true);
        }
        match api.droplet(own).await {
            Ok(_) => {
                self.saw_a_droplet(api);
                Ok(true)
            }
            Err(error) if error.status() == Some(403) => Ok(false),
            Err(error) => Err(error.failure()),
        }
    }

    fn saw_a_droplet(&self, api: &Client) {
        let sight = Sight { at: clock::now(), client: api.clone() };
        *self.sight.lock().unwrap_or_else(PoisonError::into_inner) = Some(sight);
    }
}

impl Driver for DigitalOcean {
    async fn perform(&self, action: Action) -> Outcome {
        let done = match action {
            Action::LookLocal => self.look_local().await,
            Action::LookApi { fresh: false } => self.look_api(Connection::Kept).await,
            Action::LookApi { fresh: true } => self.look_api(Connection::Fresh).await,
            Action::Warm => self.api().warm().await.map(|()| Outcome::Warmed).map_err(|error: Error| error.failure()),
            Action::Assign => self.assign().await,
            Action::Poll { action } => self.poll(action).await,
            Action::Promote => self.promote().await,
        };
        done.unwrap_or_else(Outcome::Failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cloud::digitalocean::client;
    use crate::config::secret::Secret;
    use crate::net::dns::Resolver;
    use crate::net::testing::{Reply, Server, answer, json};

    const ADDRESS: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 10);
    const PEER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
    const OWN: &str = r#"{"droplet":{"id":1,"status":"active"}}"#;
    const FORBIDDEN: &str = r#"{"id":"forbidden","message":"You are not authorized"}"#;

    struct Cloud {
        api: Server,
        metadata: Server,
        driver: DigitalOcean,
        client: watch::Sender<Client>,
    }

    async fn cloud(api: impl IntoIterator<Item = Reply>, metadata: impl IntoIterator<Item = Reply>) -> Cloud {
        let (api, metadata) = (Server::start(api).await, Server::start(metadata).await);
        let settings = client::Settings {
            api_url: api.url(),
            token: Secret::new("t".to_owned()),
            token_source: "/etc/haagent/do-token".to_owned(),
            ca_file: None,
            timeout: Duration::from_secs(5),
            resolver: Resolver::default(),
        };
        let (client, api_client) = watch::channel(Client::new(settings).unwrap());
        let directory = Directory { members: vec![PEER], droplets: [(DropletId(2), PEER)].into() };
        let driver = DigitalOcean::new(Settings {
            api: api_client,
            metadata: metadata::Client::new(&metadata.url(), Resolver::default()).unwrap(),
            address: ADDRESS,
            droplet: None,
            directory: watch::channel(directory).1,
            promotion: Promotion::none(),
        });
        Cloud { api, metadata, driver, client }
    }

    fn text(text: &str) -> Reply {
        Reply::Keep(answer(200, "", text))
    }

    fn held_by(droplet: &str) -> Reply {
        let droplet = if droplet.is_empty() { String::new() } else { format!(r#","droplet":{droplet}"#) };
        Reply::Keep(json(200, &format!(r#"{{"reserved_ip":{{"ip":"203.0.113.10","locked":true{droplet}}}}}"#)))
    }

    async fn look(api: impl IntoIterator<Item = Reply>) -> (Outcome, usize) {
        let cloud = cloud(api, [text("1")]).await;
        let outcome = cloud.driver.perform(Action::LookApi { fresh: false }).await;
        (outcome, cloud.api.seen().requests.len())
    }

    #[tokio::test]
    async fn a_look_that_shows_the_droplet_is_one_request() {
        for (droplet, holder) in [
            (r#"{"id":1,"status":"active"}"#, Holder::Mine),
            (r#"{"id":2,"status":"active"}"#, Holder::Member(PEER)),
            (r#"{"id":2,"status":"off"}"#, Holder::Nobody),
            (r#"{"id":3,"status":"active"}"#, Holder::Foreign(DropletId(3))),
        ] {
            let (outcome, requests) = look([held_by(droplet)]).await;
            assert_eq!((outcome, requests), (Outcome::Api { holder, locked: true }, 1), "{droplet}");
        }
    }

    #[tokio::test]
    async fn no_droplet_is_nobody_only_if_the_token_may_see_droplets() {
        for absent in ["", "null"] {
            for (own, holder) in [(json(200, OWN), Holder::Nobody), (json(403, FORBIDDEN), Holder::Unknown)] {
                let (outcome, requests) = look([held_by(absent), Reply::Keep(own)]).await;
                assert_eq!((outcome, requests), (Outcome::Api { holder, locked: true }, 2), "{absent:?}");
            }
            for broken in [Reply::Reset, Reply::Keep(json(500, "{}")), Reply::Keep(json(404, "{}"))] {
                let (outcome, _) = look([held_by(absent), broken]).await;
                assert!(matches!(outcome, Outcome::Failed(_)), "{outcome:?}");
            }
        }
    }

    #[tokio::test]
    async fn the_proof_of_sight_is_kept_for_a_while() {
        let replies = [held_by("null"), Reply::Keep(json(200, OWN)), held_by("null")];
        let cloud = cloud(replies, [text("1")]).await;
        let nobody = Outcome::Api { holder: Holder::Nobody, locked: true };
        for _ in 0..5 {
            assert_eq!(cloud.driver.perform(Action::LookApi { fresh: false }).await, nobody);
        }
        assert_eq!(cloud.api.seen().requests.len(), 6);
        // It is old now: the same answer says nothing until the right is shown again.
        cloud.driver.sight.lock().unwrap().as_mut().unwrap().at = clock::now().before(SIGHT_KEPT);
        let outcome = cloud.driver.perform(Action::LookApi { fresh: false }).await;
        assert!(matches!(outcome, Outcome::Failed(_)), "{outcome:?}");
    }

    #[tokio::test]
    async fn another_client_is_asked_at_once_and_what_the_one_before_saw_is_no_proof() {
        let replies =
            [held_by("null"), Reply::Keep(json(200, OWN)), held_by("null"), Reply::Keep(json(403, FORBIDDEN))];
        let cloud = cloud(replies, [text("1")]).await;
        let nobody = Outcome::Api { holder: Holder::Nobody, locked: true };
        assert_eq!(cloud.driver.perform(Action::LookApi { fresh: false }).await, nobody);
        let settings = client::Settings {
            api_url: cloud.api.url(),
            token: Secret::new("another".to_owned()),
            token_source: "/etc/haagent/do-token".to_owned(),
            ca_file: None,
            timeout: Duration::from_secs(5),
            resolver: Resolver::default(),
        };
        cloud.client.send_replace(Client::new(settings).unwrap());
        let unknown = Outcome::Api { holder: Holder::Unknown, locked: true };
        assert_eq!(cloud.driver.perform(Action::LookApi { fresh: false }).await, unknown);
        let requests = cloud.api.seen().requests;
        assert!(requests[1].contains("Bearer t\r") && requests[2].contains("Bearer another\r"), "{requests:?}");
    }

    #[tokio::test]
    async fn a_bare_droplet_is_read_and_one_that_is_gone_is_nobody() {
        let active = r#"{"droplet":{"id":3,"status":"active"}}"#;
        for (reply, holder) in [
            (json(404, "{}"), Holder::Nobody),
            (json(403, FORBIDDEN), Holder::Unknown),
            (json(200, active), Holder::Foreign(DropletId(3))),
        ] {
            let (outcome, _) = look([held_by(r#"{"id":3}"#), Reply::Keep(reply)]).await;
            assert_eq!(outcome, Outcome::Api { holder, locked: true });
        }
    }

    #[tokio::test]
    async fn an_assign_names_this_droplet_and_without_it_nothing_is_sent() {
        let accepted = Reply::Keep(json(201, r#"{"action":{"id":7,"status":"in-progress"}}"#));
        let known = cloud([accepted.clone()], [text("1\n")]).await;
        let outcome = known.driver.perform(Action::Assign).await;
        assert_eq!(outcome, Outcome::Accepted { action: CloudActionId(7) });
        assert!(known.api.seen().requests[0].ends_with(r#""droplet_id":1,"type":"assign"}"#));
        known.driver.perform(Action::Assign).await;
        assert_eq!(known.metadata.seen().requests.len(), 1, "asked once");

        let unknown = cloud([accepted], [text("<html>")]).await;
        let Outcome::Failed(failure) = unknown.driver.perform(Action::Assign).await else { panic!() };
        assert_eq!(failure.class, FailureClass::Again);
        assert!(failure.text.contains("set digitalocean.droplet_id"), "{failure}");
        assert!(unknown.api.seen().requests.is_empty());
    }

    #[tokio::test]
    async fn a_poll_says_how_far_the_action_is() {
        let status = |word: &str| json(200, &format!(r#"{{"action":{{"id":7,"status":"{word}"}}}}"#));
        for (reply, progress) in [
            (status("in-progress"), Progress::Pending),
            (status("completed"), Progress::Completed),
            (status("errored"), Progress::Errored),
            (json(404, r#"{"id":"not_found","message":"no"}"#), Progress::Unknown),
        ] {
            let cloud = cloud([Reply::Keep(reply)], [text("1")]).await;
            let outcome = cloud.driver.perform(Action::Poll { action: CloudActionId(7) }).await;
            assert_eq!(outcome, Outcome::Progress(progress));
        }
    }

    #[tokio::test]
    async fn a_local_look_is_mine_not_mine_or_a_failure() {
        for (replies, outcome) in [
            (vec![text("true"), text("203.0.113.10")], Some(Outcome::Local { mine: true })),
            (vec![text("false")], Some(Outcome::Local { mine: false })),
            (vec![Reply::Reset], None),
            (vec![text("true"), Reply::Keep(answer(404, "", ""))], None),
        ] {
            let cloud = cloud([], replies).await;
            let got = cloud.driver.perform(Action::LookLocal).await;
            match outcome {
                Some(outcome) => assert_eq!(got, outcome),
                None => assert!(matches!(&got, Outcome::Failed(f) if f.class == FailureClass::Again), "{got:?}"),
            }
            assert!(cloud.api.seen().requests.is_empty());
        }
    }

    #[tokio::test]
    async fn warming_asks_nobody() {
        let cloud = cloud([], []).await;
        assert_eq!(cloud.driver.perform(Action::Warm).await, Outcome::Warmed);
        let seen = cloud.api.wait_for(|seen| seen.connections == 1).await;
        assert!(seen.requests.is_empty() && cloud.metadata.seen().requests.is_empty());
    }
}
