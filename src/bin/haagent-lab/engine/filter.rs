//! Docker's `filters` parameter: JSON, as a list of values per key or as a map of value to true.
//!
//! Values of one key are alternatives, but for `label`, where all must hold. `name` is part of the
//! name; `^` and `$` anchor it (the real engine takes any regular expression).

use std::collections::BTreeMap;

use serde::Deserialize;

use super::state::{Container, Event, Health};

/// Filters as they were asked for; empty: everything.
#[derive(Clone, Debug, Default)]
pub(crate) struct Filters(BTreeMap<String, Vec<String>>);

/// Why filters cannot be used: the real engine's words.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FilterError {
    #[error("invalid filter")]
    Json(#[from] serde_json::Error),
    #[error("invalid filter '{0}'")]
    Key(String),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Values {
    List(Vec<String>),
    Map(BTreeMap<String, bool>),
}

impl Filters {
    /// Parses what stands in the query; only `known` keys are taken.
    ///
    /// # Errors
    /// It is not JSON of either form, or has a key that is not known.
    pub(crate) fn parse(text: Option<&str>, known: &[&str]) -> Result<Self, FilterError> {
        let Some(text) = text.filter(|text| !text.is_empty()) else { return Ok(Self::default()) };
        let raw: BTreeMap<String, Values> = serde_json::from_str(text)?;
        if let Some(key) = raw.keys().find(|key| !known.contains(&key.as_str())) {
            return Err(FilterError::Key(key.clone()));
        }
        let values = |values| match values {
            Values::List(list) => list,
            Values::Map(map) => map.into_iter().filter_map(|(value, wanted)| wanted.then_some(value)).collect(),
        };
        Ok(Self(raw.into_iter().map(|(key, raw)| (key, values(raw))).collect()))
    }

    /// It asks for states, and so about containers that are not up too.
    pub(crate) fn of_status(&self) -> bool {
        self.0.contains_key("status")
    }

    pub(crate) fn container(&self, container: &Container) -> bool {
        self.labels(&container.labels)
            && self.any("name", |part| named(part, &container.name))
            && self.any("id", |start| container.id.starts_with(start))
            && self.any("status", |word| container.status.word() == word)
            && self.any("health", |word| container.health.map_or("none", Health::word) == word)
    }

    pub(crate) fn event(&self, event: &Event) -> bool {
        self.labels(&event.attributes)
            && self.any("type", |kind| kind == "container")
            && self.any("container", |key| event.name == key || event.id.starts_with(key))
            // `health_status` stands for all of its kind.
            && self.any("event", |action| event.action == action || event.action.starts_with(&format!("{action}: ")))
    }

    fn any(&self, key: &str, holds: impl Fn(&str) -> bool) -> bool {
        self.0.get(key).is_none_or(|values| values.is_empty() || values.iter().any(|value| holds(value)))
    }

    fn labels(&self, labels: &BTreeMap<String, String>) -> bool {
        self.0.get("label").is_none_or(|wanted| {
            wanted.iter().all(|wanted| match wanted.split_once('=') {
                Some((key, value)) => labels.get(key).is_some_and(|has| has == value),
                None => labels.contains_key(wanted),
            })
        })
    }
}

/// Whether a name fits a part of it. Names are matched with their slash and without.
fn named(part: &str, name: &str) -> bool {
    let (part, at_start) = part.strip_prefix('^').map_or((part, false), |part| (part, true));
    let (part, at_end) = part.strip_suffix('$').map_or((part, false), |part| (part, true));
    let part = part.trim_start_matches('/');
    match (at_start, at_end) {
        (true, true) => name == part,
        (true, false) => name.starts_with(part),
        (false, true) => name.ends_with(part),
        (false, false) => name.contains(part),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::state::{Act, Engine};
    use super::*;

    const KNOWN: &[&str] = &["label", "name", "status", "health", "id", "event"];

    fn shown(filters: &str) -> usize {
        let labels = BTreeMap::from([("app".to_owned(), "shop".to_owned()), ("tier".to_owned(), "web".to_owned())]);
        let mut engine = Engine::new(Duration::ZERO, 10, "web", &labels, None);
        engine.act(Duration::ZERO, "web-3", Act::Die(1)).unwrap();
        engine.act(Duration::ZERO, "web-4", Act::Health(Some(Health::Healthy))).unwrap();
        let filters = Filters::parse(Some(filters), KNOWN).unwrap();
        engine
            .list(Duration::ZERO, filters.of_status(), |container| filters.container(container), 47)
            .as_array()
            .unwrap()
            .len()
    }

    #[test]
    fn containers_are_filtered_as_docker_does() {
        for (filters, count) in [
            ("", 9),
            ("{}", 9),
            (r#"{"name":["web-1"]}"#, 2),
            (r#"{"name":["^/web-1$"]}"#, 1),
            (r#"{"name":["web-1","web-2"]}"#, 3),
            (r#"{"label":["app=shop"]}"#, 9),
            (r#"{"label":["app=shop","tier=db"]}"#, 0),
            (r#"{"label":["tier"]}"#, 9),
            (r#"{"label":{"app=shop":true}}"#, 9),
            (r#"{"status":["exited"]}"#, 1),
            (r#"{"status":["exited","running"]}"#, 10),
            (r#"{"health":["healthy"]}"#, 1),
            (r#"{"health":["none"]}"#, 8),
        ] {
            assert_eq!(shown(filters), count, "{filters}");
        }
    }

    #[test]
    fn what_is_no_filter_is_refused() {
        for bad in ["x", "[]", r#"{"name":"web"}"#, r#"{"colour":["red"]}"#] {
            assert!(Filters::parse(Some(bad), KNOWN).is_err(), "{bad}");
        }
    }

    #[test]
    fn one_word_stands_for_every_health_event() {
        let mut engine = Engine::new(Duration::ZERO, 1, "web", &BTreeMap::new(), None);
        let event = engine.act(Duration::ZERO, "web-1", Act::Health(Some(Health::Unhealthy))).unwrap().remove(0);
        let fits = |text| Filters::parse(Some(text), KNOWN).unwrap().event(&event);
        assert!(fits(r#"{"event":["health_status"]}"#) && fits(r#"{"event":["health_status: unhealthy"]}"#));
        assert!(!fits(r#"{"event":["die"]}"#));
    }
}
