//! The fake engine through bollard, the client that the agent uses.

use std::collections::HashMap;
use std::time::Duration;

use bollard::Docker;
use bollard::models::{ContainerSummary, EventMessage};
use bollard::query_parameters::{EventsOptionsBuilder, ListContainersOptionsBuilder};
use futures_util::{Stream, StreamExt};
use serde_json::Value;
use tempfile::TempDir;
use tokio::task::JoinHandle;

use super::*;
use crate::testing::{PATIENCE, exchange};

/// A fake engine in a folder of its own, and bollard connected to it.
struct Scene {
    folder: TempDir,
    docker: Docker,
    serving: JoinHandle<()>,
}

impl Drop for Scene {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Scene {
    async fn new() -> Self {
        Self::with(47).await
    }

    async fn with(api_minor: u32) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let options = Options {
            socket: folder.path().join("docker.sock"),
            containers: 10,
            name: "web".to_owned(),
            label: vec![("app".to_owned(), "shop".to_owned())],
            healthcheck: true,
            api_minor,
            list_lag_ms: 0,
            until_stdin_closes: false,
        };
        let serving = tokio::spawn(options.start().unwrap().serve());
        let docker = connect(&folder).negotiate_version().await.unwrap();
        Self { folder, docker, serving }
    }

    async fn lab(&self, method: &str, path: &str, body: &str) -> Value {
        let stream = tokio::net::UnixStream::connect(self.folder.path().join("docker.sock")).await.unwrap();
        let got = exchange(stream, method, &format!("/_lab/{path}"), None, Some(body)).await.unwrap();
        assert_eq!(got.status, 200, "{path}: {}", got.text());
        got.json()
    }

    async fn list(&self, all: bool, filters: &[(&str, &str)]) -> Result<Vec<ContainerSummary>, bollard::errors::Error> {
        let filters: HashMap<String, Vec<String>> =
            filters.iter().map(|(key, value)| ((*key).to_owned(), vec![(*value).to_owned()])).collect();
        let options = ListContainersOptionsBuilder::default().all(all).filters(&filters).build();
        self.docker.list_containers(Some(options)).await
    }

    async fn running(&self) -> usize {
        self.list(false, &[("status", "running")]).await.unwrap().len()
    }

