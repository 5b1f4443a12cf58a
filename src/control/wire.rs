//! What is said over the control socket. One request per connection: a line of
//! JSON with `"v": 1` in it; then lines of answers, of which all but the last are
//! [`Line::Progress`].
//!
//! An agent refuses a request with a field that it does not know: an act must not
//! be done without the half of it that was not understood.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::proto::ids::{GroupName, NodeName};
use crate::view::history::Entry;
pub use crate::view::judge::WaitFor;
use crate::view::status::Status;

/// The version of this language.
pub const VERSION: u64 = 1;
/// The longest request line. The longest honest one has a reason of a few hundred letters.
pub const REQUEST_BYTES: usize = 64 * 1024;
/// The longest answer line. A full history is a fourth of it.
pub const ANSWER_BYTES: usize = 4 * 1024 * 1024;
/// The longest that an agent waits for something on somebody's behalf.
pub const LONGEST_WAIT: Duration = Duration::from_secs(3600);
/// The longest text that a person may give as a reason, in characters.
pub const REASON_CHARS: usize = 500;

/// What somebody asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "lowercase", deny_unknown_fields)]
pub enum Request {
    /// The snapshot.
    Status {},
    /// The newest entries of the history.
    History {
        /// Of this group only.
        group: Option<GroupName>,
        /// At most this many.
        limit: u32,
    },
    /// Hand over and take no part.
    Drain {
        /// All groups if none is named.
        group: Option<GroupName>,
        /// Why.
        reason: Option<String>,
        /// It ends by itself after this many milliseconds.
        for_ms: Option<u64>,
        /// How long the answer may wait for the hand-over.
        timeout_ms: u64,
    },
    /// End a drain, and what `failover` left.
    Resume {
        /// All groups if none is named.
        group: Option<GroupName>,
        /// Why.
        reason: Option<String>,
    },
    /// Move the address now.
    Failover {
        /// The only group if none is named.
        group: Option<GroupName>,
        /// To this node; the best candidate if none is named.
        to: Option<NodeName>,
        /// Say what would happen, and do nothing.
        dry_run: bool,
        /// Take it from a foreign droplet.
        take: bool,
        /// Why.
        reason: Option<String>,
        /// How long the answer may wait for the verified claim.
        timeout_ms: u64,
    },
    /// Read the configuration again and put it in force.
    Reload {
        /// Why.
        reason: Option<String>,
    },
    /// The next stop, within ten seconds, is a restart: nothing is handed over.
    Restart {
        /// Why.
        reason: Option<String>,
    },
    /// Answer when this node has come so far.
    Wait {
        /// All groups if none is named.
        group: Option<GroupName>,
        /// How far.
        what: WaitFor,
        /// At most this long.
        timeout_ms: u64,
    },
}

impl Request {
    /// How long the agent may take for the answer, beside the time to work it out.
    #[must_use]
    pub fn patience(&self) -> Duration {
        match self {
            Self::Status {}
            | Self::History { .. }
            | Self::Resume { .. }
            | Self::Restart { .. }
            | Self::Reload { .. } => Duration::ZERO,
            Self::Drain { timeout_ms, .. } | Self::Failover { timeout_ms, .. } | Self::Wait { timeout_ms, .. } => {
                Duration::from_millis(*timeout_ms).min(LONGEST_WAIT)
            }
        }
    }

    fn reason(&self) -> Option<&str> {
        match self {
            Self::Status {} | Self::History { .. } | Self::Wait { .. } => None,
            Self::Drain { reason, .. }
            | Self::Resume { reason, .. }
            | Self::Failover { reason, .. }
            | Self::Reload { reason }
            | Self::Restart { reason } => reason.as_deref(),
        }
    }
}

/// A request and who says to have asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// The request.
    pub request: Request,
    /// The person behind `sudo`, by its own word. Believed only of root, who may say what it likes.
    pub sudo_user: Option<String>,
}

/// A line that is no request.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// Not JSON, not an object, or not one of the requests.
    #[error("the request cannot be read")]
    Unreadable(#[source] serde_json::Error),
    /// Another version of the language.
    #[error("the request speaks version {0}, this agent {VERSION}: use the haagent that came with the agent")]
    Version(Value),
    /// A reason that would fill the history.
    #[error("the reason is longer than {REASON_CHARS} characters: shorten it")]
    LongReason,
}

