//! A fault as it is ordered, at the control endpoint and by `haagent-lab tell cloud fail`: one
//! definition for both. Every kind's first line is its help: what becomes of the call.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use clap::{ArgAction, ValueEnum};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::event::Face;
use super::shapes::DropletMember;
use crate::arguments::milliseconds;

/// A body that no client should read to its end.
const HUGE: u64 = 50 * 1024 * 1024;

/// A fault as it is ordered: `POST /faults`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Order {
    #[serde(default)]
    pub(crate) on: Target,
    pub(crate) effect: Effect,
    /// Goes after so many calls.
    pub(crate) count: Option<u64>,
    /// Goes after so much time.
    pub(crate) for_ms: Option<u64>,
}

/// Which calls; what is not said matches all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Target {
    /// The API if not said, and for `says` metadata.
    pub(crate) face: Option<Face>,
    pub(crate) method: Option<String>,
    /// `*` stands for any text: `/v2/reserved_ips/*/actions`.
    pub(crate) path: Option<String>,
    /// Whose token, or whose metadata service.
    pub(crate) droplet: Option<u64>,
}

/// What goes wrong.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, clap::Subcommand)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Effect {
    /// The call is executed at once and answered late
    Delay {
        /// How late
        #[arg(value_name = "DURATION", value_parser = milliseconds)]
        ms: u64,
        /// Executed late too
        #[arg(long)]
        #[serde(default)]
        before: bool,
    },

    // Not executed:
    /// Not executed; answered with a status and a body of your choice
    Answer {
        /// 200 to 599
        status: u16,
        /// The `id` of the error body
        #[arg(long)]
        #[serde(default)]
        id: Option<String>,
        /// The `message` of the error body
        #[arg(long)]
        #[serde(default)]
        message: Option<String>,
        /// The body as it is, in place of an error body
        #[arg(long)]
        #[serde(default)]
        body: Option<String>,
        /// Added to the usual headers; an empty value removes one
        #[arg(long = "header", value_name = "NAME=VALUE", value_parser = header)]
        #[serde(default, serialize_with = "as_map", deserialize_with = "from_map")]
        headers: Vec<(String, String)>,
    },
    /// Not executed; answered 401, as for a token that is not valid
    Unauthorized,
    /// Not executed; answered 403, as for a token without the scope
    Forbidden,
    /// Not executed; answered 429: burst limit with --retry-after, else hourly
    RateLimited {
        /// The header `retry-after`, which only the burst limit has: seconds, or an HTTP date
        #[arg(long)]
        #[serde(default)]
        retry_after: Option<String>,
        /// When the limit ends, in seconds from now: the header `ratelimit-reset`; may be negative
        #[arg(long, value_name = "SECONDS", default_value_t = default_reset(), allow_negative_numbers = true)]
        #[serde(default = "default_reset")]
        reset_in: i64,
    },
    /// Not executed; answered 500
    ServerError,
    /// Not executed; answered 503
    Unavailable,
    /// Not executed; answered with the HTML page of a gateway
    GatewayPage {
        #[arg(default_value_t = default_gateway())]
        #[serde(default = "default_gateway")]
        status: u16,
    },
    /// Not executed; answered 422, an event is pending; POSTs only
    PendingEvent {
        /// On the target droplet or on the address
        #[arg(value_enum, default_value_t)]
        #[serde(default)]
        on: Pending,
    },
    /// Not executed; no answer ever comes
    Silence,
    /// Not executed; the connection is reset
    Reset,
    /// Not executed; answered 200 with 50 MB
    Huge {
        #[arg(default_value_t = default_huge())]
        #[serde(default = "default_huge")]
        bytes: u64,
    },
    /// Not executed; answered 200 with a body without end
    Endless,

    // Executed, but the answer is spoilt:
    /// Executed; the connection ends before the answer
    LostAnswer,
    /// Executed; the head and a first byte come, then nothing
    HeadThenSilence,
    /// Executed; half of the body comes, then a reset
    ResetMidBody,
    /// Executed; the answer ends in the middle of its JSON
    Truncated,
    /// Executed; the answer comes one byte at a time
    Drip {
        /// Between two bytes
        #[arg(long = "every", value_name = "DURATION", value_parser = milliseconds, default_value = "1s")]
        #[serde(default = "default_drip")]
        ms: u64,
    },
    /// Executed; the droplet of a reserved IP is not shown
    HideDroplet {
        /// How it is written instead
        #[arg(value_enum, default_value_t = default_hidden())]
        #[serde(default = "default_hidden")]
        member: DropletMember,
    },

    // About the action that a call begins:
    /// Executed; the action that the call begins takes so long
    ActionSlow {
        #[arg(value_name = "DURATION", value_parser = milliseconds)]
        ms: u64,
    },
    /// Executed; the action stays in progress for ever, locks too
    ActionStuck,
    /// Executed; the action ends as `errored`, and nothing moves
    ActionErrored {
        /// The address is then with nobody
        #[arg(long)]
        #[serde(default)]
        unassigned: bool,
    },
    /// Executed; the end of the action is not called `completed`
    ActionWord { word: String },
    /// Executed; the number of the action is not found
    ActionNotFound {
        /// For so many polls [default: always]
        #[serde(default)]
        polls: Option<u32>,
    },

    /// Its metadata says that it has the address, or that it has not
    Says {
        /// `mine` or `not-mine`
        #[arg(value_name = "WHAT", value_parser = mine, action = ArgAction::Set)]
        active: bool,
        /// The address that it says is its own [default: the first of the cloud]
        #[arg(long)]
        #[serde(default)]
        ip: Option<Ipv4Addr>,
    },
    /// The listener is closed, and what was open is cut; no --count
    Refuse,
}

/// What an event is pending on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Pending {
    #[default]
    Droplet,
    Ip,
}

fn default_reset() -> i64 {
    60
}
fn default_gateway() -> u16 {
    502
}
fn default_huge() -> u64 {
    HUGE
}
fn default_drip() -> u64 {
    1000
}
fn default_hidden() -> DropletMember {
    DropletMember::Null
}

fn header(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("a header is NAME=VALUE".to_owned()),
    }
}

fn mine(text: &str) -> Result<bool, String> {
    match text {
        "mine" => Ok(true),
        "not-mine" => Ok(false),
        _ => Err("`mine` or `not-mine`".to_owned()),
    }
}

fn as_map<S: Serializer>(headers: &[(String, String)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(headers.iter().map(|(name, value)| (name, value)))
}

fn from_map<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<(String, String)>, D::Error> {
    Ok(BTreeMap::deserialize(deserializer)?.into_iter().collect())
}
