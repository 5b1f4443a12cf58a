//! The fake of `https://api.digitalocean.com/v2`: the calls that haagent makes, on one state.
//!
//! A call is judged in this order: faults, token (401), rate limit (429), scope (403), path and
//! body (404, 400), state (422). What is not served here is a 404.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use hyper::header::AUTHORIZATION;
use serde_json::{Value, json};

use super::answer::Plain;
use super::event::{Event, Face, Request};
use super::faults::{self, Call, Verdict};
use super::lab::{Inner, Lab};
use super::limits::{Allowance, Limit};
use super::order::Effect;
use super::shapes::{self, DropletMember, Family, Page};
use super::state::{Cloud, Refusal};
use crate::http::{self, Asked, Handler, Reply};

/// What a client that is not known is told about limits.
const UNKNOWN_CALLER_LIMIT: u64 = 5000;

/// The API behind one listener.
#[derive(Clone, Debug)]
pub(crate) struct Api {
    pub(crate) lab: Arc<Lab>,
}

/// Whose token it is: its place in the list of tokens, and what it is called in the log.
#[derive(Clone, Debug)]
struct Caller {
    token: usize,
    droplet: Option<u64>,
    by: String,
}

impl Handler for Api {
    async fn handle(&self, asked: Asked) -> Reply {
        let received = self.lab.now();
        let (caller, verdict) = self.lab.with(|inner, now| {
            let caller = caller(inner, &asked);
            let droplet = caller.as_ref().and_then(|caller| caller.droplet);
            let call = Call { face: Face::Api, method: asked.method.as_str(), path: &asked.path, droplet };
            (caller, inner.faults.judge(now, call))
        });
        http::pause(verdict.delay_before).await;
        let decided = self.lab.with(|inner, now| decide(inner, now, received, &asked, caller.as_ref(), &verdict));
        http::pause(verdict.delay_after).await;
        match (decided, &verdict.ending) {
            (Some(plain), ending) => plain.send(ending.as_ref()),
            (None, Some(Effect::Reset)) => Reply::Reset,
            (None, _) => std::future::pending().await,
        }
    }
}

/// Finds the answer, executes what it stands for and logs both. None: there is no answer.
fn decide(
    inner: &mut Inner,
    now: Duration,
    received: Duration,
    asked: &Asked,
    caller: Option<&Caller>,
    verdict: &Verdict,
) -> Option<Plain> {
    let request_id = format!("00000000-0000-4000-8000-{:012x}", inner.log.newest() + 1);
    let allowance = caller.map(|caller| {
        let (hour, minute) = (inner.cloud.settings.calls_per_hour, inner.cloud.settings.calls_per_minute);
        let fallback = Allowance { limit: hour, remaining: hour, reset: now, refused: None };
        inner.tokens.get_mut(caller.token).map_or(fallback, |(_, meter)| meter.count(now, hour, minute))
    });
    let answered = match instead(verdict, &request_id) {
        Some(answer) => answer,
        None => Some(respond(inner, now, asked, caller, allowance, verdict, &request_id)),
    };
    let plain = answered.map(|plain| with_usual_headers(plain, &inner.cloud, now, allowance, &request_id));
    // Of a fault's headers the last word is the fault's.
    let plain = plain.map(|plain| match &verdict.ending {
        Some(Effect::Answer { headers, .. }) => {
            headers.iter().fold(plain, |plain, (name, value)| plain.with(name, value.as_str()))
        }
        Some(Effect::RateLimited { reset_in, retry_after }) => {
            let reset = inner.cloud.unix(now).as_secs().saturating_add_signed(*reset_in);
            let plain = plain.with("ratelimit-remaining", "0").with("ratelimit-reset", reset.to_string());
            plain.with("retry-after", retry_after.as_deref().unwrap_or(""))
        }
        _ => plain,
    });
    let lost = matches!(verdict.ending, Some(Effect::LostAnswer));
    inner.log.push(
        now,
        Event::Request(Request {
            face: Face::Api,
            droplet: caller.and_then(|caller| caller.droplet),
            by: caller.map(|caller| caller.by.clone()),
            source: asked.source.map(|source| source.to_string()),
            method: asked.method.to_string(),
            path: asked.path.clone(),
            body: serde_json::from_slice(&asked.body).ok(),
            status: plain.as_ref().filter(|_| !lost).map(|plain| plain.status),
            message: plain.as_ref().and_then(|plain| plain.message.clone()),
            faults: verdict.kinds(),
            received_ms: u64::try_from(received.as_millis()).unwrap_or(u64::MAX),
        }),
    );
    plain
}

