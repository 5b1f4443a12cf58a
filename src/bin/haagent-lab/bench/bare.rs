//! The least that a program could do for the same end: what haagent's figures are measured against.
//!
//! Each is a process of its own, with one thread that waits in the kernel: no runtime, no parser, no
//! security, no second thought. They end when standard input closes.

use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::time::TimeSpec;
use serde_json::json;

use crate::clock::Clock;

pub(crate) const HEARTBEAT: &str = "bare-heartbeat";
pub(crate) const STOP: &str = "bare-stop";
pub(crate) const CONTAINER: &str = "bare-container";

/// As long as the heartbeat of a backup that follows a master, in one group.
const DATAGRAM: [u8; 115] = [0; 115];
/// The most that is read of the engine's events: a few containers' deaths.
const EVENT_BYTES: usize = 64 * 1024;

/// Does what the program's arguments ask for, if that is one of these. `haagent-lab` asks this before
/// anything else: its own weight is no part of a floor.
pub(crate) fn asked() -> Option<io::Result<()>> {
    let mut arguments = std::env::args_os().skip(1);
    let what = arguments.next()?.into_string().ok()?;
    Some(match what.as_str() {
        HEARTBEAT => heartbeat(arguments),
        STOP => stop(arguments),
        CONTAINER => container(arguments),
        _ => return None,
    })
}

/// `LISTEN PEER INTERVAL_MS`: sends a datagram each interval, and takes what comes.
fn heartbeat(mut arguments: impl Iterator<Item = OsString>) -> io::Result<()> {
    let (listen, peer): (SocketAddr, SocketAddr) = (next(&mut arguments)?, next(&mut arguments)?);
    let interval = Duration::from_millis(next(&mut arguments)?);
    let socket = UdpSocket::bind(listen)?;
    socket.set_nonblocking(true)?;
    announce(None)?;
    let (clock, stdin, mut due) = (Clock::start(), io::stdin(), Duration::ZERO);
    let mut space = [0; 2048];
    loop {
        if clock.now() >= due {
            // The peer may not be there yet, or any more.
            let _ = socket.send_to(&DATAGRAM, peer);
            due += interval;
        }
        let mut both = [PollFd::new(socket.as_fd(), PollFlags::POLLIN), PollFd::new(stdin.as_fd(), PollFlags::POLLIN)];
        ppoll(&mut both, Some(TimeSpec::from(due.saturating_sub(clock.now()))), None)?;
        if both[1].any() == Some(true) {
            return Ok(());
        }
        let _ = socket.recv_from(&mut space);
    }
}

/// `API`: waits for the end of a process, then asks for the address on a connection that is open already.
#[allow(clippy::disallowed_methods, reason = "a lab tool: the child only waits, and ends with standard input")]
fn stop(mut arguments: impl Iterator<Item = OsString>) -> io::Result<()> {
    let warm = Assign::ready(next(&mut arguments)?)?;
    let mut child = Command::new("cat").stdin(Stdio::inherit()).stdout(Stdio::null()).spawn()?;
    announce(Some(child.id()))?;
    child.wait()?;
    warm.send()
}

/// `ENGINE API AGAIN_MS`: waits for the death of a container, looks again after AGAIN_MS if that is
/// not 0, then asks for the address on a connection that is open already.
fn container(mut arguments: impl Iterator<Item = OsString>) -> io::Result<()> {
    let engine: String = next(&mut arguments)?;
    let warm = Assign::ready(next(&mut arguments)?)?;
    let again = Duration::from_millis(next(&mut arguments)?);
    let mut events = UnixStream::connect(&engine)?;
    events.write_all(b"GET /events HTTP/1.1\r\nHost: docker\r\n\r\n")?;
    read_until(&mut events, b"\r\n\r\n")?;
    announce(None)?;
    read_until(&mut events, b"\"die\"")?;
    if !again.is_zero() {
        ppoll(&mut [], Some(TimeSpec::from(again)), None)?;
        let mut look = UnixStream::connect(&engine)?;
        look.write_all(b"GET /containers/json HTTP/1.1\r\nHost: docker\r\nConnection: close\r\n\r\n")?;
        look.read_to_end(&mut Vec::new())?;
    }
    warm.send()
}

/// A request to assign that only needs to be written.
struct Assign(TcpStream);

impl Assign {
    fn ready(api: SocketAddr) -> io::Result<Self> {
        let connection = TcpStream::connect(api)?;
        connection.set_nodelay(true)?;
        Ok(Self(connection))
    }

    /// Sends it, and waits until standard input closes.
    fn send(mut self) -> io::Result<()> {
        let body = json!({"type": "assign", "droplet_id": 400_000_002}).to_string();
        let request = format!(
            "POST /v2/reserved_ips/{}/actions HTTP/1.1\r\nHost: lab\r\nAuthorization: Bearer dop_v1_lab\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            crate::stage::RESERVED_IP,
            body.len()
        );
        self.0.write_all(request.as_bytes())?;
        io::copy(&mut io::stdin(), &mut io::sink()).map(drop)
    }
}

fn next<T: std::str::FromStr>(arguments: &mut impl Iterator<Item = OsString>) -> io::Result<T> {
    let text = arguments.next().and_then(|argument| argument.into_string().ok());
    text.and_then(|text| text.parse().ok()).ok_or_else(|| io::ErrorKind::InvalidInput.into())
}

/// The ready line of the lab's servers.
fn announce(child: Option<u32>) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{}", json!({"ready": true, "child": child}))?;
    out.flush()
}

fn read_until(stream: &mut impl Read, end: &[u8]) -> io::Result<()> {
    let (mut seen, mut space) = (Vec::new(), [0; 4096]);
    while seen.len() < EVENT_BYTES {
        match stream.read(&mut space)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => seen.extend_from_slice(&space[..read]),
        }
        if seen.windows(end.len()).any(|window| window == end) {
            return Ok(());
        }
    }
    Err(io::ErrorKind::OutOfMemory.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_looked_for_is_found_across_two_reads_and_the_end_is_no_finding() {
        let mut halves = (&b"{\"Action\":\"di"[..]).chain(&b"e\"}"[..]);
        assert!(read_until(&mut halves, b"\"die\"").is_ok());
        assert!(read_until(&mut &b"{\"Action\":\"start\"}"[..], b"\"die\"").is_err());
        assert!(read_until(&mut io::repeat(b'x'), b"\"die\"").is_err(), "bounded");
    }
}
