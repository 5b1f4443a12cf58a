use std::future::Future;

use tokio::net::UnixListener;

use super::*;
use crate::control::wire::VERSION;

fn status() -> Envelope {
    Envelope { request: Request::Status {}, sudo_user: None }
}

/// What the client makes of a server that does `serve` with its connection.
async fn against<F: Future<Output = ()>>(serve: impl FnOnce(UnixStream) -> F) -> Result<Response, ClientError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s");
    let listener = UnixListener::bind(&path).unwrap();
    let server = async {
        let (stream, _) = listener.accept().await.unwrap();
        serve(stream).await;
    };
    let envelope = status();
    let (answer, ()) = tokio::join!(ask(&path, &envelope, |_| {}), server);
    answer
}

#[tokio::test]
async fn no_agent_is_said_with_the_command_that_starts_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s");
    for _ in 0..2 {
        let error = ask(&path, &status(), |_| {}).await.unwrap_err();
        assert!(matches!(error, ClientError::NotRunning(_)));
        assert!(
            error.to_string().ends_with("to start it: haagent run, or its unit: systemctl start haagent"),
            "{error}"
        );
        // The second time with a socket that a dead agent left.
        drop(std::os::unix::net::UnixListener::bind(&path).ok());
    }
}

#[tokio::test]
async fn an_agent_that_comes_up_is_waited_for_and_one_that_does_not_is_not_waited_for_for_ever() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s");
    assert!(listens_within(&path, LOOK_AGAIN * 3).await >= LOOK_AGAIN * 3);
    assert!(matches!(ask(&path, &status(), |_| {}).await, Err(ClientError::NotRunning(_))));

    // Bound only once the first look has found nobody.
    let waiting = tokio::spawn({
        let path = path.clone();
        async move { listens_within(&path, Duration::from_secs(3600)).await }
    });
    tokio::time::timeout(LOOK_AGAIN * 2, std::future::pending::<()>()).await.unwrap_err();
    assert!(!waiting.is_finished());
    let _listener = UnixListener::bind(&path).unwrap();
    let took = timeout(Duration::from_secs(10), waiting).await.expect("noticed within 10 s").unwrap();
    assert!(took >= LOOK_AGAIN, "{took:?}");
    assert_eq!(listens_within(&path, Duration::from_secs(3600)).await, Duration::ZERO);
}

#[tokio::test]
async fn a_path_that_is_no_socket_is_no_agent() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s");
    std::fs::write(&path, "").unwrap();
    assert!(ask(&path, &status(), |_| {}).await.is_err());
}

#[test]
fn a_missing_right_is_said_with_what_gives_it() {
    let error = ClientError::Permission(PathBuf::from("/run/haagent/haagent.sock"));
    assert_eq!(
        error.to_string(),
        "this user may not open /run/haagent/haagent.sock: use sudo; or be in the group haagent, which must be there when the agent starts"
    );
}

#[tokio::test]
async fn an_agent_that_breaks_off_or_talks_nonsense_is_an_error() {
    let answer = against(|stream| async { drop(stream) }).await;
    assert!(matches!(answer, Err(ClientError::BrokeOff(_))), "{answer:?}");
    for nonsense in ["SSH-2.0-OpenSSH\n", "{}\n", "{\"answer\":\"later\"}\n", "[]\n"] {
        let answer = against(|mut stream| async move { drop(stream.write_all(nonsense.as_bytes()).await) }).await;
        assert!(matches!(answer, Err(ClientError::NoAnswer { .. })), "{nonsense}: {answer:?}");
    }
    let answer = against(|mut stream| async move { drop(stream.write_all(b"{\"answer\":\"done\"").await) }).await;
    assert!(matches!(answer, Err(ClientError::BrokeOff(_))), "{answer:?}");
}

#[tokio::test]
async fn an_endless_answer_is_cut_off() {
    let answer = against(|mut stream| async move {
        let chunk = [b'x'; 65536];
        while stream.write_all(&chunk).await.is_ok() {}
    })
    .await;
    assert!(matches!(answer, Err(ClientError::NoAnswer { cause: None, .. })), "{answer:?}");
}

#[tokio::test]
async fn an_agent_that_hangs_is_given_up() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s");
    // It listens and never accepts.
    let _listener = UnixListener::bind(&path).unwrap();
    let within = Duration::from_millis(20);
    let answer = ask_within(&path, &status(), within, |_| {}).await;
    assert!(matches!(answer, Err(ClientError::Timeout { .. })), "{answer:?}");
}

#[tokio::test]
async fn the_request_is_one_line_of_this_version() {
    let answer = against(|stream| async {
        let mut stream = BufReader::new(stream);
        let line = read_line(&mut stream, 1_000).await.unwrap();
        assert_eq!(line, format!("{{\"request\":\"status\",\"v\":{VERSION}}}\n").as_bytes());
        stream.write_all(b"{\"progress\":\"thinking\"}\n{\"answer\":\"done\",\"message\":\"yes\"}\n").await.unwrap();
    })
    .await;
    assert_eq!(answer.unwrap(), Response::Done { message: "yes".to_owned() });
}