/// What a fault answers in place of the API: `Some(None)` is "nothing", `None` is "no fault says so".
fn instead(verdict: &Verdict, request_id: &str) -> Option<Option<Plain>> {
    let error = |status, id, message| Some(Plain::json(status, &shapes::error(id, message, request_id)));
    Some(match verdict.ending.as_ref()? {
        Effect::Answer { status, id, message, body, .. } => Some(match body {
            Some(body) => Plain::text(*status, body.clone()).with("content-type", "application/json; charset=utf-8"),
            None => {
                let id = id.as_deref().unwrap_or(match status {
                    422 => "unprocessable_entity",
                    404 => "not_found",
                    _ => "server_error",
                });
                let message = message.as_deref().unwrap_or("Something new.");
                Plain::json(*status, &shapes::error(id, message, request_id))
            }
        }),
        Effect::Unauthorized => error(401, "unauthorized", "Unable to authenticate you"),
        Effect::Forbidden => error(403, "forbidden", "You are not authorized to perform this operation"),
        Effect::RateLimited { .. } => error(429, "too_many_requests", "API Rate limit exceeded."),
        Effect::ServerError => error(500, "server_error", "Unexpected server-side error"),
        Effect::Unavailable => error(503, "service_unavailable", "Service is currently unavailable."),
        Effect::GatewayPage { status } => Some(Plain::gateway_page(*status)),
        Effect::PendingEvent { on } => {
            let (status, body) = shapes::refusal(faults::pending(*on), request_id);
            Some(Plain::json(status, &body))
        }
        Effect::Huge { .. } | Effect::Endless => Some(Plain::json(200, &json!({}))),
        Effect::Silence | Effect::Reset => None,
        Effect::LostAnswer
        | Effect::HeadThenSilence
        | Effect::ResetMidBody
        | Effect::Truncated
        | Effect::Drip { .. } => return None,
        // Never an ending of a call to the API.
        Effect::Delay { .. }
        | Effect::HideDroplet { .. }
        | Effect::ActionSlow { .. }
        | Effect::ActionStuck
        | Effect::ActionErrored { .. }
        | Effect::ActionWord { .. }
        | Effect::ActionNotFound { .. }
        | Effect::Says { .. }
        | Effect::Refuse => return None,
    })
}

/// The headers that every answer carries, errors included.
fn with_usual_headers(
    plain: Plain,
    cloud: &Cloud,
    now: Duration,
    allowance: Option<Allowance>,
    request_id: &str,
) -> Plain {
    let unknown = Allowance { limit: UNKNOWN_CALLER_LIMIT, remaining: UNKNOWN_CALLER_LIMIT, reset: now, refused: None };
    let allowance = allowance.unwrap_or(unknown);
    plain
        .with("ratelimit-limit", allowance.limit.to_string())
        .with("ratelimit-remaining", allowance.remaining.to_string())
        .with("ratelimit-reset", cloud.unix(allowance.reset).as_secs().to_string())
        .with("x-request-id", request_id)
}

fn caller(inner: &Inner, asked: &Asked) -> Option<Caller> {
    let header = asked.headers.get(AUTHORIZATION)?.to_str().ok()?;
    let given = header.strip_prefix("Bearer ")?;
    let token = inner.tokens.iter().position(|(token, _)| token.token == given)?;
    let droplet = inner.tokens.get(token)?.0.droplet;
    let name = droplet.and_then(|id| inner.cloud.droplet(id)).map(|droplet| droplet.spec.name.clone());
    Some(Caller { token, droplet, by: name.unwrap_or_else(|| format!("token {}", token + 1)) })
}

/// The API without faults.
fn respond(
    inner: &mut Inner,
    now: Duration,
    asked: &Asked,
    caller: Option<&Caller>,
    allowance: Option<Allowance>,
    verdict: &Verdict,
    request_id: &str,
) -> Plain {
    let error = |status, id, message| Plain::json(status, &shapes::error(id, message, request_id));
    let (Some(caller), Some(allowance)) = (caller, allowance) else {
        return error(401, "unauthorized", "Unable to authenticate you");
    };
    match allowance.refused {
        Some(Limit::Hour) => return error(429, "too_many_requests", "API Rate limit exceeded."),
        Some(Limit::Minute { retry_after }) => {
            return error(429, "too_many_requests", "API Rate limit exceeded.")
                .with("retry-after", retry_after.to_string());
        }
        None => {}
    }
    let segments: Vec<&str> = asked.path.trim_start_matches('/').trim_end_matches('/').split('/').collect();
    let scopes = inner.tokens.get(caller.token).and_then(|(token, _)| token.scopes.as_ref());
    let allowed = |scope: &str| scopes.is_none_or(|scopes| scopes.contains(scope));
    if needed_scopes(asked, &segments).iter().any(|scope| !allowed(scope)) {
        return error(403, "forbidden", "You are not authorized to perform this operation");
    }
    let usual_member = if allowed("droplet:read") { DropletMember::Full } else { DropletMember::Null };
    let member = verdict.droplet_member.unwrap_or(usual_member);
    let mut work = Work { cloud: &mut inner.cloud, now, asked, by: &caller.by, verdict, member };
    match work.route(&segments) {
        Ok(plain) => plain,
        Err(refused) => {
            let (status, body) = shapes::refusal(refused, request_id);
            Plain::json(status, &body)
        }
    }
}