    /// An event stream that is known to be open.
    async fn events(&self) -> impl Stream<Item = Result<EventMessage, bollard::errors::Error>> + Unpin + use<> {
        let filters = HashMap::from([("type".to_owned(), vec!["container".to_owned()])]);
        let stream = self.docker.events(Some(EventsOptionsBuilder::default().filters(&filters).build()));
        let mut stream = Box::pin(stream.peekable());
        // The request leaves with the first poll; an engine that counts the stream has it open.
        let open = async {
            while self.lab("GET", "state", "").await["streams"] == 0 {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            _ = stream.as_mut().peek() => panic!("an event before anything happened"),
            opened = tokio::time::timeout(PATIENCE, open) => opened.unwrap(),
        }
        stream
    }
}

fn connect(folder: &TempDir) -> Docker {
    let socket = folder.path().join("docker.sock");
    Docker::connect_with_unix(socket.to_str().unwrap(), 20, bollard::API_DEFAULT_VERSION).unwrap()
}

async fn next(stream: &mut (impl Stream<Item = Result<EventMessage, bollard::errors::Error>> + Unpin)) -> String {
    let event = tokio::time::timeout(PATIENCE, stream.next()).await.unwrap().expect("the stream is open").unwrap();
    let name = event.actor.and_then(|actor| actor.attributes).and_then(|it| it.get("name").cloned());
    format!("{} {}", event.action.unwrap(), name.unwrap())
}

#[tokio::test]
async fn bollard_reads_everything_an_observer_needs() {
    let scene = Scene::new().await;
    assert_eq!(scene.docker.ping().await.unwrap(), "OK");
    assert_eq!(scene.docker.version().await.unwrap().api_version.as_deref(), Some("1.47"));
    assert_eq!(scene.running().await, 10);
    let one = scene.list(false, &[("name", "^/web-1$"), ("label", "app=shop")]).await.unwrap().remove(0);
    assert_eq!(one.names, Some(vec!["/web-1".to_owned()]));
    assert_eq!((one.status.unwrap().contains("(healthy)"), one.health), (true, None), "1.47 says health in words only");
    let details = scene.docker.inspect_container(&one.id.unwrap(), None).await.unwrap();
    assert_eq!(details.state.unwrap().health.unwrap().status, Some(bollard::models::HealthStatusEnum::HEALTHY));
    assert!(scene.docker.inspect_container("nobody", None).await.is_err());
}

#[tokio::test]
async fn a_newer_engine_says_the_health_in_its_list() {
    let scene = Scene::with(52).await;
    assert!(scene.list(false, &[]).await.unwrap().iter().all(|container| container.health.is_some()));
}

#[tokio::test]
async fn a_version_that_it_does_not_speak_is_refused_as_by_the_real_engine() {
    // Not by bollard: 0.21 leaves the version out of its paths, negotiated or not.
    let scene = Scene::new().await;
    for (version, status, word) in [("1.47", 200, "web-1"), ("1.48", 400, "too new"), ("1.23", 400, "too old")] {
        let stream = tokio::net::UnixStream::connect(scene.folder.path().join("docker.sock")).await.unwrap();
        let got = exchange(stream, "GET", &format!("/v{version}/containers/json"), None, None).await.unwrap();
        assert!(got.status == status && got.text().contains(word), "{version}: {}", got.text());
    }
}

#[tokio::test]
async fn events_tell_what_happens_to_containers() {
    let scene = Scene::new().await;
    let mut events = scene.events().await;
    scene.lab("POST", "containers/web-3/die", "").await;
    assert_eq!(next(&mut events).await, "die web-3");
    assert_eq!(scene.running().await, 9);
    scene.lab("POST", "containers/web-3/start", "").await;
    assert_eq!(next(&mut events).await, "start web-3");
    scene.lab("POST", "containers/web-4/pause", "").await;
    assert_eq!(next(&mut events).await, "pause web-4");
    assert_eq!(scene.running().await, 9, "a paused container is not running");
    scene.lab("POST", "containers/web-5/health?status=unhealthy", "").await;
    assert_eq!(next(&mut events).await, "health_status: unhealthy web-5");
    assert_eq!(scene.list(false, &[("health", "unhealthy")]).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_container_comes_back_after_the_time_it_is_down() {
    let scene = Scene::new().await;
    let mut events = scene.events().await;
    for (act, told) in [
        ("restart", &["kill", "die", "stop", "start"][..]),
        ("crash", &["die", "start"]),
        ("recreate", &["kill", "die", "destroy", "create", "start"]),
    ] {
        scene.lab("POST", &format!("containers/web-1/{act}?down_ms=20"), "").await;
        for action in told {
            assert_eq!(next(&mut events).await, format!("{action} web-1"), "{act}");
        }
        assert_eq!(scene.running().await, 10);
    }
}

#[tokio::test]
async fn the_past_can_be_asked_for() {
    let scene = Scene::new().await;
    scene.lab("POST", "containers/web-2/die", "").await;
    let since = EventsOptionsBuilder::default().since("0").build();
    let mut events = Box::pin(scene.docker.events(Some(since)));
    assert_eq!(next(&mut events).await, "die web-2");
    let none = EventsOptionsBuilder::default().since("99999999999").until("1").build();
    assert!(tokio::time::timeout(PATIENCE, Box::pin(scene.docker.events(Some(none))).next()).await.unwrap().is_none());
}

#[tokio::test]
async fn a_hung_containerd_answers_pings_and_tells_the_past() {
    let scene = Scene::new().await;
    let mut events = scene.events().await;
    scene.lab("POST", "faults", r#"{"containerd_hung":true}"#).await;
    scene.lab("POST", "containers/web-3/die", "").await;
    assert_eq!(scene.docker.ping().await.unwrap(), "OK");
    assert_eq!(scene.running().await, 10, "the list is stale");
    let told = tokio::time::timeout(Duration::from_millis(50), events.next()).await;
    assert!(told.is_err(), "no event comes");
    scene.lab("DELETE", "faults", "").await;
    assert_eq!(next(&mut events).await, "die web-3");
    assert_eq!(scene.running().await, 9);
}

#[tokio::test]
async fn a_hang_lasts_until_it_is_over() {
    let scene = Scene::new().await;
    scene.lab("POST", "faults", r#"{"all":"hang"}"#).await;
    let mut list = Box::pin(scene.list(false, &[]));
    assert!(tokio::time::timeout(Duration::from_millis(50), &mut list).await.is_err());
    assert!(tokio::time::timeout(Duration::from_millis(50), scene.docker.ping()).await.is_err());
    scene.lab("DELETE", "faults", "").await;
    assert_eq!(list.await.unwrap().len(), 10, "the call that waited is answered");
}

#[tokio::test]
async fn bad_answers_are_bad_in_their_own_way() {
    let scene = Scene::new().await;
    for mode in ["error", "close", "garbage"] {
        scene.lab("POST", "faults", &format!(r#"{{"list":"{mode}"}}"#)).await;
        assert!(scene.list(false, &[]).await.is_err(), "{mode}");
        assert_eq!(scene.docker.ping().await.unwrap(), "OK");
    }
    for mode in ["huge", "endless"] {
        scene.lab("POST", "faults", &format!(r#"{{"list":"{mode}"}}"#)).await;
        let stream = tokio::net::UnixStream::connect(scene.folder.path().join("docker.sock")).await.unwrap();
        assert!(exchange(stream, "GET", "/containers/json", None, None).await.unwrap().too_long, "{mode}");
    }
}

#[tokio::test]
async fn streams_end_or_go_wrong_when_told_to() {
    let scene = Scene::new().await;
    let mut events = scene.events().await;
    scene.lab("POST", "streams/close", "").await;
    assert!(tokio::time::timeout(PATIENCE, events.next()).await.unwrap().is_none());
    let mut events = scene.events().await;
    scene.lab("POST", "faults", r#"{"events":"silent"}"#).await;
    scene.lab("POST", "containers/web-1/die", "").await;
    assert!(tokio::time::timeout(Duration::from_millis(50), events.next()).await.is_err(), "a silent stream");
    scene.lab("POST", "faults", r#"{"events":"garbage"}"#).await;
    assert!(tokio::time::timeout(PATIENCE, events.next()).await.unwrap().unwrap().is_err());
    drop(events);
    scene.lab("POST", "faults", r#"{"events":"endless"}"#).await;
    let stream = tokio::net::UnixStream::connect(scene.folder.path().join("docker.sock")).await.unwrap();
    assert!(exchange(stream, "GET", "/events", None, None).await.unwrap().too_long);
}

#[tokio::test]
async fn calls_are_logged() {
    let scene = Scene::new().await;
    scene.list(true, &[]).await.unwrap();
    let page = scene.lab("GET", "requests?after=1&wait_ms=20000", "").await;
    assert_eq!(page["events"][0]["path"], "/containers/json");
}

#[tokio::test]
async fn what_it_does_not_know_is_refused() {
    let scene = Scene::new().await;
    let socket = scene.folder.path().join("docker.sock");
    for (method, path, body, status) in [
        ("GET", "/nothing", "", 404),
        ("GET", "/containers/json?filters=%7B%22colour%22%3A%5B%5D%7D", "", 400),
        ("GET", "/events?since=yesterday", "", 400),
        ("POST", "/_lab/containers/nobody/die", "", 404),
        ("POST", "/_lab/containers/web-1/dance", "", 404),
        ("POST", "/_lab/containers/web-1/start", "", 409),
        ("POST", "/_lab/containers/web-1/health?status=fine", "", 400),
        ("POST", "/_lab/faults", r#"{"pong":"hang"}"#, 400),
    ] {
        let stream = tokio::net::UnixStream::connect(&socket).await.unwrap();
        let got = exchange(stream, method, path, None, Some(body)).await.unwrap();
        assert_eq!(got.status, status, "{method} {path}: {}", got.text());
    }
}

#[tokio::test]
async fn a_socket_left_over_is_replaced_and_one_in_use_is_not() {
    let scene = Scene::new().await;
    let again = Options {
        socket: scene.folder.path().join("docker.sock"),
        containers: 1,
        name: "web".to_owned(),
        label: Vec::new(),
        healthcheck: false,
        api_minor: 47,
        list_lag_ms: 0,
        until_stdin_closes: false,
    };
    assert!(matches!(again.start(), Err(StartError::InUse { .. })));
    let left = scene.folder.path().join("left.sock");
    drop(std::os::unix::net::UnixListener::bind(&left).unwrap());
    assert!(Options { socket: left, ..again }.start().is_ok());
}
