//! The model of the engine: containers, what may be done with them, and the events that it makes.
//!
//! Pure: wall time comes in, events go out. The shapes are those of Docker Engine's API.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Events kept for `since`, as in the real engine.
const MAX_EVENTS: usize = 256;
const IMAGE: &str = "lab/web:1";
/// The first API version whose list says the health of a container.
const HEALTH_IN_LIST: u32 = 52;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Status {
    Created,
    Running,
    Paused,
    Restarting,
    Exited,
}

impl Status {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Restarting => "restarting",
            Self::Exited => "exited",
        }
    }

    /// A list without `all` has it.
    fn up(self) -> bool {
        matches!(self, Self::Running | Self::Paused | Self::Restarting)
    }
}

/// What a HEALTHCHECK says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Health {
    Starting,
    Healthy,
    Unhealthy,
}

impl Health {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Healthy => "healthy",
            Self::Unhealthy => "unhealthy",
        }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Container {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) status: Status,
    /// None: no HEALTHCHECK.
    pub(crate) health: Option<Health>,
    exit_code: i64,
    created: Duration,
    started: Duration,
    finished: Option<Duration>,
    restarts: u64,
}

/// One event as the stream carries it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Event {
    /// Since 1970.
    pub(crate) at: Duration,
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) action: String,
    pub(crate) attributes: BTreeMap<String, String>,
}

impl Event {
    pub(crate) fn json(&self) -> Value {
        let nanos = u64::try_from(self.at.as_nanos()).unwrap_or(u64::MAX);
        json!({
            "status": self.action, "id": self.id, "from": IMAGE,
            "Type": "container", "Action": self.action,
            "Actor": {"ID": self.id, "Attributes": self.attributes},
            "scope": "local", "time": self.at.as_secs(), "timeNano": nanos,
        })
    }
}

/// What can be done with a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    /// Its process dies, with this exit code.
    Die(i64),
    Start,
    /// As by `docker stop`.
    Stop,
    Pause,
    Unpause,
    /// Goes down as by a restart policy that will try again.
    BeginRestart,
    Health(Option<Health>),
    /// Removed; another of the same name may be created.
    Destroy,
}

/// Why it cannot be done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ActError {
    #[error("No such container: {0}")]
    NoSuch(String),
    #[error("container {name} is {status}: it cannot be done")]
    Wrong { name: String, status: &'static str },
}

/// The containers and the newest events.
#[derive(Clone, Debug)]
pub(crate) struct Engine {
    containers: Vec<Container>,
    events: VecDeque<Event>,
    created: u64,
    /// How long after its death the list still shows a container as running: the real engine
    /// (20.10) tells of the death first and cleans up before its list knows, 0.2 to 0.3 s later.
    pub(crate) list_lag: Duration,
}

impl Engine {
    /// `count` running containers named PREFIX-1 and so on.
    pub(crate) fn new(
        now: Duration,
        count: u32,
        prefix: &str,
        labels: &BTreeMap<String, String>,
        health: Option<Health>,
    ) -> Self {
        let mut engine = Self { containers: Vec::new(), events: VecDeque::new(), created: 0, list_lag: Duration::ZERO };
        for number in 1..=count {
            engine.create(now, format!("{prefix}-{number}"), labels.clone(), health);
        }
        for container in &mut engine.containers {
            container.status = Status::Running;
        }
        engine
    }

    /// Creates a container that does not run yet.
    fn create(
        &mut self,
        now: Duration,
        name: String,
        labels: BTreeMap<String, String>,
        health: Option<Health>,
    ) -> String {
        self.created += 1;
        // 64 hexadecimal digits whose first twelve differ, as in the real engine.
        let id = format!("{:012x}{:052x}", self.created.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 16, self.created);
        self.containers.push(Container {
            id: id.clone(),
            name,
            labels,
            status: Status::Created,
            health,
            exit_code: 0,
            created: now,
            started: now,
            finished: None,
            restarts: 0,
        });
        id
    }

    /// The container of this name, number or beginning of a number.
    pub(crate) fn find(&self, key: &str) -> Result<&Container, ActError> {
        let key = key.trim_start_matches('/');
        let is = |container: &&Container| container.name == key || (!key.is_empty() && container.id.starts_with(key));
        self.containers.iter().find(is).ok_or_else(|| ActError::NoSuch(key.to_owned()))
    }

    pub(crate) fn containers(&self) -> &[Container] {
        &self.containers
    }

