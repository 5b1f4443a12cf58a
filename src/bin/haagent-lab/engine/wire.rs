//! What the engine's control paths take and answer, for the server and for `haagent-lab tell docker` alike.

use std::collections::BTreeMap;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use super::faults::Faults;
use super::state::{Health, Status};
use crate::arguments::milliseconds;
use crate::http::Query;

/// The exit code of a container that is killed, and the most usual one.
const KILLED: u8 = 137;
/// How long a container is down that is brought up again.
const DEFAULT_DOWN: u64 = 800;

/// What is done with a container: `POST /_lab/containers/NAME/ACT`, the rest in the query.
#[derive(Clone, Debug, PartialEq, Eq, clap::Subcommand)]
pub(crate) enum Order {
    /// Its process dies
    Die {
        #[arg(value_parser = container)]
        container: String,
        /// The exit code
        #[arg(long, default_value_t = KILLED)]
        code: u8,
    },
    /// Starts it, as `docker start` does
    Start {
        #[arg(value_parser = container)]
        container: String,
    },
    /// Stops it, as `docker stop` does
    Stop {
        #[arg(value_parser = container)]
        container: String,
    },
    /// Freezes it, as `docker pause` does
    Pause {
        #[arg(value_parser = container)]
        container: String,
    },
    /// Lets it go on
    Unpause {
        #[arg(value_parser = container)]
        container: String,
    },
    /// Removes it, as `docker rm -f` does
    Destroy {
        #[arg(value_parser = container)]
        container: String,
    },
    /// Its HEALTHCHECK says so from now on
    Health {
        #[arg(value_parser = container)]
        container: String,
        #[arg(value_enum)]
        status: HealthSaid,
    },
    /// Stops it, and starts it again after a while
    Restart {
        #[arg(value_parser = container)]
        container: String,
        #[command(flatten)]
        down: Down,
    },
    /// It dies, and its restart policy starts it again after a while
    Crash {
        #[arg(value_parser = container)]
        container: String,
        #[command(flatten)]
        down: Down,
    },
    /// Removes it, and makes another of the same name after a while, as a deployment does
    Recreate {
        #[arg(value_parser = container)]
        container: String,
        #[command(flatten)]
        down: Down,
    },
}

/// How long it is down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::Args)]
pub(crate) struct Down {
    /// How long it is down
    #[arg(long = "down", value_name = "DURATION", value_parser = milliseconds, default_value = "800ms")]
    pub(crate) ms: u64,
}

/// What a HEALTHCHECK says, or that there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum HealthSaid {
    Starting,
    Healthy,
    Unhealthy,
    /// It has no HEALTHCHECK
    None,
}

impl HealthSaid {
    /// As the model has it.
    pub(crate) fn health(self) -> Option<Health> {
        match self {
            Self::Starting => Some(Health::Starting),
            Self::Healthy => Some(Health::Healthy),
            Self::Unhealthy => Some(Health::Unhealthy),
            Self::None => None,
        }
    }

    fn word(self) -> &'static str {
        self.health().map_or("none", Health::word)
    }
}

/// What is no order.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OrderError {
    #[error("there is no act {0}")]
    NoSuchAct(String),
    #[error("{0:?} is no health: `status` is starting, healthy, unhealthy or none")]
    Health(String),
}

impl Order {
    /// The container that it is about.
    pub(crate) fn container(&self) -> &str {
        match self {
            Self::Die { container, .. }
            | Self::Start { container }
            | Self::Stop { container }
            | Self::Pause { container }
            | Self::Unpause { container }
            | Self::Destroy { container }
            | Self::Health { container, .. }
            | Self::Restart { container, .. }
            | Self::Crash { container, .. }
            | Self::Recreate { container, .. } => container,
        }
    }

