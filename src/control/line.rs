//! How both ends of the control socket read: a line at a time, of a bounded length.

use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt};

/// Why there is no line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cut {
    /// It is longer than it may be.
    TooLong,
    /// The other side ended or broke off before the line did.
    Ended,
}

/// A line with its end, of at most `most` bytes. No more than these are ever kept.
pub(super) async fn read_line(read: &mut (impl AsyncBufRead + Unpin), most: usize) -> Result<Vec<u8>, Cut> {
    let mut line = Vec::new();
    match read.take(most as u64).read_until(b'\n', &mut line).await {
        Ok(_) if line.last() == Some(&b'\n') => Ok(line),
        Ok(_) if line.len() >= most => Err(Cut::TooLong),
        Ok(_) | Err(_) => Err(Cut::Ended),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_line_has_its_end_and_its_bound() {
        let read = async |text: &'static str| read_line(&mut text.as_bytes(), 4).await;
        assert_eq!(read("abc\nd").await, Ok(b"abc\n".to_vec()));
        assert_eq!(read("abcd\n").await, Err(Cut::TooLong));
        assert_eq!(read("abc").await, Err(Cut::Ended));
        assert_eq!(read("").await, Err(Cut::Ended));
    }

    #[tokio::test]
    async fn an_endless_line_comes_to_an_end() {
        let mut endless = tokio::io::BufReader::new(tokio::io::repeat(b'x'));
        assert_eq!(read_line(&mut endless, 100_000).await, Err(Cut::TooLong));
    }
}