    /// The events that are kept, oldest first.
    pub(crate) fn events(&self) -> impl Iterator<Item = &Event> {
        self.events.iter()
    }

    /// Does something with a container; the events that this makes, in their order.
    ///
    /// # Errors
    /// There is no such container, or its state does not allow it.
    pub(crate) fn act(&mut self, now: Duration, key: &str, act: Act) -> Result<Vec<Event>, ActError> {
        let id = self.find(key)?.id.clone();
        let Some(at) = self.containers.iter().position(|container| container.id == id) else {
            return Err(ActError::NoSuch(key.to_owned()));
        };
        let container = &mut self.containers[at];
        let wrong = ActError::Wrong { name: container.name.clone(), status: container.status.word() };
        let mut happened: Vec<(String, Vec<(&str, String)>)> = Vec::new();
        let mut happens = |action: &str, more: Vec<(&'static str, String)>| happened.push((action.to_owned(), more));
        let ran = now.saturating_sub(container.started).as_secs().to_string();
        let died = |code: i64| vec![("exitCode", code.to_string()), ("execDuration", ran.clone())];
        match (act, container.status) {
            (Act::Die(code), Status::Running | Status::Paused) => {
                container.end(now, Status::Exited, code);
                happens("die", died(code));
            }
            (Act::BeginRestart, Status::Running | Status::Paused) => {
                container.end(now, Status::Restarting, 1);
                container.restarts += 1;
                happens("die", died(1));
            }
            (Act::Stop, Status::Running | Status::Paused) => {
                container.end(now, Status::Exited, 143);
                happens("kill", vec![("signal", "15".to_owned())]);
                happens("die", died(143));
                happens("stop", Vec::new());
            }
            (Act::Start, Status::Created | Status::Exited | Status::Restarting) => {
                container.status = Status::Running;
                container.started = now;
                container.health = container.health.map(|_| Health::Starting);
                happens("start", Vec::new());
            }
            (Act::Pause, Status::Running) => {
                container.status = Status::Paused;
                happens("pause", Vec::new());
            }
            (Act::Unpause, Status::Paused) => {
                container.status = Status::Running;
                happens("unpause", Vec::new());
            }
            (Act::Health(health), _) => {
                container.health = health;
                if let Some(health) = health {
                    happens(&format!("health_status: {}", health.word()), Vec::new());
                }
            }
            (Act::Destroy, status) => {
                if matches!(status, Status::Running | Status::Paused) {
                    container.end(now, Status::Exited, 137);
                    happens("kill", vec![("signal", "9".to_owned())]);
                    happens("die", died(137));
                }
                happens("destroy", Vec::new());
            }
            (Act::Die(_) | Act::BeginRestart | Act::Stop, Status::Created | Status::Restarting | Status::Exited)
            | (Act::Start, Status::Running | Status::Paused)
            | (Act::Pause, Status::Created | Status::Paused | Status::Restarting | Status::Exited)
            | (Act::Unpause, Status::Created | Status::Running | Status::Restarting | Status::Exited) => {
                return Err(wrong);
            }
        }
        let event = |(action, more): (String, Vec<(&str, String)>)| {
            let mut attributes = container.labels.clone();
            attributes.insert("name".to_owned(), container.name.clone());
            attributes.insert("image".to_owned(), IMAGE.to_owned());
            attributes.extend(more.into_iter().map(|(key, value)| (key.to_owned(), value)));
            Event { at: now, id: container.id.clone(), name: container.name.clone(), action, attributes }
        };
        let events: Vec<Event> = happened.into_iter().map(event).collect();
        if act == Act::Destroy {
            self.containers.remove(at);
        }
        self.keep(&events);
        Ok(events)
    }

    /// Starts a new container with the name and the labels of one that was destroyed.
    pub(crate) fn start_again(&mut self, now: Duration, old: &Container) -> Vec<Event> {
        let id = self.create(now, old.name.clone(), old.labels.clone(), old.health);
        let mut attributes = old.labels.clone();
        attributes.insert("name".to_owned(), old.name.clone());
        attributes.insert("image".to_owned(), IMAGE.to_owned());
        let created =
            Event { at: now, id: id.clone(), name: old.name.clone(), action: "create".to_owned(), attributes };
        self.keep(std::slice::from_ref(&created));
        let started = self.act(now, &id, Act::Start).unwrap_or_default();
        std::iter::once(created).chain(started).collect()
    }

    fn keep(&mut self, events: &[Event]) {
        self.events.extend(events.iter().cloned());
        let excess = self.events.len().saturating_sub(MAX_EVENTS);
        self.events.drain(..excess);
    }

    fn as_listed(&self, now: Duration, container: &Container) -> Container {
        let died = container.status == Status::Exited;
        let lags = died && container.finished.is_some_and(|at| now < at + self.list_lag);
        let status = if lags { Status::Running } else { container.status };
        Container { status, ..container.clone() }
    }

    /// `/containers/json` for API version 1.`minor`: the `chosen` ones, and without `all` only those that are up.
    pub(crate) fn list(&self, now: Duration, all: bool, chosen: impl Fn(&Container) -> bool, minor: u32) -> Value {
        let shown = self.containers.iter().map(|container| self.as_listed(now, container));
        let shown = shown.filter(|container| (all || container.status.up()) && chosen(container));
        Value::Array(shown.map(|container| container.summary(now, minor)).collect())
    }
}

impl Container {
    fn end(&mut self, now: Duration, status: Status, exit_code: i64) {
        self.status = status;
        self.exit_code = exit_code;
        self.finished = Some(now);
    }

