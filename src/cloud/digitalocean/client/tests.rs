//! The client against a server that answers as badly as real ones do.

use super::*;
use crate::cloud::digitalocean::types::{DropletStatus, Member};
use crate::net::testing::{Reply, Server, answer, json};
use crate::proto::claim::event::{FailureClass, Progress};

const ADDRESS: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 10);
const DROPLET: DropletId = DropletId(4711);
const TOKEN: &str = "dop_v1_0123456789abcdef";
/// For what answers: a busy machine is no reason to fail.
const TIMEOUT: Duration = Duration::from_secs(10);
/// For what does not.
const SHORT: Duration = Duration::from_millis(500);
const HELD: &str = r#"{"reserved_ip":{"ip":"203.0.113.10","locked":false,"droplet":{"id":4711,"status":"active"}}}"#;
const ACCEPTED: &str = r#"{"action":{"id":2300000001,"status":"in-progress","type":"assign_ip"}}"#;

fn settings(api_url: &str) -> Settings {
    Settings {
        api_url: api_url.to_owned(),
        token: Secret::new(TOKEN.to_owned()),
        token_source: "/etc/haagent/do-token".to_owned(),
        ca_file: None,
        timeout: TIMEOUT,
        resolver: Resolver::default(),
    }
}

async fn start(replies: impl IntoIterator<Item = Reply>) -> (Client, Server) {
    start_within(TIMEOUT, replies).await
}

async fn start_within(timeout: Duration, replies: impl IntoIterator<Item = Reply>) -> (Client, Server) {
    let server = Server::start(replies).await;
    (Client::new(Settings { timeout, ..settings(&server.url()) }).unwrap(), server)
}

fn ok(body: &str) -> Reply {
    Reply::Keep(json(200, body))
}

/// How a read and an assign end when each is answered so.
async fn classes(timeout: Duration, reply: Reply) -> (FailureClass, FailureClass, String) {
    let (client, _server) = start_within(timeout, [reply]).await;
    let read = client.reserved_ip(ADDRESS, Connection::Kept).await.unwrap_err().failure();
    let write = client.assign(ADDRESS, DROPLET).await.unwrap_err().failure();
    for failure in [&read, &write] {
        assert!(!failure.text.contains(TOKEN) && !failure.text.contains('\n'), "{failure}");
    }
    (read.class, write.class, write.text.to_string())
}

