//! The fake cloud over real sockets, as a client sees it.

use std::io::ErrorKind;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::testing::{Got, PATIENCE, call};

const ASSIGN_TO_B: &str = r#"{"type":"assign","droplet_id":2}"#;
const ADDRESS: &str = "/v2/reserved_ips/203.0.113.10";
const ACTIONS: &str = "/v2/reserved_ips/203.0.113.10/actions";

/// Droplets a (1, holds the address) and b (2), each with a service that says its name.
struct Scene {
    running: Running,
    _services: JoinSet<()>,
}

impl Scene {
    async fn new(action_ms: u64) -> Self {
        Self::with(json!({"settings": {"action_ms": action_ms}})).await
    }

    async fn with(more: Value) -> Self {
        let mut services = JoinSet::new();
        let mut droplets = Vec::new();
        for (id, name) in [(1, "a"), (2, "b")] {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let service = listener.local_addr().unwrap();
            services.spawn(async move {
                let mut open = Vec::new();
                while let Ok((stream, _)) = listener.accept().await {
                    let _ = stream.try_write(name.as_bytes());
                    open.push(stream);
                }
            });
            droplets.push(json!({
                "id": id, "name": name, "private": format!("10.0.0.{id}"), "public": format!("198.51.100.{id}"),
                "tags": ["haagent"], "metadata": "127.0.0.1:0", "service": service,
            }));
        }
        let mut world = json!({
            "token": [{"token": "ta", "droplet": 1}, {"token": "tb", "droplet": 2}, {"token": "tr", "scopes": ["reserved_ip:read"]}],
            "droplet": droplets,
            "reserved_ip": [{"ip": "203.0.113.10", "holder": 1, "dataplane": "127.0.0.1:0"}],
        });
        for (key, value) in more.as_object().unwrap() {
            world[key] = value.clone();
        }
        let running = start(&World::from_json(&world.to_string()).unwrap()).unwrap();
        Self { running, _services: services }
    }

    async fn api(&self, token: &str, method: &str, path: &str, body: Option<&str>) -> io::Result<Got> {
        call(&self.running.ready.api, method, path, Some(token), body).await
    }

    async fn ok(&self, token: &str, method: &str, path: &str, body: Option<&str>) -> Got {
        self.api(token, method, path, body).await.unwrap()
    }

    async fn control(&self, method: &str, path: &str, body: Option<&str>) -> Value {
        let got = call(&self.running.ready.control, method, path, None, body).await.unwrap();
        assert_eq!(got.status, 200, "{method} {path}: {}", got.text());
        got.json()
    }

    async fn fault(&self, order: Value) {
        self.control("POST", "/faults", Some(&order.to_string())).await;
    }

    async fn metadata(&self, droplet: &str, path: &str) -> Got {
        call(&self.running.ready.metadata[droplet], "GET", path, None, None).await.unwrap()
    }

    /// Waits for an event of this name.
    async fn event(&self, name: &str) -> Value {
        let page = self.control("GET", &format!("/events?event={name}&wait_ms=20000"), None).await;
        assert_ne!(page["events"], json!([]), "no {name} came");
        page["events"][0].clone()
    }

    /// Connects as a client of the reserved IP and reads who answers.
    async fn client(&self) -> io::Result<(String, TcpStream)> {
        let address = self.running.ready.reserved_ips.values().next().unwrap();
        let mut stream = TcpStream::connect(address).await?;
        let mut name = [0; 1];
        tokio::time::timeout(PATIENCE, stream.read_exact(&mut name)).await.map_err(|_| ErrorKind::TimedOut)??;
        Ok((String::from_utf8_lossy(&name).into_owned(), stream))
    }
}

