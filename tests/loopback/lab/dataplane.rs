//! The service on each node, and a client that reaches it through the reserved IP.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::wait::pause;

/// No answer after this long counts as none: the client tries again.
const PATIENCE: Duration = Duration::from_millis(500);

/// A service that tells its node's name to whoever asks for it, and then keeps the connection. It
/// answers a GET as any web server does.
#[derive(Debug)]
pub struct Service {
    pub address: SocketAddr,
    gone: Arc<AtomicBool>,
}

impl Service {
    pub fn start(name: &str, address: Ipv4Addr) -> Self {
        let listener = TcpListener::bind((address, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let gone = Arc::new(AtomicBool::new(false));
        let (name, is_gone) = (name.to_owned(), Arc::clone(&gone));
        // Not joined: it ends with the test binary, and holds nothing but its port.
        std::thread::spawn(move || {
            let mut kept = Vec::new();
            for mut client in listener.incoming().flatten() {
                let asked = ask_of(&mut client);
                match asked.as_deref() {
                    _ if is_gone.load(Ordering::Relaxed) => {}
                    Some(WHO) if writeln!(client, "{name}").is_ok() => kept.push(client),
                    Some(b"GET") => drop(client.write_all(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n")),
                    Some(_) | None => {}
                }
            }
        });
        Self { address, gone }
    }

    /// Its host is gone: whoever connects hears nothing. What was open stays open, as nobody says otherwise.
    pub fn vanish(&self) {
        self.gone.store(true, Ordering::Relaxed);
    }

    pub fn come_back(&self) {
        self.gone.store(false, Ordering::Relaxed);
    }
}

/// What a client asks for a name with.
const WHO: &[u8] = b"who\n";

/// What is asked: [`WHO`], or the first word of a whole HTTP head.
fn ask_of(client: &mut TcpStream) -> Option<Vec<u8>> {
    client.set_read_timeout(Some(PATIENCE)).ok()?;
    let mut asked = Vec::new();
    while asked != WHO && !asked.ends_with(b"\r\n\r\n") && asked.len() < 4096 {
        let mut byte = [0];
        client.read_exact(&mut byte).ok()?;
        asked.extend(byte);
    }
    if asked != WHO {
        asked.truncate(asked.iter().position(|byte| *byte == b' ')?);
    }
    Some(asked)
}

/// A client that stays connected to the reserved IP. A move cuts its connection, and the next
/// one tells who answers now; so what it heard is every move that a client can notice.
#[derive(Debug)]
pub struct Client {
    heard: Arc<Mutex<Vec<String>>>,
    stop: Arc<AtomicBool>,
}

impl Client {
    pub fn start(reserved_ip: SocketAddr) -> Self {
        let heard = Arc::new(Mutex::new(Vec::new()));
        let stop = Arc::new(AtomicBool::new(false));
        let client = Self { heard: Arc::clone(&heard), stop: Arc::clone(&stop) };
        // Not joined: it ends soon after `stop`, or when the forwarder does.
        std::thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                if stay_connected(reserved_ip, &heard).is_none() {
                    pause();
                }
            }
        });
        client
    }

    /// The services that answered, one for each connection, oldest first.
    pub fn heard(&self) -> Vec<String> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn stay_connected(reserved_ip: SocketAddr, heard: &Mutex<Vec<String>>) -> Option<()> {
    let mut stream = TcpStream::connect_timeout(&reserved_ip, PATIENCE).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    stream.write_all(WHO).ok()?;
    let mut name = Vec::new();
    while name.last() != Some(&b'\n') {
        let mut byte = [0];
        stream.read_exact(&mut byte).ok()?;
        name.extend(byte);
    }
    let name = String::from_utf8_lossy(&name).trim().to_owned();
    heard.lock().unwrap_or_else(PoisonError::into_inner).push(name);
    // Nothing more comes: this ends when the connection is cut.
    stream.set_read_timeout(None).ok()?;
    drop(stream.read(&mut [0]));
    Some(())
}
