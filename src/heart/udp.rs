//! Heartbeat sockets: UDP unicast, one connected socket for each peer.
//!
//! Connected, because then the kernel tells of "port unreachable", drops what comes
//! from anybody else, and no address is looked up for a send. All of them are bound to
//! the node's one address and port.

use std::io::{self, IoSliceMut};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::time::{Duration, SystemTime};

use nix::errno::Errno;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrIn, recvmsg, setsockopt, sockopt};
use nix::sys::time::TimeSpec;
use socket2::{Domain, Protocol, Socket, Type};

use crate::proto::heartbeat::codec::MAX_DATAGRAM;

/// One byte more than the longest heartbeat, so that a longer one is seen to be too long.
pub(super) type Buffer = [u8; MAX_DATAGRAM + 1];

/// Why the heartbeat port cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("cannot open UDP {local} for heartbeats{hint}")]
pub struct OpenError {
    local: SocketAddrV4,
    hint: &'static str,
    #[source]
    source: io::Error,
}

/// What one read gave.
#[derive(Debug)]
pub(super) enum Received {
    /// A datagram of this length, and the kernel's receive stamp if it gave one.
    Datagram { length: usize, stamp: Option<SystemTime> },
    /// The peer's host answered that nobody listens there.
    PortUnreachable,
    /// Nothing is queued.
    Empty,
}

/// The way to one peer.
#[derive(Debug)]
pub(super) struct PeerSocket {
    socket: Socket,
    peer: SocketAddrV4,
}

impl PeerSocket {
    /// Opens the way from `own` to `peer`, both on `port`.
    ///
    /// # Errors
    /// The address is not this host's, the port is taken, or the kernel refuses.
    pub(super) fn open(own: Ipv4Addr, peer: Ipv4Addr, port: u16) -> Result<Self, OpenError> {
        let local = SocketAddrV4::new(own, port);
        let peer = SocketAddrV4::new(peer, port);
        connected(local, peer).map(|socket| Self { socket, peer }).map_err(|source| explain(local, source))
    }

    /// Sends, or drops: a full queue is a lost heartbeat, never a wait. What the
    /// kernel remembers of an earlier send ("port unreachable") comes back here.
    pub(super) fn send(&self, datagram: &[u8]) -> Result<(), io::Error> {
        self.socket.send_with_flags(datagram, libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL).map(drop)
    }

    /// Reads one datagram of this peer. `control` is the caller's memory for the kernel's stamp.
    pub(super) fn receive(&self, buffer: &mut Buffer, control: &mut [u8]) -> Result<Received, io::Error> {
        let mut slices = [IoSliceMut::new(buffer)];
        let flags = MsgFlags::MSG_DONTWAIT;
        let message = match recvmsg::<SockaddrIn>(self.socket.as_raw_fd(), &mut slices, Some(control), flags) {
            Ok(message) => message,
            Err(Errno::EAGAIN) => return Ok(Received::Empty),
            Err(Errno::ECONNREFUSED) => return Ok(Received::PortUnreachable),
            Err(errno) => return Err(errno.into()),
        };
        // What was queued between bind and connect may be somebody else's: an empty
        // datagram is no heartbeat, and is counted as such.
        let own = message.address.is_none_or(|from| from.ip() == *self.peer.ip());
        let length = if own { message.bytes } else { 0 };
        let stamp = message.cmsgs().ok().into_iter().flatten().find_map(|control| match control {
            ControlMessageOwned::ScmTimestampns(stamp) => wall(stamp),
            _ => None,
        });
        Ok(Received::Datagram { length, stamp })
    }
}

impl AsFd for PeerSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Memory for the control messages that [`PeerSocket::receive`] wants.
pub(super) fn control_memory() -> Vec<u8> {
    nix::cmsg_space!(libc::timespec)
}

/// Fails if anybody has the port: the sockets of one agent share it, two agents must not.
pub(super) fn check_free(own: Ipv4Addr, port: u16) -> Result<(), OpenError> {
    let local = SocketAddrV4::new(own, port);
    std::net::UdpSocket::bind(local).map(drop).map_err(|source| explain(local, source))
}

fn connected(local: SocketAddrV4, peer: SocketAddrV4) -> io::Result<Socket> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM.nonblocking().cloexec(), Some(Protocol::UDP))?;
    socket.set_reuse_address(true)?;
    setsockopt(&socket, sockopt::ReceiveTimestampns, &true)?;
    socket.bind(&local.into())?;
    socket.connect(&peer.into())?;
    Ok(socket)
}

fn explain(local: SocketAddrV4, source: io::Error) -> OpenError {
    let hint = match source.kind() {
        io::ErrorKind::AddrInUse => ": another haagent has it; stop that one, or choose another heartbeat.port",
        io::ErrorKind::AddrNotAvailable => {
            ": no interface of this host has that address; compare node.address with `ip address`"
        }
        _ => "",
    };
    OpenError { local, hint, source }
}

fn wall(stamp: TimeSpec) -> Option<SystemTime> {
    SystemTime::UNIX_EPOCH.checked_add(Duration::from(stamp))
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: Ipv4Addr = Ipv4Addr::new(127, 0, 71, 1);
    const PEER: Ipv4Addr = Ipv4Addr::new(127, 0, 71, 2);

    fn free_port() -> u16 {
        std::net::UdpSocket::bind((OWN, 0)).unwrap().local_addr().unwrap().port()
    }

    fn wait(socket: &PeerSocket) {
        let mut fds = [nix::poll::PollFd::new(socket.as_fd(), nix::poll::PollFlags::POLLIN)];
        assert_eq!(nix::poll::poll(&mut fds, 5_000_u16).unwrap(), 1, "nothing within 5 s");
    }

    #[test]
    fn a_datagram_comes_with_the_kernels_stamp_and_a_closed_port_is_told() {
        let port = free_port();
        let here = PeerSocket::open(OWN, PEER, port).unwrap();
        let mut buffer = [0; MAX_DATAGRAM + 1];
        let mut control = control_memory();
        assert!(matches!(here.receive(&mut buffer, &mut control).unwrap(), Received::Empty));
        here.send(b"into the void").unwrap();
        wait(&here);
        assert!(matches!(here.receive(&mut buffer, &mut control).unwrap(), Received::PortUnreachable));
        let there = PeerSocket::open(PEER, OWN, port).unwrap();
        here.send(b"heartbeat").unwrap();
        wait(&there);
        let Received::Datagram { length, stamp } = there.receive(&mut buffer, &mut control).unwrap() else {
            panic!("no datagram");
        };
        assert_eq!(&buffer[..length], b"heartbeat");
        let age = crate::sys::clock::wall().duration_since(stamp.unwrap()).unwrap();
        assert!(age < Duration::from_secs(60), "{age:?}");
    }

    #[test]
    fn a_second_agent_on_the_same_port_is_refused() {
        let port = free_port();
        check_free(OWN, port).unwrap();
        let _one = PeerSocket::open(OWN, PEER, port).unwrap();
        let error = check_free(OWN, port).unwrap_err();
        assert!(error.to_string().contains("another haagent has it"), "{error}");
    }

    #[test]
    fn a_foreign_address_is_told_with_its_mend() {
        let error = PeerSocket::open(Ipv4Addr::new(192, 0, 2, 1), PEER, 17_112).unwrap_err();
        assert!(error.to_string().contains("no interface of this host has that address"), "{error}");
    }
}