#[tokio::test]
async fn one_assign_moves_the_api_the_metadata_and_the_clients() {
    let scene = Scene::new(50).await;
    let before = scene.ok("tb", "GET", ADDRESS, None).await.json();
    assert_eq!((&before["reserved_ip"]["droplet"]["id"], &before["reserved_ip"]["locked"]), (&json!(1), &json!(false)));
    let (name, mut open) = scene.client().await.unwrap();
    assert_eq!(name, "a");

    let accepted = scene.ok("tb", "POST", ACTIONS, Some(ASSIGN_TO_B)).await;
    let action = accepted.json()["action"].clone();
    assert_eq!(
        (accepted.status, &action["status"], &action["type"]),
        (201, &json!("in-progress"), &json!("assign_ip"))
    );
    assert_eq!(action["resource_id"], 3_405_803_786_u64);
    assert_eq!(action["completed_at"], Value::Null);
    let moved = scene.event("moved").await;
    assert_eq!((&moved["from"], &moved["to"], &moved["by"]), (&json!(1), &json!(2), &json!("b")));

    for path in [format!("{ACTIONS}/{}", action["id"]), format!("/v2/actions/{}", action["id"])] {
        let polled = scene.ok("tb", "GET", &path, None).await.json();
        assert_eq!(polled["action"]["status"], "completed", "{path}");
        assert!(polled["action"]["completed_at"].is_string());
    }
    let after = scene.ok("ta", "GET", ADDRESS, None).await.json();
    assert_eq!(after["reserved_ip"]["droplet"]["name"], "b");
    for (droplet, active) in [("1", "false"), ("2", "true")] {
        assert_eq!(scene.metadata(droplet, "/metadata/v1/reserved_ip/ipv4/active").await.text(), active);
    }
    let cut = tokio::time::timeout(PATIENCE, open.read(&mut [0; 8])).await.expect("the move cuts what is open");
    assert_eq!(cut.unwrap_err().kind(), ErrorKind::ConnectionReset);
    assert_eq!(scene.client().await.unwrap().0, "b");

    let log = scene.control("GET", "/events?event=request,accepted,ended,moved", None).await;
    let told: Vec<String> = log["events"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|event| event["face"] != "metadata" && event["method"] != "GET")
        .map(|event| {
            format!("{} {} {}", event["event"].as_str().unwrap(), event["by"].as_str().unwrap(), event["status"])
        })
        .collect();
    assert_eq!(told, ["request b 201", "accepted b null", "ended b \"completed\"", "moved b null"]);
}

#[tokio::test]
async fn of_two_assigns_one_wins_and_the_other_is_told_of_the_pending_event() {
    let scene = Scene::new(60_000).await;
    let (first, second) = tokio::join!(
        scene.api("ta", "POST", ACTIONS, Some(ASSIGN_TO_B)),
        scene.api("tb", "POST", "/v2/floating_ips/203.0.113.10/actions", Some(r#"{"type":"assign","droplet_id":"2"}"#)),
    );
    let mut statuses = [first.unwrap().status, second.unwrap().status];
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 422]);
    let shown = scene.ok("ta", "GET", "/v2/floating_ips/203.0.113.10", None).await.json();
    assert_eq!((&shown["floating_ip"]["locked"], &shown["floating_ip"]["droplet"]["id"]), (&json!(true), &json!(1)));
    let refused = scene.ok("ta", "POST", ACTIONS, Some(ASSIGN_TO_B)).await.json();
    assert_eq!(
        (&refused["id"], refused["message"].as_str().unwrap().contains("pending event")),
        (&json!("unprocessable_entity"), true)
    );
}