impl Envelope {
    /// The line of this request, with its end.
    #[must_use]
    pub fn to_line(&self) -> String {
        // Names, texts and numbers: there is nothing in it that JSON cannot say.
        let mut object = match serde_json::to_value(&self.request) {
            Ok(Value::Object(object)) => object,
            Ok(_) | Err(_) => Map::new(),
        };
        object.insert("v".to_owned(), VERSION.into());
        if let Some(user) = &self.sudo_user {
            object.insert("sudo_user".to_owned(), user.as_str().into());
        }
        format!("{}\n", Value::Object(object))
    }

    /// The request in a line.
    ///
    /// # Errors
    /// It is none of this version.
    pub fn from_line(line: &[u8]) -> Result<Self, RequestError> {
        let mut object: Map<String, Value> = serde_json::from_slice(line).map_err(RequestError::Unreadable)?;
        let version = object.remove("v").unwrap_or(Value::Null);
        if version != VERSION {
            return Err(RequestError::Version(version));
        }
        let sudo_user = object.remove("sudo_user").and_then(|user| user.as_str().map(str::to_owned));
        let request: Request = serde_json::from_value(Value::Object(object)).map_err(RequestError::Unreadable)?;
        if request.reason().is_some_and(|reason| reason.chars().nth(REASON_CHARS).is_some()) {
            return Err(RequestError::LongReason);
        }
        Ok(Self { request, sudo_user })
    }
}

/// What the agent answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "lowercase")]
pub enum Response {
    /// The snapshot.
    Status {
        /// It.
        status: Box<Status>,
    },
    /// The history, oldest first.
    History {
        /// Its entries.
        entries: Vec<Entry>,
    },
    /// Done, or already so, or reached.
    Done {
        /// What is so now.
        message: String,
    },
    /// Begun, and not finished within the time that was given.
    Begun {
        /// What it waits for.
        message: String,
    },
    /// What was waited for did not come in time.
    TimedOut {
        /// What was still lacking.
        message: String,
    },
    /// The configuration was read, and what can be is in force.
    Reloaded {
        /// What changed: `group.web.check docker.running 10 -> 9`.
        applied: Vec<String>,
        /// What waits for a restart of the agent: `heartbeat.port (17112 -> 17113)`.
        restart_needed: Vec<String>,
        /// What is odd about the file, in lines.
        warnings: Vec<String>,
    },
    /// The configuration cannot be used; the one before goes on.
    FileRefused {
        /// Every reason, in lines.
        problems: Vec<String>,
    },
    /// Not done; all is as before.
    Refused(Refusal),
    /// The request was not understood, or could not be worked on.
    Error {
        /// Why.
        message: String,
    },
}

/// Why an act was not done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// What was not done.
    pub what: String,
    /// Why not.
    pub why: String,
    /// The command, or the deed, that mends it.
    pub mend: String,
}

/// A line from the agent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Line {
    /// What is waited for; more lines follow.
    Progress {
        /// In words.
        progress: String,
    },
    /// The answer. It is the last line.
    Answer(Response),
}

/// The group that is meant where one must be: the named one, or the only one.
///
/// # Errors
/// There is no such group, or several and none is named.
pub fn one_group<'a>(groups: &'a [GroupName], named: Option<&GroupName>, what: &str) -> Result<&'a GroupName, Refusal> {
    match (named, groups) {
        (None, [only]) => Ok(only),
        (None, []) => Err(Refusal {
            what: what.to_owned(),
            why: "this agent has no group".to_owned(),
            mend: "add a [group.NAME] to the configuration".to_owned(),
        }),
        (None, [first, ..]) => Err(Refusal {
            what: what.to_owned(),
            why: format!("there are several groups: {}", names(groups)),
            mend: format!("name one: --group {first}"),
        }),
        (Some(named), _) => {
            groups.iter().find(|group| *group == named).ok_or_else(|| no_such_group(groups, named, what))
        }
    }
}

/// The groups that are meant where all may be: the named one, or all.
///
/// # Errors
/// There is no such group.
pub fn all_groups<'a>(
    groups: &'a [GroupName],
    named: Option<&GroupName>,
    what: &str,
) -> Result<Vec<&'a GroupName>, Refusal> {
    match named {
        None => Ok(groups.iter().collect()),
        Some(_) => one_group(groups, named, what).map(|group| vec![group]),
    }
}

