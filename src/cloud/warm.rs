//! A connection that is opened before it is needed, without a request on it.
//!
//! reqwest opens connections only for requests. So a client of its own "sends" a
//! request whose connector opens the connection (DNS, TCP, TLS), puts it on a
//! [`Shelf`] and then fails: nothing is written on it. The working client's
//! connector looks on the shelf before it opens one itself. The shelf has
//! one place, and what was closed meanwhile or is older than [`KEPT`] is not used.

use std::any::Any;
use std::future::Future;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use hyper::rt::{Read, ReadBuf};
use tower_layer::Layer;
use tower_service::Service;

use crate::proto::time::{Duration, Time};
use crate::sys::clock;

/// How long an unused connection is trusted. Whatever stands in between (NAT,
/// load balancer) forgets idle connections after minutes, and says nothing.
pub(super) const KEPT: Duration = Duration::from_secs(50);

type BoxError = Box<dyn std::error::Error + Send + Sync>;
type Connecting<T> = Pin<Box<dyn Future<Output = Result<T, BoxError>> + Send>>;

struct Shelved {
    /// reqwest's own connection type, which has no public name.
    connection: Box<dyn Any + Send>,
    since: Time,
    is_alive: fn(&mut (dyn Any + Send)) -> bool,
}

/// The place for one connection.
#[derive(Clone, Default)]
pub(super) struct Shelf(Arc<Mutex<Option<Shelved>>>);

impl Shelf {
    fn put<T: Read + Unpin + Send + 'static>(&self, connection: T) {
        let shelved = Shelved { connection: Box::new(connection), since: clock::now(), is_alive: is_alive::<T> };
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(shelved);
    }

    /// Whether a usable connection is there; clears away one that is not.
    pub(super) fn is_filled(&self) -> bool {
        let mut place = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let usable = place.as_mut().is_some_and(|shelved| {
            clock::now().since(shelved.since) < KEPT && (shelved.is_alive)(shelved.connection.as_mut())
        });
        if !usable {
            *place = None;
        }
        usable
    }

    fn take<T: 'static>(&self) -> Option<T> {
        if !self.is_filled() {
            return None;
        }
        let shelved = self.0.lock().unwrap_or_else(PoisonError::into_inner).take()?;
        shelved.connection.downcast().ok().map(|connection| *connection)
    }
}

/// Whether the peer has neither closed the connection nor said anything: nobody
/// asked it yet, so a byte would be as wrong as the end.
fn is_alive<T: Read + Unpin + 'static>(connection: &mut (dyn Any + Send)) -> bool {
    let Some(connection) = connection.downcast_mut::<T>() else { return false };
    let mut byte = [MaybeUninit::uninit(); 1];
    let mut buffer = ReadBuf::uninit(&mut byte);
    // Whoever uses the connection later registers a waker of his own.
    Pin::new(connection).poll_read(&mut Context::from_waker(Waker::noop()), buffer.unfilled()).is_pending()
}

/// How the warming client's request ends when all went well.
#[derive(Debug, thiserror::Error)]
#[error("the connection is kept for later")]
pub(super) struct Kept;

/// What a client does with the shelf; the layer of its connector.
#[derive(Clone)]
pub(super) enum Use {
    /// The warming client's: put the connection there, send nothing.
    Keep(Shelf),
    /// The working client's: take what is kept before a connection is opened.
    Take(Shelf),
}

impl<S> Layer<S> for Use {
    type Service = Connector<S>;

    fn layer(&self, inner: S) -> Connector<S> {
        Connector { inner, shelving: self.clone() }
    }
}

/// reqwest's connector, with the shelf before or behind it.
#[derive(Clone)]
pub(super) struct Connector<S> {
    inner: S,
    shelving: Use,
}

impl<S, R> Service<R> for Connector<S>
where
    S: Service<R, Error = BoxError>,
    S::Response: Read + Unpin + Send + 'static,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = Connecting<S::Response>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, destination: R) -> Self::Future {
        match &self.shelving {
            Use::Keep(shelf) => {
                let (connecting, shelf) = (self.inner.call(destination), shelf.clone());
                Box::pin(async move {
                    shelf.put(connecting.await?);
                    Err(Kept.into())
                })
            }
            Use::Take(shelf) => match shelf.take() {
                Some(connection) => Box::pin(std::future::ready(Ok(connection))),
                None => Box::pin(self.inner.call(destination)),
            },
        }
    }
}
