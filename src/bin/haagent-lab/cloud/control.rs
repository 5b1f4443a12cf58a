//! The control endpoint of the fake cloud: what tests, the demo and curious people steer it by.
//!
//! | request | body | does |
//! | --- | --- | --- |
//! | `GET /` | | lists these |
//! | `GET /state` | | the truth: holders, locks, droplets, actions, settings, traffic |
//! | `GET /events?after=N` | | the event log; `wait_ms` waits for one, `event=moved,accepted` chooses, `limit` bounds |
//! | `GET /faults` | | faults in force and how many calls they met |
//! | `POST /faults` | [`Order`] | puts one in force, answers its `id` |
//! | `DELETE /faults`, `DELETE /faults/ID` | | clears all, or one |
//! | `POST /settings` | some of [`Settings`] | changes them |
//! | `POST /move` | `{"ip", "droplet": N or null}` | as if done by hand in the control panel |
//! | `POST /droplets` | [`DropletChange`] | adds, changes or destroys a droplet |
//!
//! Answers are JSON; an error is 4xx with `{"message"}`.

use std::sync::Arc;
use std::time::Duration;

use hyper::StatusCode;
use serde::Serialize;
use serde_json::{Value, json};

use super::event::Event;
use super::lab::{Inner, Lab};
use super::order::Order;
use super::shapes;
use super::state::{Course, HAND, Refusal};
use super::wire::{
    ActionNumber, AddressState, Cleared, DropletChange, DropletNumber, DropletState, FaultList, FaultNumber, HandMove,
    SettingsNow, State,
};
use super::world::{DropletSpec, Power, SettingsChange};
use crate::http::{self, Asked, Handler, Reply};
use crate::log::{self, Page};

/// Actions shown in the state.
const ACTIONS_SHOWN: usize = 20;

const HELP: &str = "\
GET /state  GET /events?after=N&wait_ms=MS&event=NAMES&limit=N  GET /faults
POST /faults  DELETE /faults[/ID]  POST /settings  POST /move  POST /droplets
";

/// The control endpoint.
#[derive(Clone, Debug)]
pub(crate) struct Control {
    pub(crate) lab: Arc<Lab>,
}