    /// What `docker ps` shows: `Up 3 seconds (healthy)`.
    fn status_text(&self, now: Duration) -> String {
        let since = |at| format!("{} seconds", now.saturating_sub(at).as_secs());
        let up = format!("Up {}", since(self.started));
        match (self.status, self.health) {
            (Status::Created, _) => "Created".to_owned(),
            (Status::Running, None) => up,
            (Status::Running, Some(Health::Starting)) => format!("{up} (health: starting)"),
            (Status::Running, Some(health)) => format!("{up} ({})", health.word()),
            (Status::Paused, _) => format!("{up} (Paused)"),
            (Status::Restarting, _) => {
                format!("Restarting ({}) {} ago", self.exit_code, since(self.finished.unwrap_or(now)))
            }
            (Status::Exited, _) => format!("Exited ({}) {} ago", self.exit_code, since(self.finished.unwrap_or(now))),
        }
    }

    fn summary(&self, now: Duration, minor: u32) -> Value {
        let mut summary = json!({
            "Id": self.id, "Names": [format!("/{}", self.name)], "Image": IMAGE, "ImageID": image_id(),
            "Command": "/bin/web", "Created": self.created.as_secs(), "Ports": [], "Labels": self.labels,
            "State": self.status, "Status": self.status_text(now), "HostConfig": {"NetworkMode": "bridge"},
            "NetworkSettings": {"Networks": {}}, "Mounts": [],
        });
        if minor >= HEALTH_IN_LIST {
            let word = self.health.map_or("none", Health::word);
            summary["Health"] = json!({"Status": word, "FailingStreak": 0});
        }
        summary
    }

