use std::net::Ipv4Addr;

use tokio::net::TcpListener;

use super::*;
use crate::config::types::{BaseUrl, HostPort};
use crate::net::testing::{Reply, Server, answer};

const LIMIT: Duration = Duration::from_millis(300);

fn asker(target: &ProbeTarget) -> Prober {
    Prober::new(&Probe { target: target.clone(), timeout: LIMIT }, None, Resolver::default()).unwrap()
}

fn http_target(server: &Server) -> ProbeTarget {
    ProbeTarget::Http(BaseUrl::new(&format!("{}/health", server.url())).unwrap())
}

fn tcp_target(address: SocketAddr) -> ProbeTarget {
    ProbeTarget::Tcp(HostPort::new(&address.to_string()).unwrap())
}

async fn of(reply: Reply) -> Report {
    let server = Server::start([reply]).await;
    let report = asker(&http_target(&server)).ask().await;
    assert!(report.result.begun <= report.result.ended);
    report
}

#[tokio::test]
async fn whoever_sends_a_whole_head_below_500_serves() {
    for status in [200, 204, 301, 401, 404, 429, 499] {
        let report = of(Reply::Close(answer(status, "location: http://127.0.0.1:1/\r\n", ""))).await;
        assert_eq!(report.result.outcome, ProbeOutcome::Answered, "{status}: {}", report.detail);
    }
    for status in [500, 502, 503, 599] {
        let report = of(Reply::Close(answer(status, "", ""))).await;
        assert_eq!(report.result.outcome, ProbeOutcome::Failed, "{status}");
        assert!(report.detail.contains(&status.to_string()), "{}", report.detail);
    }
}

#[tokio::test]
async fn the_body_is_not_waited_for_however_long_it_is() {
    let head = "HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n".to_owned();
    let server = Server::start([Reply::Flood(head, 1 << 30)]).await;
    let report = asker(&http_target(&server)).ask().await;
    assert_eq!(report.result.outcome, ProbeOutcome::Answered);
    let flooded = server.wait_for(|seen| seen.flooded.is_some()).await.flooded;
    assert!(flooded < Some(1 << 28), "the connection was dropped, after {flooded:?} bytes");
}

#[tokio::test]
async fn silence_a_head_without_end_garbage_and_a_reset_are_failures() {
    for reply in [
        Reply::Silence,
        Reply::Drip("HTTP/1.1 200 OK\r\nx: ".to_owned()),
        Reply::Close("hello\r\n\r\n".to_owned()),
        Reply::Close(String::new()),
        Reply::Reset,
    ] {
        let report = of(reply.clone()).await;
        assert_eq!(report.result.outcome, ProbeOutcome::Failed, "{reply:?}: {}", report.detail);
        assert!(!report.detail.is_empty() && !report.detail.contains('\n'), "{}", report.detail);
    }
}

#[tokio::test]
async fn each_probe_has_a_connection_of_its_own() {
    let server = Server::start([Reply::Keep(answer(200, "", ""))]).await;
    let asker = asker(&http_target(&server));
    for _ in 0..3 {
        assert_eq!(asker.ask().await.result.outcome, ProbeOutcome::Answered);
    }
    assert_eq!(server.seen().connections, 3);
    let request = &server.seen().requests[0];
    assert!(request.starts_with("GET /health HTTP/1.1\r\n"), "{request}");
}

#[tokio::test]
async fn tcp_needs_a_connection_and_no_more() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let asker = asker(&tcp_target(address));
    assert_eq!(asker.ask().await.result.outcome, ProbeOutcome::Answered);
    drop(listener);
    let refused = asker.ask().await;
    assert_eq!(refused.result.outcome, ProbeOutcome::Failed);
    assert!(refused.detail.contains("refused"), "{}", refused.detail);
}

#[tokio::test]
async fn a_name_without_an_address_is_no_word_about_the_service() {
    let target = ProbeTarget::Tcp(HostPort::new("probe.invalid:80").unwrap());
    let report = asker(&target).ask().await;
    assert_eq!(report.result.outcome, ProbeOutcome::CouldNotAsk, "{}", report.detail);
    assert!(report.detail.contains("probe.invalid"), "{}", report.detail);
}

#[test]
fn what_this_host_lacks_is_no_word_about_the_service() {
    for (errno, outcome) in [
        (nix::libc::EMFILE, ProbeOutcome::CouldNotAsk),
        (nix::libc::EADDRNOTAVAIL, ProbeOutcome::CouldNotAsk),
        (nix::libc::ECONNREFUSED, ProbeOutcome::Failed),
        (nix::libc::EHOSTUNREACH, ProbeOutcome::Failed),
        (nix::libc::ECONNRESET, ProbeOutcome::Failed),
    ] {
        assert_eq!(outcome_of(&io::Error::from_raw_os_error(errno)), outcome, "{errno}");
    }
}

/// Starts the task against `server`, with an hour between two probes at rest.
fn start_at_rest(server: &Server) -> (watch::Sender<bool>, mpsc::Receiver<Report>, Running) {
    let (wanted, wishes) = watch::channel(false);
    let (reports, reported) = mpsc::channel(REPORTS);
    let hour = Duration::from_secs(3_600);
    let running = asker(&http_target(server)).start(hour, wishes, reports);
    (wanted, reported, running)
}

#[tokio::test]
async fn one_at_the_start_then_none_until_they_are_wanted_and_then_again_and_again() {
    let server = Server::start([Reply::Close(answer(200, "", ""))]).await;
    let (wanted, mut reported, _running) = start_at_rest(&server);
    assert_eq!(reported.recv().await.unwrap().result.outcome, ProbeOutcome::Answered);
    wanted.send(true).unwrap();
    let first = reported.recv().await.unwrap();
    for _ in 0..3 {
        let next = reported.recv().await.unwrap();
        assert!(next.result.begun > first.result.begun);
    }
    assert!(server.seen().connections >= 5);
}

/// Probes that hang do not keep the next ones from being begun: one after the other these would take 16 s.
#[tokio::test]
async fn they_overlap() {
    let server = Server::start([Reply::Silence]).await;
    let settings = Probe { target: http_target(&server), timeout: *Probe::TIMEOUTS.end() };
    let (_wanted, wishes) = watch::channel(true);
    let (reports, _reported) = mpsc::channel(REPORTS);
    let running = Prober::new(&settings, None, Resolver::default()).unwrap().start(AGAIN, wishes, reports);
    server.wait_for(|seen| seen.requests.len() >= IN_FLIGHT as usize).await;
    drop(running);
}

#[tokio::test]
async fn dropped_it_ends() {
    let server = Server::start([Reply::Silence]).await;
    let (_wanted, mut reported, running) = start_at_rest(&server);
    drop(running);
    assert!(reported.recv().await.is_none());
}