#[tokio::test]
async fn refusals_have_their_status_and_their_words() {
    let scene = Scene::new(50).await;
    let unknown = "/v2/reserved_ips/192.0.2.1/actions";
    for (token, method, path, body, status, id) in [
        ("bad", "GET", ADDRESS, None, 401, "unauthorized"),
        ("ta", "GET", "/v2/reserved_ips/192.0.2.1", None, 404, "not_found"),
        ("ta", "GET", "/v2/reserved_ips/no-address", None, 404, "not_found"),
        ("ta", "GET", "/v2/nothing", None, 404, "not_found"),
        ("ta", "GET", "/v2/actions/1", None, 404, "not_found"),
        ("ta", "POST", unknown, Some(ASSIGN_TO_B), 404, "not_found"),
        ("ta", "POST", ACTIONS, Some("{not json"), 400, "bad_request"),
        ("ta", "POST", ACTIONS, Some(r#"{"type":"assign","droplet_id":9}"#), 422, "unprocessable_entity"),
        ("ta", "POST", ACTIONS, Some(r#"{"type":"assign","droplet_id":1}"#), 422, "unprocessable_entity"),
        ("ta", "POST", ACTIONS, Some(r#"{"type":"dance"}"#), 422, "unprocessable_entity"),
        ("tr", "POST", ACTIONS, Some(ASSIGN_TO_B), 403, "forbidden"),
        ("tr", "GET", "/v2/droplets", None, 403, "forbidden"),
        ("ta", "GET", "/v2/droplets?tag_name=x&name=y", None, 422, "unprocessable_entity"),
    ] {
        let got = scene.ok(token, method, path, body).await;
        assert_eq!((got.status, got.json()["id"].as_str().unwrap()), (status, id), "{method} {path} {body:?}");
        assert_eq!(got.header("content-type"), Some("application/json; charset=utf-8"));
        assert_eq!(got.json()["request_id"].as_str(), got.header("x-request-id"));
    }
    assert_eq!(scene.ok("tr", "GET", ADDRESS, None).await.json()["reserved_ip"]["droplet"], Value::Null);
    let nobody = call(&scene.running.ready.api, "GET", ADDRESS, None, None).await.unwrap();
    assert_eq!(nobody.status, 401);
    assert!(scene.control("GET", "/events?event=accepted", None).await["events"].as_array().unwrap().is_empty());
}

#[tokio::test]
async fn droplets_are_listed_by_tag_and_name_in_pages() {
    let scene = Scene::new(50).await;
    let list = async |query: &str| scene.ok("ta", "GET", &format!("/v2/droplets?{query}"), None).await.json();
    assert_eq!(list("tag_name=haagent&per_page=200").await["meta"]["total"], 2);
    assert_eq!(list("tag_name=other").await["droplets"], json!([]));
    assert_eq!(list("name=B").await["droplets"][0]["id"], 2);
    let first = list("per_page=1").await;
    assert_eq!(first["droplets"].as_array().unwrap().len(), 1);
    assert!(first["links"]["pages"]["next"].as_str().unwrap().contains("page=2&per_page=1"));
    let holder = scene.ok("ta", "GET", "/v2/droplets/1", None).await.json();
    let public = |entry: &&Value| entry["type"] == "public";
    let v4 = holder["droplet"]["networks"]["v4"].as_array().unwrap();
    assert_eq!(v4.iter().filter(public).count(), 2, "its own and the reserved one");
}

#[tokio::test]
async fn every_answer_counts_down_the_rate_limit_and_the_burst_ends_in_429() {
    let scene = Scene::with(json!({"settings": {"calls_per_hour": 10, "calls_per_minute": 2}})).await;
    let first = scene.ok("ta", "GET", ADDRESS, None).await;
    assert_eq!((first.header("ratelimit-limit"), first.header("ratelimit-remaining")), (Some("10"), Some("9")));
    assert!(first.header("ratelimit-reset").unwrap().parse::<u64>().unwrap() > 1_700_000_000);
    scene.ok("ta", "GET", ADDRESS, None).await;
    let burst = scene.ok("ta", "GET", ADDRESS, None).await;
    assert_eq!((burst.status, burst.json()["id"].as_str().unwrap()), (429, "too_many_requests"));
    assert!(burst.header("retry-after").unwrap().parse::<u64>().unwrap() <= 60);
    assert_eq!(scene.ok("tb", "GET", ADDRESS, None).await.status, 200, "the limit is the token's");
}

#[tokio::test]
async fn a_move_by_hand_goes_through_the_same_action() {
    let scene = Scene::new(60_000).await;
    scene.control("POST", "/move", Some(r#"{"ip":"203.0.113.10","droplet":2,"takes_ms":10}"#)).await;
    let moved = scene.event("moved").await;
    assert_eq!((&moved["by"], &moved["to"]), (&json!("hand"), &json!(2)));
    scene.control("POST", "/move", Some(r#"{"ip":"203.0.113.10","droplet":null,"takes_ms":0}"#)).await;
    assert_eq!(scene.ok("ta", "GET", ADDRESS, None).await.json()["reserved_ip"]["droplet"], Value::Null);
    let refused = scene.client().await.unwrap_err().kind();
    assert!(matches!(refused, ErrorKind::ConnectionReset | ErrorKind::UnexpectedEof), "{refused}");
    let again = Some(r#"{"ip":"203.0.113.10","droplet":null}"#);
    let got = call(&scene.running.ready.control, "POST", "/move", None, again).await.unwrap();
    assert_eq!(got.status, 422, "{}", got.text());
}

#[tokio::test]
async fn a_new_address_is_created_found_and_deleted() {
    let scene = Scene::new(0).await;
    let created = scene.ok("tb", "POST", "/v2/reserved_ips", Some(r#"{"droplet_id":2}"#)).await;
    let value = created.json();
    assert_eq!((created.status, &value["reserved_ip"]["locked"]), (202, &json!(true)));
    let ip = value["reserved_ip"]["ip"].as_str().unwrap().to_owned();
    let action = value["links"]["actions"][0]["id"].as_u64().unwrap();
    let polled = scene.ok("tb", "GET", &format!("/v2/reserved_ips/{ip}/actions/{action}"), None).await.json();
    assert_eq!(polled["action"]["status"], "completed");
    assert_eq!(scene.ok("tb", "GET", "/v2/reserved_ips", None).await.json()["meta"]["total"], 2);
    assert_eq!(scene.ok("tb", "DELETE", &format!("/v2/reserved_ips/{ip}"), None).await.status, 204);
    assert_eq!(scene.ok("tb", "GET", &format!("/v2/reserved_ips/{ip}"), None).await.status, 404);
    let free = scene.ok("tb", "POST", "/v2/reserved_ips", Some(r#"{"region":"fra1"}"#)).await.json();
    assert_eq!((&free["links"], &free["reserved_ip"]["locked"]), (&json!({}), &json!(false)));
}

#[tokio::test]
async fn a_fault_is_seen_on_the_wire_as_it_is_named() {
    let scene = Scene::new(0).await;
    for (effect, seen) in [
        (json!({"kind": "unauthorized"}), "401 json"),
        (json!({"kind": "forbidden"}), "403 json"),
        (json!({"kind": "server_error"}), "500 json"),
        (json!({"kind": "unavailable"}), "503 json"),
        (json!({"kind": "gateway_page"}), "502 junk"),
        (json!({"kind": "gateway_page", "status": 200}), "200 junk"),
        (json!({"kind": "answer", "status": 422, "message": "Something new."}), "422 json"),
        (json!({"kind": "truncated"}), "200 junk"),
        (json!({"kind": "huge"}), "200 too long"),
        (json!({"kind": "endless"}), "200 too long"),
        (json!({"kind": "reset"}), "ConnectionReset"),
        (json!({"kind": "reset_mid_body"}), "ConnectionReset"),
        (json!({"kind": "lost_answer"}), "UnexpectedEof"),
        (json!({"kind": "drip", "ms": 0}), "200 json"),
        (json!({"kind": "delay", "ms": 5}), "200 json"),
    ] {
        scene.fault(json!({"on": {"method": "GET", "path": "/v2/reserved_ips/*"}, "count": 1, "effect": effect})).await;
        let got = match scene.api("ta", "GET", ADDRESS, None).await {
            Ok(got) if got.too_long => format!("{} too long", got.status),
            Ok(got) if serde_json::from_slice::<Value>(&got.body).is_ok() => format!("{} json", got.status),
            Ok(got) => format!("{} junk", got.status),
            Err(error) => format!("{:?}", error.kind()),
        };
        assert_eq!(got, seen, "{effect}");
        assert_eq!(scene.ok("ta", "GET", ADDRESS, None).await.status, 200, "after {effect} all is well");
    }
    for effect in [json!({"kind": "silence"}), json!({"kind": "head_then_silence"})] {
        scene.fault(json!({"count": 1, "effect": effect})).await;
        let waited = tokio::time::timeout(Duration::from_millis(50), scene.api("ta", "GET", ADDRESS, None)).await;
        assert!(waited.is_err(), "{effect}");
    }
    let log = scene.control("GET", "/events?event=request", None).await;
    let lost =
        log["events"].as_array().unwrap().iter().find(|event| event["faults"] == json!(["lost_answer"])).unwrap();
    assert_eq!((&lost["status"], &lost["by"]), (&Value::Null, &json!("a")));
}

#[tokio::test]
async fn both_rate_limits_say_what_the_real_ones_say() {
    let scene = Scene::new(0).await;
    for (retry_after, header) in [(json!(null), None), (json!("29"), Some("29")), (json!("soon"), Some("soon"))] {
        scene.fault(json!({"count": 1, "effect": {"kind": "rate_limited", "retry_after": retry_after}})).await;
        let got = scene.ok("ta", "GET", ADDRESS, None).await;
        assert_eq!(
            (got.status, got.header("retry-after"), got.header("ratelimit-remaining")),
            (429, header, Some("0"))
        );
    }
}

#[tokio::test]
async fn a_lost_answer_was_executed_and_a_silent_one_was_not() {
    for (kind, executed) in [("lost_answer", true), ("reset_mid_body", true), ("reset", false)] {
        let scene = Scene::new(0).await;
        scene.fault(json!({"on": {"method": "POST"}, "effect": {"kind": kind}})).await;
        assert!(scene.api("tb", "POST", ACTIONS, Some(ASSIGN_TO_B)).await.is_err());
        let holder = scene.control("GET", "/state", None).await["reserved_ips"][0]["holder"].clone();
        assert_eq!(holder, json!(if executed { 2 } else { 1 }), "{kind}");
    }
}

#[tokio::test]
async fn actions_go_wrong_as_ordered() {
    for (effect, status, holder) in [
        (json!({"kind": "action_errored"}), "errored", json!(1)),
        (json!({"kind": "action_errored", "unassigned": true}), "errored", json!(null)),
        (json!({"kind": "action_word", "word": "done"}), "done", json!(2)),
        (json!({"kind": "action_stuck"}), "in-progress", json!(1)),
        (json!({"kind": "action_not_found"}), "404", json!(2)),
    ] {
        let scene = Scene::new(0).await;
        scene.fault(json!({"effect": effect})).await;
        let id = scene.ok("tb", "POST", ACTIONS, Some(ASSIGN_TO_B)).await.json()["action"]["id"].clone();
        let polled = scene.ok("tb", "GET", &format!("{ACTIONS}/{id}"), None).await;
        let seen = if polled.status == 200 {
            polled.json()["action"]["status"].clone()
        } else {
            json!(polled.status.to_string())
        };
        assert_eq!(seen, status, "{effect}");
        assert_eq!(scene.control("GET", "/state", None).await["reserved_ips"][0]["holder"], holder, "{effect}");
    }
}

#[tokio::test]
async fn a_refusing_listener_keeps_its_port_and_comes_back() {
    let scene = Scene::new(0).await;
    let mut idle = TcpStream::connect(scene.running.ready.api.trim_start_matches("http://")).await.unwrap();
    scene.fault(json!({"effect": {"kind": "refuse"}})).await;
    let cut = tokio::time::timeout(PATIENCE, idle.read(&mut [0; 8])).await.expect("what is open is cut");
    assert!(cut.is_err() || cut.is_ok_and(|read| read == 0));
    let refused = scene.api("ta", "GET", ADDRESS, None).await.unwrap_err();
    assert!(matches!(refused.kind(), ErrorKind::ConnectionRefused | ErrorKind::ConnectionReset), "{refused}");
    assert_eq!(scene.metadata("1", "/metadata/v1/id").await.text(), "1", "only the API is shut");
    scene.control("DELETE", "/faults", None).await;
    let back = async {
        while scene.api("ta", "GET", ADDRESS, None).await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, back).await.expect("it listens again on the same port");
}

#[tokio::test]
async fn metadata_faults_are_one_droplets_own() {
    let scene = Scene::new(0).await;
    let on = json!({"face": "metadata", "droplet": 1, "path": "*/active"});
    let active = "/metadata/v1/reserved_ip/ipv4/active";
    scene.fault(json!({"on": on, "count": 1, "effect": {"kind": "says", "active": false}})).await;
    assert_eq!(scene.metadata("2", active).await.text(), "false");
    assert_eq!(scene.metadata("1", active).await.text(), "false");
    assert_eq!(scene.metadata("1", active).await.text(), "true", "it flips back");
    scene.fault(json!({"on": on, "effect": {"kind": "server_error"}})).await;
    assert_eq!(scene.metadata("1", active).await.status, 500);
    assert_eq!(scene.metadata("1", "/metadata/v1/id").await.text(), "1");
    assert_eq!(scene.metadata("2", active).await.status, 200);
    scene.fault(json!({"on": {"face": "metadata", "droplet": 2}, "effect": {"kind": "refuse"}})).await;
    let refused = call(&scene.running.ready.metadata["2"], "GET", active, None, None).await.unwrap_err();
    assert!(matches!(refused.kind(), ErrorKind::ConnectionRefused | ErrorKind::ConnectionReset), "{refused}");
}

#[tokio::test]
async fn one_listener_tells_droplets_apart_by_their_source() {
    let world = r#"{
        "metadata": "127.0.0.1:0",
        "droplet": [{"id":7,"name":"x","private":"127.0.0.2"},{"id":8,"name":"y","private":"127.0.0.1"}],
        "reserved_ip": [], "token": []
    }"#;
    let running = start(&World::from_json(world).unwrap()).unwrap();
    let base = running.ready.metadata_by_source.as_ref().unwrap();
    assert_eq!(call(base, "GET", "/metadata/v1/id", None, None).await.unwrap().text(), "8");
}

#[tokio::test]
async fn droplets_are_added_changed_and_destroyed_while_it_runs() {
    let scene = Scene::new(0).await;
    let change = async |body: &str| scene.control("POST", "/droplets", Some(body)).await;
    change(r#"{"id":3,"name":"c","tags":["haagent"],"private":"10.0.0.3"}"#).await;
    assert_eq!(scene.ok("ta", "GET", "/v2/droplets/3", None).await.json()["droplet"]["region"]["slug"], "fra1");
    change(r#"{"id":1,"status":"off","maintenance_event":"live_migrate"}"#).await;
    assert_eq!(scene.ok("ta", "GET", "/v2/droplets/1", None).await.json()["droplet"]["status"], "off");
    assert_eq!(scene.metadata("1", "/v1/maintenance_event").await.text(), "live_migrate");
    assert!(scene.client().await.is_err(), "nobody answers on a droplet that is off, but it keeps its address");
    assert_eq!(scene.ok("ta", "GET", ADDRESS, None).await.json()["reserved_ip"]["droplet"]["id"], 1);
    change(r#"{"id":3,"busy_ms":60000}"#).await;
    let busy = scene.ok("ta", "POST", ACTIONS, Some(r#"{"type":"assign","droplet_id":3}"#)).await;
    assert_eq!((busy.status, busy.json()["message"].as_str().unwrap()), (422, "Droplet already has a pending event."));
    change(r#"{"id":1,"destroy":true}"#).await;
    assert_eq!(scene.ok("ta", "GET", ADDRESS, None).await.json()["reserved_ip"]["droplet"], Value::Null);
    assert_eq!(scene.ok("ta", "GET", "/v2/droplets/1", None).await.status, 404);
}

#[tokio::test]
async fn the_control_endpoint_refuses_what_it_does_not_know() {
    let scene = Scene::new(0).await;
    for (method, path, body, status) in [
        ("GET", "/nothing", "", 404),
        ("POST", "/faults", "junk", 400),
        ("POST", "/faults", r#"{"effect":{"kind":"silense"}}"#, 400),
        ("POST", "/faults", r#"{"count":1,"effect":{"kind":"refuse"}}"#, 400),
        ("DELETE", "/faults/77", "", 404),
        ("POST", "/settings", r#"{"action_msec":5}"#, 400),
        ("POST", "/settings", r#"{"action_ms":"soon"}"#, 400),
        ("POST", "/move", r#"{"ip":"203.0.113.10"}"#, 400),
        ("POST", "/move", r#"{"ip":"203.0.113.10","droplet":9}"#, 422),
        ("POST", "/droplets", r#"{"id":9}"#, 400),
    ] {
        let got = call(&scene.running.ready.control, method, path, None, Some(body)).await.unwrap();
        assert_eq!(got.status, status, "{method} {path} {body}: {}", got.text());
        assert!(got.json()["message"].is_string());
    }
    let settings = scene.control("POST", "/settings", Some(r#"{"winner_lag_ms":7}"#)).await;
    assert_eq!((&settings["settings"]["winner_lag_ms"], &settings["settings"]["action_ms"]), (&json!(7), &json!(0)));
}

#[tokio::test]
async fn a_reader_of_events_is_woken_by_the_next_one() {
    let scene = Scene::new(0).await;
    let newest = scene.control("GET", "/state", None).await["newest_event"].clone();
    let path = format!("/events?after={newest}&wait_ms=20000&event=moved");
    let waiting = scene.control("GET", &path, None);
    let moving = async {
        scene.ok("ta", "GET", ADDRESS, None).await;
        scene.ok("tb", "POST", ACTIONS, Some(ASSIGN_TO_B)).await
    };
    let (page, _) = tokio::join!(waiting, moving);
    assert_eq!(page["events"].as_array().unwrap().len(), 1);
    assert_eq!(page["next"], page["events"][0]["seq"]);
}

#[tokio::test]
async fn an_address_that_is_taken_is_said() {
    let scene = Scene::new(0).await;
    let taken = scene.running.ready.api.trim_start_matches("http://").parse().unwrap();
    let world = World { api: taken, ..World::from_json(r#"{"droplet":[],"reserved_ip":[]}"#).unwrap() };
    let error = start(&world).unwrap_err().to_string();
    assert!(error.contains("the API") && error.contains(&taken.to_string()), "{error}");
}