    /// `/containers/{id}/json`.
    pub(crate) fn inspect(&self) -> Value {
        let never = "0001-01-01T00:00:00Z".to_owned();
        let mut state = json!({
            "Status": self.status, "Running": self.status.up(), "Paused": self.status == Status::Paused,
            "Restarting": self.status == Status::Restarting, "OOMKilled": false, "Dead": false,
            "Pid": if self.status.up() { 4711 } else { 0 }, "ExitCode": self.exit_code, "Error": "",
            "StartedAt": stamp(self.started), "FinishedAt": self.finished.map_or(never, stamp),
        });
        if let Some(health) = self.health {
            state["Health"] = json!({"Status": health, "FailingStreak": 0, "Log": []});
        }
        json!({
            "Id": self.id, "Created": stamp(self.created), "Path": "/bin/web", "Args": [], "State": state,
            "Image": image_id(), "Name": format!("/{}", self.name), "RestartCount": self.restarts,
            "Driver": "overlay2", "Platform": "linux", "Mounts": [],
            "HostConfig": {"NetworkMode": "bridge", "RestartPolicy": {"Name": "always", "MaximumRetryCount": 0}},
            "Config": {"Hostname": self.id.get(..12), "Image": IMAGE, "Labels": self.labels, "Env": [], "Cmd": []},
            "NetworkSettings": {"Networks": {}},
        })
    }
}

fn image_id() -> String {
    format!("sha256:{}", "ab".repeat(32))
}

fn stamp(at: Duration) -> String {
    humantime::format_rfc3339_nanos(UNIX_EPOCH + at).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(1_000);

    fn engine() -> Engine {
        Engine::new(NOW, 3, "web", &BTreeMap::from([("app".to_owned(), "shop".to_owned())]), None)
    }

    fn actions(events: Vec<Event>) -> Vec<String> {
        events.into_iter().map(|event| event.action).collect()
    }

    #[test]
    fn every_act_in_every_state() {
        let acts = [Act::Die(137), Act::Start, Act::Stop, Act::Pause, Act::Unpause, Act::BeginRestart];
        // Per state: how to get there, and the states that the acts above lead to (- is refused).
        for (way, ends) in [
            (&[][..], ["exited", "-", "exited", "paused", "-", "restarting"]),
            (&[Act::Pause][..], ["exited", "-", "exited", "-", "running", "restarting"]),
            (&[Act::Die(0)][..], ["-", "running", "-", "-", "-", "-"]),
            (&[Act::BeginRestart][..], ["-", "running", "-", "-", "-", "-"]),
        ] {
            for (act, end) in acts.into_iter().zip(ends) {
                let mut engine = engine();
                for step in way {
                    engine.act(NOW, "web-2", *step).unwrap();
                }
                let got = engine.act(NOW, "web-2", act).map(|_| engine.find("web-2").unwrap().status.word());
                assert_eq!(got.unwrap_or("-"), end, "{way:?} {act:?}");
            }
        }
    }

    #[test]
    fn an_act_makes_the_events_of_the_real_engine() {
        let mut engine = engine();
        assert_eq!(actions(engine.act(NOW, "web-1", Act::Stop).unwrap()), ["kill", "die", "stop"]);
        assert_eq!(actions(engine.act(NOW, "web-1", Act::Start).unwrap()), ["start"]);
        let events = engine.act(NOW, "web-1", Act::Die(137)).unwrap();
        assert_eq!(events[0].attributes["exitCode"], "137");
        assert_eq!((events[0].attributes["name"].as_str(), events[0].attributes["app"].as_str()), ("web-1", "shop"));
        assert_eq!(actions(engine.act(NOW, "web-2", Act::Destroy).unwrap()), ["kill", "die", "destroy"]);
        assert_eq!(engine.act(NOW, "web-2", Act::Start), Err(ActError::NoSuch("web-2".to_owned())));
    }

    #[test]
    fn a_container_made_again_has_another_number() {
        let mut engine = engine();
        let old = engine.find("web-2").unwrap().clone();
        engine.act(NOW, "web-2", Act::Destroy).unwrap();
        assert_eq!(actions(engine.start_again(NOW, &old)), ["create", "start"]);
        let new = engine.find("web-2").unwrap();
        assert_ne!(new.id.get(..12), old.id.get(..12));
        assert_eq!((new.id.len(), new.status), (64, Status::Running));
    }

    #[test]
    fn the_list_without_all_has_what_is_up_and_the_new_version_says_health() {
        let mut engine = engine();
        engine.act(NOW, "web-1", Act::Die(1)).unwrap();
        engine.act(NOW, "web-2", Act::BeginRestart).unwrap();
        let count = |all, minor| engine.list(NOW, all, |_| true, minor).as_array().unwrap().clone();
        assert_eq!((count(false, 47).len(), count(true, 47).len()), (2, 3));
        assert!(count(true, 47)[0].get("Health").is_none());
        assert_eq!(count(true, 52)[0]["Health"]["Status"], "none");
    }

    #[test]
    fn the_list_lags_behind_a_death_and_the_event_does_not() {
        let mut engine = engine();
        engine.list_lag = Duration::from_millis(200);
        engine.act(NOW, "web-1", Act::Die(137)).unwrap();
        let count = |at| engine.list(at, false, |_| true, 47).as_array().unwrap().len();
        assert_eq!(
            (count(NOW), count(NOW + Duration::from_millis(199)), count(NOW + Duration::from_millis(200))),
            (3, 3, 2)
        );
        assert_eq!(engine.events.back().unwrap().action, "die");
    }

    #[test]
    fn old_events_are_forgotten() {
        let mut engine = engine();
        for _ in 0..200 {
            engine.act(NOW, "web-1", Act::Pause).unwrap();
            engine.act(NOW, "web-1", Act::Unpause).unwrap();
        }
        assert_eq!(engine.events().count(), MAX_EVENTS);
    }
}