/// Why a request to the control endpoint failed.
#[derive(Debug, thiserror::Error)]
enum ControlError {
    #[error("there is no {0}; GET / lists what there is")]
    NoSuchPath(String),
    #[error("the body is not what this takes: {0}")]
    Body(#[from] serde_json::Error),
    #[error("{0}")]
    Refused(#[from] Refusal),
    #[error("{0}")]
    Order(#[from] super::faults::OrderError),
    #[error("there is no fault {0}")]
    NoSuchFault(u64),
    #[error("droplet {0} does not exist; a new one needs a `name`")]
    NoName(u64),
}

impl ControlError {
    fn status(&self) -> StatusCode {
        match self {
            Self::NoSuchPath(_) | Self::NoSuchFault(_) => StatusCode::NOT_FOUND,
            Self::Body(_) | Self::Order(_) | Self::NoName(_) => StatusCode::BAD_REQUEST,
            Self::Refused(refusal) => StatusCode::from_u16(refusal.status().0).unwrap_or(StatusCode::CONFLICT),
        }
    }
}

impl Handler for Control {
    async fn handle(&self, asked: Asked) -> Reply {
        let answered = match (asked.method.as_str(), asked.path.as_str()) {
            ("GET", "/") => return Reply::Answer(http::answer(StatusCode::OK, "text/plain", HELP)),
            ("GET", "/events") => return Reply::Answer(http::json(StatusCode::OK, &self.events(&asked).await)),
            _ => self.lab.with(|inner, now| respond(inner, now, &asked)),
        };
        Reply::Answer(match answered {
            Ok(value) => http::json(StatusCode::OK, &value),
            Err(error) => http::json(error.status(), &json!({"message": error.to_string()})),
        })
    }
}

impl Control {
    /// The events after a number, as soon as there is one or the wait is over.
    async fn events(&self, asked: &Asked) -> Page<Event> {
        let names = asked.query.value("event").unwrap_or_default();
        let names: Vec<&str> = names.split(',').filter(|name| !name.is_empty()).collect();
        let wanted = |event: &Event| names.is_empty() || names.contains(&event.name());
        let read = |after, limit| self.lab.with(|inner, _| inner.log.page(after, limit, wanted));
        log::follow(&asked.query, self.lab.newest(), read).await
    }
}

fn respond(inner: &mut Inner, now: Duration, asked: &Asked) -> Result<Value, ControlError> {
    let body = &asked.body;
    match (asked.method.as_str(), asked.path.as_str()) {
        ("GET", "/state") => told(&state(inner, now)),
        ("GET", "/faults") => told(&FaultList { faults: inner.faults.all().to_vec() }),
        ("POST", "/faults") => {
            let order: Order = serde_json::from_slice(body)?;
            let id = inner.faults.set(now, order)?;
            inner.log.push(now, Event::Faults { set: Some(id), cleared: Vec::new() });
            told(&FaultNumber { id })
        }
        ("DELETE", "/faults") => {
            let cleared = inner.faults.clear(None);
            inner.log.push(now, Event::Faults { set: None, cleared: cleared.clone() });
            told(&Cleared { cleared })
        }
        ("POST", "/settings") => {
            let change: SettingsChange = serde_json::from_slice(body)?;
            inner.cloud.settings = inner.cloud.settings.changed(change)?;
            told(&SettingsNow { settings: inner.cloud.settings.clone() })
        }
        ("POST", "/move") => {
            let order: HandMove = serde_json::from_slice(body)?;
            let usual = inner.cloud.usual_course();
            let course = Course { takes: order.takes_ms.map(Duration::from_millis).or(usual.takes), ..usual };
            let action = match order.droplet {
                Some(droplet) => inner.cloud.assign(now, order.ip, droplet, HAND, course)?,
                None => inner.cloud.unassign(now, order.ip, HAND, course)?,
            };
            inner.cloud.advance(now);
            told(&ActionNumber { action })
        }
        ("POST", "/droplets") => change_droplet(inner, now, serde_json::from_slice(body)?),
        ("DELETE", path) if path.starts_with("/faults/") => {
            let id = path.trim_start_matches("/faults/").parse();
            let id = id.map_err(|_| ControlError::NoSuchPath(path.to_owned()))?;
            let cleared = inner.faults.clear(Some(id));
            if cleared.is_empty() {
                return Err(ControlError::NoSuchFault(id));
            }
            inner.log.push(now, Event::Faults { set: None, cleared: cleared.clone() });
            told(&Cleared { cleared })
        }
        (method, path) => Err(ControlError::NoSuchPath(format!("{method} {path}"))),
    }
}

fn told(answer: &impl Serialize) -> Result<Value, ControlError> {
    Ok(serde_json::to_value(answer)?)
}

fn change_droplet(inner: &mut Inner, now: Duration, change: DropletChange) -> Result<Value, ControlError> {
    let id = change.id;
    let cloud = &mut inner.cloud;
    if change.destroy {
        cloud.destroy_droplet(now, id)?;
        return told(&DropletNumber { droplet: id });
    }
    if cloud.droplet(id).is_none() {
        let name = change.name.clone().ok_or(ControlError::NoName(id))?;
        let region = cloud.droplets().next().map_or_else(|| "fra1".to_owned(), |other| other.spec.region.clone());
        let (status, tags) = (Power::Active, Vec::new());
        let spec =
            DropletSpec { id, name, private: None, public: None, region, status, tags, metadata: None, service: None };
        cloud.put_droplet(now, spec);
    }
    cloud.alter_droplet(now, id, |droplet| {
        let spec = &mut droplet.spec;
        spec.name = change.name.unwrap_or_else(|| spec.name.clone());
        spec.private = change.private.or(spec.private);
        spec.public = change.public.or(spec.public);
        spec.region = change.region.unwrap_or_else(|| spec.region.clone());
        spec.status = change.status.unwrap_or(spec.status);
        spec.tags = change.tags.unwrap_or_else(|| spec.tags.clone());
        spec.service = change.service.or(spec.service);
        droplet.maintenance = change.maintenance_event.unwrap_or_else(|| droplet.maintenance.clone());
    })?;
    if let Some(busy_ms) = change.busy_ms {
        cloud.occupy(now, id, Duration::from_millis(busy_ms))?;
    }
    told(&DropletNumber { droplet: id })
}

fn state(inner: &Inner, now: Duration) -> State {
    let cloud = &inner.cloud;
    let addresses = cloud.addresses(now).map(|(ip, address)| AddressState {
        ip,
        region: address.region.clone(),
        holder: address.holder,
        shown: cloud.holder_shown(now, ip),
        reached: cloud.holder_reached(now, ip),
        locked: cloud.address_locked(ip),
        traffic: inner.traffic.get(&ip).copied().unwrap_or_default(),
    });
    let droplets = cloud.droplets().map(|droplet| {
        let DropletSpec { id, name, private, public, region, status, tags, metadata: _, service } =
            droplet.spec.clone();
        let maintenance_event = droplet.maintenance.clone();
        let (locked, metadata_says) = (cloud.droplet_locked(id), cloud.address_known_to(now, id));
        #[rustfmt::skip]
        let state = DropletState {
            id, name, private, public, region, status, tags, service, locked, maintenance_event, metadata_says,
        };
        state
    });
    State {
        now_ms: u64::try_from(now.as_millis()).unwrap_or(u64::MAX),
        newest_event: inner.log.newest(),
        reserved_ips: addresses.collect(),
        droplets: droplets.collect(),
        actions: cloud.actions().take(ACTIONS_SHOWN).map(|action| shapes::action(cloud, action)).collect(),
        settings: cloud.settings.clone(),
    }
}