fn no_such_group(groups: &[GroupName], named: &GroupName, what: &str) -> Refusal {
    Refusal {
        what: what.to_owned(),
        why: format!("there is no group {named}"),
        mend: format!("name one of: {}", names(groups)),
    }
}

fn names(groups: &[GroupName]) -> String {
    groups.iter().map(GroupName::as_str).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn requests() -> Vec<Request> {
        let group = Some(GroupName::new("web").unwrap());
        let reason = Some("kernel \"6.1\"\nupdate".to_owned());
        vec![
            Request::Status {},
            Request::History { group: group.clone(), limit: 10 },
            Request::Drain { group: None, reason: reason.clone(), for_ms: Some(60_000), timeout_ms: 5_000 },
            Request::Resume { group: group.clone(), reason: None },
            Request::Failover {
                group: group.clone(),
                to: Some(NodeName::new("web-2").unwrap()),
                dry_run: true,
                take: false,
                reason,
                timeout_ms: 1,
            },
            Request::Restart { reason: None },
            Request::Reload { reason: Some("containers".to_owned()) },
            Request::Wait { group, what: WaitFor::Held, timeout_ms: 300_000 },
        ]
    }

    #[test]
    fn every_request_survives_its_line() {
        for request in requests() {
            let envelope = Envelope { request, sudo_user: Some("ben".to_owned()) };
            let line = envelope.to_line();
            assert_eq!(line.find('\n'), Some(line.len() - 1), "one line: {line}");
            assert_eq!(Envelope::from_line(line.as_bytes()).unwrap(), envelope);
        }
    }

    #[test]
    fn a_field_that_is_not_understood_is_refused() {
        for line in [
            r#"{"v":1,"request":"resume","group":null,"reason":null,"softly":true}"#,
            r#"{"v":1,"request":"status","gruop":"web"}"#,
            r#"{"v":1,"request":"reboot"}"#,
            r#"{"v":1,"request":"history","group":"no name","limit":1}"#,
            r#"["v",1]"#,
            "",
            "\u{0}\u{1}junk",
        ] {
            assert!(matches!(Envelope::from_line(line.as_bytes()), Err(RequestError::Unreadable(_))), "{line}");
        }
    }

    #[test]
    fn another_version_is_told_so() {
        for line in [r#"{"request":"status"}"#, r#"{"v":2,"request":"status"}"#, r#"{"v":"1","request":"status"}"#] {
            assert!(matches!(Envelope::from_line(line.as_bytes()), Err(RequestError::Version(_))), "{line}");
        }
    }

    #[test]
    fn a_reason_has_a_bound() {
        let long = |chars| Envelope { request: Request::Restart { reason: Some("ü".repeat(chars)) }, sudo_user: None };
        assert!(Envelope::from_line(long(REASON_CHARS).to_line().as_bytes()).is_ok());
        assert!(matches!(
            Envelope::from_line(long(REASON_CHARS + 1).to_line().as_bytes()),
            Err(RequestError::LongReason)
        ));
    }

    #[test]
    fn nested_junk_does_not_overflow_the_stack() {
        let deep = "[".repeat(REQUEST_BYTES);
        assert!(Envelope::from_line(deep.as_bytes()).is_err());
    }

    #[test]
    fn a_group_must_be_named_only_where_there_are_several() {
        let name = |text| GroupName::new(text).unwrap();
        let (one, two) = (vec![name("web")], vec![name("db"), name("web")]);
        assert_eq!(one_group(&one, None, "x").unwrap(), &name("web"));
        assert_eq!(one_group(&two, Some(&name("web")), "x").unwrap(), &name("web"));
        let refusal = one_group(&two, None, "failover").unwrap_err();
        assert_eq!(
            (refusal.why.as_str(), refusal.mend.as_str()),
            ("there are several groups: db, web", "name one: --group db")
        );
        assert_eq!(one_group(&two, Some(&name("wbe")), "x").unwrap_err().mend, "name one of: db, web");
        assert!(one_group(&[], None, "x").is_err());
        assert_eq!(all_groups(&two, None, "x").unwrap().len(), 2);
        assert_eq!(all_groups(&two, Some(&name("db")), "x").unwrap(), vec![&name("db")]);
    }
}