    /// The path and the query to post to.
    pub(crate) fn path(&self) -> String {
        let act = match self {
            Self::Die { code, .. } => format!("die?code={code}"),
            Self::Start { .. } => "start".to_owned(),
            Self::Stop { .. } => "stop".to_owned(),
            Self::Pause { .. } => "pause".to_owned(),
            Self::Unpause { .. } => "unpause".to_owned(),
            Self::Destroy { .. } => "destroy".to_owned(),
            Self::Health { status, .. } => format!("health?status={}", status.word()),
            Self::Restart { down, .. } => format!("restart?down_ms={}", down.ms),
            Self::Crash { down, .. } => format!("crash?down_ms={}", down.ms),
            Self::Recreate { down, .. } => format!("recreate?down_ms={}", down.ms),
        };
        format!("/_lab/containers/{}/{act}", self.container())
    }

    /// The order that was posted to such a path.
    ///
    /// # Errors
    /// There is no such act, or no such health.
    pub(crate) fn parse(container: &str, act: &str, query: &Query) -> Result<Self, OrderError> {
        let container = container.to_owned();
        let down = Down { ms: query.number("down_ms").unwrap_or(DEFAULT_DOWN) };
        Ok(match act {
            "die" => {
                let code = query.number("code").and_then(|code| u8::try_from(code).ok());
                Self::Die { container, code: code.unwrap_or(KILLED) }
            }
            "start" => Self::Start { container },
            "stop" => Self::Stop { container },
            "pause" => Self::Pause { container },
            "unpause" => Self::Unpause { container },
            "destroy" => Self::Destroy { container },
            "health" => {
                let word = query.value("status").unwrap_or_default();
                let status = HealthSaid::from_str(word, false).map_err(|_| OrderError::Health(word.to_owned()))?;
                Self::Health { container, status }
            }
            "restart" => Self::Restart { container, down },
            "crash" => Self::Crash { container, down },
            "recreate" => Self::Recreate { container, down },
            other => return Err(OrderError::NoSuchAct(other.to_owned())),
        })
    }
}

/// A container's name or number, which cannot be mistaken for a part of a path.
fn container(text: &str) -> Result<String, String> {
    let fits = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
    if !text.is_empty() && text.chars().all(fits) {
        Ok(text.to_owned())
    } else {
        Err("a container's name has letters, digits, `_`, `.` and `-` only".to_owned())
    }
}

/// The answer to an [`Order`].
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub(crate) struct Acted {
    pub(crate) container: String,
    pub(crate) id: String,
}

/// A container as `GET /_lab/state` has it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub(crate) struct ContainerState {
    pub(crate) name: String,
    pub(crate) id: String,
    pub(crate) status: Status,
    pub(crate) health: Option<Health>,
    pub(crate) labels: BTreeMap<String, String>,
}

/// `GET /_lab/state`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub(crate) struct State {
    pub(crate) containers: Vec<ContainerState>,
    pub(crate) faults: Faults,
    /// Event streams that are open.
    pub(crate) streams: usize,
}

/// The answer to `POST` and `DELETE /_lab/faults`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub(crate) struct FaultsNow {
    pub(crate) faults: Faults,
}

/// The answer to `POST /_lab/streams/close`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub(crate) struct Closed {
    pub(crate) closed: usize,
}

/// One call, for the log.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_is_read_as_it_was_written() {
        let (container, down) = ("web-1".to_owned(), Down { ms: 5 });
        for order in [
            Order::Die { container: container.clone(), code: 3 },
            Order::Start { container: container.clone() },
            Order::Stop { container: container.clone() },
            Order::Pause { container: container.clone() },
            Order::Unpause { container: container.clone() },
            Order::Destroy { container: container.clone() },
            Order::Health { container: container.clone(), status: HealthSaid::Unhealthy },
            Order::Health { container: container.clone(), status: HealthSaid::None },
            Order::Restart { container: container.clone(), down },
            Order::Crash { container: container.clone(), down },
            Order::Recreate { container, down },
        ] {
            let path = order.path();
            let (path, query) = path.split_once('?').unwrap_or((&path, ""));
            let mut parts = path.trim_start_matches("/_lab/containers/").split('/');
            let read = Order::parse(parts.next().unwrap(), parts.next().unwrap(), &Query::parse(query)).unwrap();
            assert_eq!(read, order);
        }
        assert!(container_names_are_refused(&["", "a/b", "a?x=1", "ä"]));
    }

    fn container_names_are_refused(names: &[&str]) -> bool {
        names.iter().all(|name| container(name).is_err())
    }
}
