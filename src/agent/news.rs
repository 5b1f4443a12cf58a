//! The heart's news, for tasks to wait for: the heart itself knows nothing of tokio.

use std::io;
use std::sync::mpsc::{Receiver, TryRecvError};

use tokio::net::UnixStream;

use crate::heart::{self, FromHeart};

/// The receiving end of the heart's news.
#[derive(Debug)]
pub(super) struct News {
    ring: Receiver<FromHeart>,
    knock: UnixStream,
}

impl News {
    /// To be called within the runtime that reads them.
    ///
    /// # Errors
    /// The runtime cannot watch one more descriptor.
    pub(super) fn new(news: heart::News) -> io::Result<Self> {
        Ok(Self { ring: news.ring, knock: UnixStream::from_std(news.knock)? })
    }

    /// The next news; `None` once the heart is gone. Cancel safe.
    pub(super) async fn next(&mut self) -> Option<FromHeart> {
        loop {
            match self.ring.try_recv() {
                Ok(news) => return Some(news),
                Err(TryRecvError::Disconnected) => return None,
                Err(TryRecvError::Empty) => {}
            }
            self.knock.readable().await.ok()?;
            while matches!(self.knock.try_read(&mut [0; 64]), Ok(1..)) {}
            // What was sent between the empty look and this is found by the next look.
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::heart::channels;

    #[tokio::test]
    async fn a_task_is_woken_for_what_comes_while_it_waits_and_for_the_end() {
        let (_sender, news, mut heart) = channels().unwrap();
        let mut news = News::new(news).unwrap();
        for _ in 0..3 {
            let (heard, ()) = tokio::join!(news.next(), async {
                heart.tell(FromHeart::Stopped);
                heart.finish_turn();
            });
            assert!(matches!(heard, Some(FromHeart::Stopped)));
        }
        let (heard, ()) = tokio::join!(news.next(), async { drop(heart) });
        assert!(heard.is_none());
    }
}