#[tokio::test]
async fn a_request_is_what_the_api_documents_over_one_kept_connection() {
    let (client, server) = start([
        ok(HELD),
        Reply::Keep(json(201, ACCEPTED)),
        ok(r#"{"action":{"id":2300000001,"status":"completed"}}"#),
        ok(r#"{"droplet":{"id":4711,"status":"off"}}"#),
    ])
    .await;
    let held = client.reserved_ip(ADDRESS, Connection::Kept).await.unwrap();
    assert!(matches!(held.droplet, Member::Present(droplet) if droplet.id == DROPLET));
    let action = client.assign(ADDRESS, DROPLET).await.unwrap();
    assert_eq!((action.id, action.progress()), (2_300_000_001, Progress::Pending));
    assert_eq!(client.action(ADDRESS, action.cloud_id()).await.unwrap().progress(), Progress::Completed);
    assert_eq!(client.droplet(DROPLET).await.unwrap().status, DropletStatus::Off);

    let seen = server.seen();
    assert_eq!(seen.connections, 1);
    let lines: Vec<_> = seen.requests.iter().map(|request| request.lines().next().unwrap()).collect();
    assert_eq!(
        lines,
        [
            "GET /v2/reserved_ips/203.0.113.10 HTTP/1.1",
            "POST /v2/reserved_ips/203.0.113.10/actions HTTP/1.1",
            "GET /v2/reserved_ips/203.0.113.10/actions/2300000001 HTTP/1.1",
            "GET /v2/droplets/4711 HTTP/1.1",
        ]
    );
    for request in &seen.requests {
        assert!(request.contains(&format!("authorization: Bearer {TOKEN}\r\n")), "{request}");
        assert!(request.contains(&format!("user-agent: {}\r\n", http::USER_AGENT)), "{request}");
    }
    let post = &seen.requests[1];
    assert!(post.contains("content-type: application/json\r\n"), "{post}");
    let body: serde_json::Value = serde_json::from_str(post.split_once("\r\n\r\n").unwrap().1).unwrap();
    assert_eq!(body, serde_json::json!({ "type": "assign", "droplet_id": 4711 }));
}

#[tokio::test]
async fn a_fresh_read_uses_a_connection_of_its_own() {
    let (client, server) = start([ok(HELD)]).await;
    for connection in [Connection::Kept, Connection::Fresh, Connection::Fresh, Connection::Kept] {
        client.reserved_ip(ADDRESS, connection).await.unwrap();
    }
    assert_eq!(server.seen().connections, 3);
}

#[tokio::test]
async fn refusals_are_classified_whoever_answers() {
    use FailureClass::{Again, AlreadyAssigned, Never, NotBefore, PendingEvent, Refused, Unanswered};
    let error = |status, id: &str, message: &str| {
        Reply::Keep(json(status, &format!(r#"{{"id":"{id}","message":"{message}","request_id":"r-1"}}"#)))
    };
    let too_many = |headers: &str| Reply::Keep(answer(429, headers, r#"{"id":"too_many_requests","message":"Slow"}"#));
    let seconds = |seconds| NotBefore(Duration::from_secs(seconds));
    let html = |status| Reply::Keep(answer(status, "content-type: text/html\r\n", "<html>busy</html>"));
    for (name, reply, read, write) in [
        ("401", error(401, "unauthorized", "Unable to authenticate you"), Never, Never),
        ("403", error(403, "forbidden", "You are not authorized"), Never, Never),
        ("404", error(404, "not_found", "could not be found"), Never, Never),
        (
            "pending",
            error(422, "unprocessable_entity", "Droplet already has a pending event."),
            PendingEvent,
            PendingEvent,
        ),
        ("already", error(422, "unprocessable_entity", "IP is already assigned"), AlreadyAssigned, AlreadyAssigned),
        ("unknown 422", error(422, "unprocessable_entity", "Something new."), Refused, Refused),
        ("burst", too_many("retry-after: 29\r\nratelimit-remaining: 0\r\n"), seconds(29), seconds(29)),
        ("hourly", too_many("ratelimit-reset: 1\r\n"), seconds(1), seconds(1)),
        ("429 alone", Reply::Keep(answer(429, "", "")), seconds(10), seconds(10)),
        ("500", error(500, "server_error", "Unexpected server-side error"), Again, Again),
        ("503", error(503, "service_unavailable", "Service is currently unavailable."), Again, Again),
        ("502 page", html(502), Again, Unanswered),
        ("522 page", html(522), Again, Unanswered),
        ("301", Reply::Keep(answer(301, "location: http://evil.example/\r\n", "")), Again, Again),
        ("200 page", html(200), Again, Unanswered),
        ("200 of something else", ok(r#"{"ok":true}"#), Again, Unanswered),
        ("empty 204", Reply::Keep(answer(204, "", "")), Again, Unanswered),
        ("truncated JSON", ok(&HELD[..40]), Again, Unanswered),
    ] {
        let (of_read, of_write, text) = classes(TIMEOUT, reply).await;
        assert_eq!((of_read, of_write), (read, write), "{name}: {text}");
    }
}

#[tokio::test]
async fn an_answer_that_does_not_come_is_unanswered() {
    let cut = "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{";
    for (name, reply) in [
        ("reset after the request", Reply::Reset),
        ("closed without an answer", Reply::Close(String::new())),
        ("closed in mid-body", Reply::Close(cut.into())),
        ("silent", Reply::Silence),
        ("silent after the head", Reply::Keep(cut.into())),
        ("dripping", Reply::Drip("HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n".into())),
    ] {
        let begun = clock::now();
        let (read, write, text) = classes(SHORT, reply).await;
        assert_eq!((read, write), (FailureClass::Unanswered, FailureClass::Unanswered), "{name}: {text}");
        assert!(text.ends_with("it may have worked all the same"), "{name}: {text}");
        assert!(clock::now().since(begun) < TIMEOUT, "{name} took too long");
    }
}

#[tokio::test]
async fn a_connection_that_is_refused_sent_nothing() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let error = Client::new(settings(&url)).unwrap().assign(ADDRESS, DROPLET).await.unwrap_err();
    let failure = error.failure();
    assert_eq!(failure.class, FailureClass::Again, "{failure}");
    assert!(failure.text.contains("nothing was sent") && failure.text.contains("refused"), "{failure}");
}

#[tokio::test]
async fn a_name_that_is_not_found_sent_nothing() {
    let error = Client::new(settings("http://api.invalid")).unwrap().assign(ADDRESS, DROPLET).await.unwrap_err();
    let failure = error.failure();
    assert_eq!(failure.class, FailureClass::Again, "{failure}");
    assert!(failure.text.contains("api.invalid: no connection, nothing was sent"), "{failure}");
}

#[tokio::test]
async fn a_huge_answer_is_refused_by_its_header_and_an_endless_one_at_the_limit() {
    let length = 50_000_000;
    for head in [
        format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n"),
        "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n".to_owned(),
        format!("HTTP/1.1 500 X\r\ncontent-length: {length}\r\n\r\n"),
    ] {
        let (client, server) = start([Reply::Flood(head.clone(), u64::MAX)]).await;
        let error = client.reserved_ip(ADDRESS, Connection::Kept).await.unwrap_err();
        let expected = matches!(error.kind, ErrorKind::TooBig { limit: BODY_LIMIT, .. }) || error.status() == Some(500);
        assert!(expected, "{error:?}");
        let seen = server.wait_for(|seen| seen.flooded.is_some()).await;
        // What was written beyond the limit went into the buffers of two sockets.
        assert!(seen.flooded.unwrap() < length, "{head}: {} bytes were taken", seen.flooded.unwrap());
    }
}

#[tokio::test]
async fn endless_headers_are_cut_off() {
    let (client, server) = start([Reply::Flood("HTTP/1.1 200 OK\r\nx: ".into(), u64::MAX)]).await;
    let error = client.assign(ADDRESS, DROPLET).await.unwrap_err();
    assert_eq!(error.class(), FailureClass::Unanswered, "{error:?}");
    server.wait_for(|seen| seen.flooded.is_some()).await;
}

#[tokio::test]
async fn a_warm_connection_has_no_request_and_carries_the_next_one() {
    let (client, server) = start([Reply::Keep(json(201, ACCEPTED))]).await;
    client.warm().await.unwrap();
    client.warm().await.unwrap();
    let seen = server.wait_for(|seen| seen.connections == 1).await;
    assert!(seen.requests.is_empty());
    client.assign(ADDRESS, DROPLET).await.unwrap();
    let seen = server.seen();
    assert_eq!((seen.connections, seen.requests.len()), (1, 1));
    // It was used: the next warm one is new, and the pool's own is preferred to it.
    client.warm().await.unwrap();
    server.wait_for(|seen| seen.connections == 2).await;
    client.assign(ADDRESS, DROPLET).await.unwrap();
    assert_eq!(server.seen().connections, 2);
}

#[tokio::test]
async fn a_warm_connection_that_was_closed_meanwhile_is_not_used() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = Client::new(settings(&format!("http://{}", listener.local_addr().unwrap()))).unwrap();
    client.warm().await.unwrap();
    drop(listener.accept().await.unwrap());
    let deadline = clock::now() + Duration::from_secs(10);
    while client.shelf.is_filled() {
        assert!(clock::now() < deadline, "the end of the connection was not seen");
        tokio::task::yield_now().await;
    }
    let (assigned, ()) = tokio::join!(client.assign(ADDRESS, DROPLET), async { drop(listener.accept().await) });
    assert_eq!(assigned.unwrap_err().class(), FailureClass::Unanswered, "a second connection was opened");
}

#[tokio::test]
async fn warming_fails_where_nobody_listens() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    assert_eq!(Client::new(settings(&url)).unwrap().warm().await.unwrap_err().class(), FailureClass::Again);
}

#[tokio::test]
async fn a_token_that_is_sent_back_is_not_shown() {
    let body = format!(r#"{{"id":"unauthorized","message":"bad Bearer {TOKEN}\n{}"}}"#, "x".repeat(5_000));
    let body = body.replace('\n', "\\n");
    let (read, _, text) = classes(TIMEOUT, Reply::Keep(json(401, &body))).await;
    assert_eq!(read, FailureClass::Never);
    assert!(text.contains("bad Bearer (token)") && text.len() < 1_000, "{text}");
    assert!(!format!("{:?}", Client::new(settings("http://127.0.0.1:1")).unwrap()).contains(TOKEN));
}

#[test]
fn settings_that_cannot_be_used_are_refused_with_the_key_to_look_at() {
    for url in ["", "api.digitalocean.com", "ftp://x", "http://u:p@h", "https://h/?q", "https://h/#f", "http://"] {
        let error = Client::new(settings(url)).unwrap_err();
        assert!(error.to_string().contains("digitalocean.api_url"), "{url}: {error}");
    }
    let token = Settings { token: Secret::new("a\nb".to_owned()), ..settings("http://127.0.0.1:1") };
    assert!(Client::new(token).unwrap_err().to_string().contains("/etc/haagent/do-token"));
    let missing = Settings { ca_file: Some("/nonexistent/ca.pem".into()), ..settings("https://127.0.0.1:1") };
    assert!(Client::new(missing).unwrap_err().to_string().contains("/nonexistent/ca.pem"));
}

#[tokio::test]
async fn a_base_address_with_a_path_is_kept() {
    let (_, server) = start([ok(HELD)]).await;
    let client = Client::new(settings(&format!("{}/proxy/", server.url()))).unwrap();
    client.reserved_ip(ADDRESS, Connection::Kept).await.unwrap();
    assert!(server.seen().requests[0].starts_with("GET /proxy/v2/reserved_ips/203.0.113.10 "));
}

/// TLS, spoken by a blocking thread. The authority's key was thrown away; the
/// certificates are good for a hundred years and for 127.0.0.1.
mod tls {
    use std::io::{Read, Write};
    use std::net::{SocketAddr, TcpListener};
    use std::sync::mpsc;
    use std::thread::JoinHandle;

    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    use rustls::{ServerConfig, ServerConnection, StreamOwned};

    use super::*;

    const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/cloud/digitalocean/client/testdata");

    fn client(address: SocketAddr, authority: &str) -> Client {
        let ca_file = Some(format!("{FOLDER}/{authority}").into());
        let timeout = Duration::from_secs(5);
        Client::new(Settings { ca_file, timeout, ..settings(&format!("https://{address}")) }).unwrap()
    }

    /// Serves one connection: tells when the handshake is over, answers one
    /// request with 201, and returns the request, or nothing.
    fn serve_once() -> (SocketAddr, mpsc::Receiver<()>, JoinHandle<Option<String>>) {
        let certificate = CertificateDer::from_pem_file(format!("{FOLDER}/server.pem")).unwrap();
        let key = PrivateKeyDer::from_pem_file(format!("{FOLDER}/server.key.pem")).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (shaken, handshake) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            let (mut socket, _) = listener.accept().unwrap();
            socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
            let mut connection = ServerConnection::new(Arc::new(config)).unwrap();
            while connection.is_handshaking() {
                connection.complete_io(&mut socket).ok()?;
            }
            shaken.send(()).unwrap();
            let mut stream = StreamOwned::new(connection, socket);
            let mut request = Vec::new();
            while !request.ends_with(b"}") {
                let mut chunk = [0; 4096];
                let length = stream.read(&mut chunk).ok().filter(|length| *length > 0)?;
                request.extend_from_slice(&chunk[..length]);
            }
            stream.write_all(json(201, ACCEPTED).as_bytes()).unwrap();
            stream.flush().unwrap();
            Some(String::from_utf8(request).unwrap())
        });
        (address, handshake, thread)
    }

    #[tokio::test]
    async fn a_warm_connection_has_its_handshake_behind_it() {
        let (address, handshake, thread) = serve_once();
        let client = client(address, "authority.pem");
        client.warm().await.unwrap();
        handshake.recv_timeout(Duration::from_secs(10)).expect("no handshake before the request");
        assert!(client.shelf.is_filled(), "session tickets are not mistaken for an answer");
        // The server serves one connection only: this goes over the warm one.
        assert_eq!(client.assign(ADDRESS, DROPLET).await.unwrap().id, 2_300_000_001);
        assert!(thread.join().unwrap().unwrap().starts_with("POST /v2/reserved_ips/203.0.113.10/actions "));
    }

    #[tokio::test]
    async fn a_strange_certificate_ends_it_before_anything_is_sent() {
        let (address, _handshake, thread) = serve_once();
        let failure = client(address, "stranger.pem").assign(ADDRESS, DROPLET).await.unwrap_err().failure();
        assert_eq!(failure.class, FailureClass::Again, "{failure}");
        assert!(
            failure.text.contains("nothing was sent") && failure.text.contains("digitalocean.ca_file"),
            "{failure}"
        );
        assert_eq!(thread.join().unwrap(), None);
    }

    #[test]
    fn a_file_without_certificates_is_refused() {
        let key_only =
            Settings { ca_file: Some(format!("{FOLDER}/server.key.pem").into()), ..settings("https://127.0.0.1:1") };
        assert!(Client::new(key_only).unwrap_err().to_string().contains("no certificate"));
    }
}
