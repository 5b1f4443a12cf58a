//! The reserved IP as clients see it: a loopback listener that forwards TCP to the present holder.
//!
//! A move cuts the connections that are open, as in the real network. Where nobody holds the
//! address, where the holder is off or where nothing listens there, a connection is reset.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::lab::{Lab, Routes, Traffic};
use crate::http;

/// Open connections per address.
const MAX_CONNECTIONS: usize = 256;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Forwards until the task is dropped.
pub(crate) async fn serve(lab: Arc<Lab>, ip: Ipv4Addr, listener: TcpListener) {
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        match listener.accept().await {
            Ok(_) if connections.len() >= MAX_CONNECTIONS => {}
            Ok((client, _)) => {
                connections.spawn(forward(Arc::clone(&lab), ip, client));
            }
            Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
        }
    }
}

async fn forward(lab: Arc<Lab>, ip: Ipv4Addr, mut client: TcpStream) {
    let count = |what: fn(&mut Traffic) -> &mut u64| {
        lab.with(|inner, _| *what(inner.traffic.entry(ip).or_default()) += 1);
    };
    let mut routes = lab.routes();
    let Some((service, mut server)) = connect(&mut routes, ip).await else {
        count(|traffic| &mut traffic.refused);
        return http::reset(client);
    };
    count(|traffic| &mut traffic.forwarded);
    let moved = async {
        // What this returns is a lock on the routes: let it go before the lab is asked for anything.
        let _ = routes.wait_for(|routes| routes.get(&ip).copied().flatten() != Some(service)).await;
    };
    tokio::select! {
        _ = copy_bidirectional(&mut client, &mut server) => {}
        () = moved => {
            count(|traffic| &mut traffic.cut_by_moves);
            http::reset(client);
            http::reset(server);
        }
    }
}

async fn connect(routes: &mut watch::Receiver<Routes>, ip: Ipv4Addr) -> Option<(SocketAddr, TcpStream)> {
    let service = routes.borrow_and_update().get(&ip).copied().flatten()?;
    let connected = tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(service)).await;
    Some((service, connected.ok()?.ok()?))
}