/// The scopes that a call needs.
fn needed_scopes(asked: &Asked, segments: &[&str]) -> &'static [&'static str] {
    match (asked.method.as_str(), segments) {
        ("GET", ["v2", "reserved_ips" | "floating_ips", ..]) => &["reserved_ip:read"],
        ("POST", ["v2", "reserved_ips" | "floating_ips"]) => &["reserved_ip:create"],
        ("DELETE", ["v2", "reserved_ips" | "floating_ips", ..]) => &["reserved_ip:delete"],
        ("POST", ["v2", "reserved_ips" | "floating_ips", _, "actions"]) => &["reserved_ip:update"],
        ("GET", ["v2", "actions", ..]) => &["actions:read"],
        ("GET", ["v2", "droplets"]) if asked.query.value("tag_name").is_some() => &["droplet:read", "tag:read"],
        ("GET", ["v2", "droplets", ..]) => &["droplet:read"],
        _ => &[],
    }
}

/// One call at work.
struct Work<'a> {
    cloud: &'a mut Cloud,
    now: Duration,
    asked: &'a Asked,
    by: &'a str,
    verdict: &'a Verdict,
    member: DropletMember,
}

impl Work<'_> {
    fn route(&mut self, segments: &[&str]) -> Result<Plain, Refusal> {
        let method = self.asked.method.as_str();
        if let ["v2", family, rest @ ..] = segments
            && let Some(family) = Family::of_path(family)
        {
            return match (method, rest) {
                ("GET", []) => Ok(self.list_addresses(family)),
                ("POST", []) => self.create(family),
                ("GET", [ip]) => self.show_address(family, parsed(ip)?),
                ("DELETE", [ip]) => self.cloud.delete(self.now, parsed(ip)?, self.by).map(|()| Plain::no_content()),
                ("GET", [ip, "actions"]) => self.list_address_actions(parsed(ip)?),
                ("POST", [ip, "actions"]) => self.act(parsed(ip)?),
                ("GET", [ip, "actions", id]) => self.show_action(parsed(id)?, Some(parsed(ip)?), None),
                _ => Err(Refusal::NotFound),
            };
        }
        match (method, segments) {
            ("GET", ["v2", "actions", id]) => self.show_action(parsed(id)?, None, None),
            ("GET", ["v2", "droplets"]) => self.list_droplets(),
            ("GET", ["v2", "droplets", id]) => self.show_droplet(parsed(id)?),
            ("GET", ["v2", "droplets", id, "actions"]) => self.list_droplet_actions(parsed(id)?),
            ("GET", ["v2", "droplets", droplet, "actions", id]) => {
                self.show_action(parsed(id)?, None, Some(parsed(droplet)?))
            }
            _ => Err(Refusal::NotFound),
        }
    }

    fn list_addresses(&self, family: Family) -> Plain {
        let all = self.cloud.addresses(self.now);
        let all = all.map(|(ip, address)| shapes::reserved_ip(self.cloud, self.now, ip, address, self.member));
        self.list(family.plural(), all.collect())
    }

    fn show_address(&self, family: Family, ip: Ipv4Addr) -> Result<Plain, Refusal> {
        let address = self.cloud.address(self.now, ip)?;
        let value = shapes::reserved_ip(self.cloud, self.now, ip, address, self.member);
        Ok(Plain::json(200, &json!({family.singular(): value})))
    }

    fn create(&mut self, family: Family) -> Result<Plain, Refusal> {
        let body = self.body()?;
        let droplet = droplet_id(&body)?;
        let region = body.get("region").and_then(Value::as_str).map(str::to_owned);
        let course = self.verdict.course(self.cloud.usual_course());
        let (ip, action) = self.cloud.create(self.now, droplet, region.clone(), self.by, course)?;
        // The new object is shown even while a GET of it is still a 404.
        let links = droplet.zip(action).map_or(json!({}), |(droplet, action)| shapes::creation_links(droplet, action));
        let region = droplet.and_then(|id| self.cloud.droplet(id)).map(|it| it.spec.region.clone()).or(region);
        let value = shapes::new_reserved_ip(ip, region.as_deref().unwrap_or(""), action.is_some());
        Ok(Plain::json(202, &json!({family.singular(): value, "links": links})))
    }

    fn act(&mut self, ip: Ipv4Addr) -> Result<Plain, Refusal> {
        self.cloud.address(self.now, ip)?;
        let body = self.body()?;
        let course = self.verdict.course(self.cloud.usual_course());
        let id = match body.get("type").and_then(Value::as_str) {
            Some("assign") => {
                let droplet = droplet_id(&body)?.ok_or(Refusal::NoDroplet)?;
                self.cloud.assign(self.now, ip, droplet, self.by, course)?
            }
            Some("unassign") => self.cloud.unassign(self.now, ip, self.by, course)?,
            Some(_) | None => return Err(Refusal::UnknownAction),
        };
        let action = self.cloud.actions().find(|action| action.id == id).ok_or(Refusal::NotFound)?;
        Ok(Plain::json(201, &shapes::single_action(self.cloud, action)))
    }

    fn list_address_actions(&self, ip: Ipv4Addr) -> Result<Plain, Refusal> {
        self.cloud.address(self.now, ip)?;
        let all = self.cloud.actions().filter(|action| action.ip == Some(ip));
        Ok(self.list("actions", all.map(|action| shapes::action(self.cloud, action)).collect()))
    }

    fn list_droplet_actions(&self, droplet: u64) -> Result<Plain, Refusal> {
        self.cloud.droplet(droplet).ok_or(Refusal::NotFound)?;
        let all = self.cloud.actions().filter(|action| action.droplet == Some(droplet));
        Ok(self.list("actions", all.map(|action| shapes::action(self.cloud, action)).collect()))
    }

    fn show_action(&mut self, id: u64, ip: Option<Ipv4Addr>, droplet: Option<u64>) -> Result<Plain, Refusal> {
        let action = self.cloud.poll_action(id)?.clone();
        let belongs = ip.is_none_or(|ip| action.ip == Some(ip)) && droplet.is_none_or(|id| action.droplet == Some(id));
        if !belongs {
            return Err(Refusal::NotFound);
        }
        Ok(Plain::json(200, &shapes::single_action(self.cloud, &action)))
    }

    fn list_droplets(&self) -> Result<Plain, Refusal> {
        let (tag, name) = (self.asked.query.value("tag_name"), self.asked.query.value("name"));
        if tag.is_some() && name.is_some() {
            return Err(Refusal::TagAndName);
        }
        let wanted = self.cloud.droplets().filter(|droplet| {
            tag.is_none_or(|tag| droplet.spec.tags.iter().any(|has| has == tag))
                && name.is_none_or(|name| droplet.spec.name.eq_ignore_ascii_case(name))
        });
        Ok(self.list("droplets", wanted.map(|droplet| shapes::droplet(self.cloud, self.now, droplet)).collect()))
    }

    fn show_droplet(&self, id: u64) -> Result<Plain, Refusal> {
        let droplet = self.cloud.droplet(id).ok_or(Refusal::NotFound)?;
        Ok(Plain::json(200, &json!({"droplet": shapes::droplet(self.cloud, self.now, droplet)})))
    }

    fn list(&self, key: &str, all: Vec<Value>) -> Plain {
        let query = &self.asked.query;
        let page = Page {
            page: query.number("page").unwrap_or(1).max(1),
            per_page: query.number("per_page").unwrap_or(20).clamp(1, 200),
        };
        let kept = ["tag_name", "name"].map(|key| query.value(key).map(|value| format!("{key}={value}")));
        let rest = kept.into_iter().flatten().collect::<Vec<_>>().join("&");
        Plain::json(200, &shapes::list(key, &self.asked.path, &rest, all, page))
    }

    fn body(&self) -> Result<Value, Refusal> {
        let body: Value = serde_json::from_slice(&self.asked.body).map_err(|_| Refusal::BadBody)?;
        if body.is_object() { Ok(body) } else { Err(Refusal::BadBody) }
    }
}

/// A part of the path that must be a number or an address; anything else names nothing.
fn parsed<T: std::str::FromStr>(segment: &str) -> Result<T, Refusal> {
    segment.parse().map_err(|_| Refusal::NotFound)
}

/// `droplet_id` as a number, or as the string that the provider's own script sends.
fn droplet_id(body: &Value) -> Result<Option<u64>, Refusal> {
    match body.get("droplet_id") {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Number(number)) => number.as_u64().map(Some).ok_or(Refusal::NoDroplet),
        Some(Value::String(text)) => text.parse().map(Some).map_err(|_| Refusal::NoDroplet),
        Some(Value::Bool(_) | Value::Array(_) | Value::Object(_)) => Err(Refusal::BadBody),
    }
}
