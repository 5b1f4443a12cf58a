//! How a datagram is guarded: HMAC-SHA256 under a key that all nodes share,
//! checked before anything in the datagram is read.
//!
//! The tag is the last [`TAG_LENGTH`] bytes: the left half of the HMAC, as RFC 4868
//! (HMAC-SHA-256-128) and RFC 2104, section 5, allow; a forger has one chance in 2^128
//! for each try. It covers the [`Route`] and then every byte before the tag. The route
//! is not sent: both ends know it. With it a datagram recorded between two nodes
//! means nothing to a third one, nor to its own sender, though the key is the same
//! and sequence numbers count for each pair of nodes.
//!
//! Without a key (`insecure = true`) the tag is all zero. So a node with a key and
//! one without notice each other as "key differs", not as garbage.

use std::fmt;
use std::net::Ipv4Addr;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::MAX_DATAGRAM;

/// Bytes of the tag at the end of every datagram.
pub const TAG_LENGTH: usize = 16;

/// From whom to whom a datagram goes: the private addresses by which the nodes know each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// The sender's address.
    pub from: Ipv4Addr,
    /// The receiver's address.
    pub to: Ipv4Addr,
}

/// A shared key. It holds the HMAC state with the key already in it, so that a
/// datagram costs no key schedule, and it cannot be printed.
#[derive(Clone)]
pub struct Key(Hmac<Sha256>);

impl Key {
    /// Bytes of a key: no more than SHA-256 gives, no fewer than RFC 2104, section 3, wants.
    pub const LENGTH: usize = 32;

    /// The key with these secret bytes.
    #[must_use]
    pub fn new(secret: &[u8; Self::LENGTH]) -> Self {
        // HMAC pads a short key with zeros to the block length; done here it cannot fail.
        let mut block = hmac::digest::Key::<Hmac<Sha256>>::default();
        for (place, byte) in block.iter_mut().zip(secret) {
            *place = *byte;
        }
        Self(<Hmac<Sha256> as KeyInit>::new(&block))
    }

    fn mac(&self, route: Route, body: &[u8]) -> Hmac<Sha256> {
        let mut mac = self.0.clone();
        mac.update(&route.from.octets());
        mac.update(&route.to.octets());
        mac.update(body);
        mac
    }

    fn tag(&self, route: Route, body: &[u8]) -> [u8; TAG_LENGTH] {
        let whole = self.mac(route, body).finalize().into_bytes();
        let mut tag = [0; TAG_LENGTH];
        for (place, byte) in tag.iter_mut().zip(whole) {
            *place = byte;
        }
        tag
    }

    /// Compares in constant time.
    fn made(&self, route: Route, body: &[u8], tag: &[u8; TAG_LENGTH]) -> bool {
        self.mac(route, body).verify_truncated_left(tag).is_ok()
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(hidden)")
    }
}

/// The keys of a node: it signs with the current one and accepts the old one too,
/// so that a key can be changed on one node after the other.
#[derive(Clone, Debug)]
pub struct Keys {
    /// `None`: keyless, and then `old` is `None` too.
    current: Option<Key>,
    old: Option<Key>,
}

impl Keys {
    /// Signs with `current`, accepts both.
    #[must_use]
    pub const fn new(current: Key, old: Option<Key>) -> Self {
        Self { current: Some(current), old }
    }

    /// `insecure = true`: whoever can reach the port is believed.
    #[must_use]
    pub const fn keyless() -> Self {
        Self { current: None, old: None }
    }

    /// Whether there is no key.
    #[must_use]
    pub const fn is_keyless(&self) -> bool {
        self.current.is_none()
    }

    /// The tag for a datagram with these bytes before it.
    #[must_use]
    pub fn tag(&self, route: Route, body: &[u8]) -> [u8; TAG_LENGTH] {
        self.current.as_ref().map_or([0; TAG_LENGTH], |key| key.tag(route, body))
    }

    /// Checks the tag. Nothing else of the datagram is looked at.
    ///
    /// # Errors
    /// The datagram is shorter than a tag or longer than [`MAX_DATAGRAM`], or no key of this node made its tag.
    pub fn verify<'a>(&self, route: Route, datagram: &'a [u8]) -> Result<Verified<'a>, SealError> {
        if datagram.len() > MAX_DATAGRAM {
            return Err(SealError::TooLong { length: datagram.len() });
        }
        let Some((body, tag)) = datagram.split_last_chunk::<TAG_LENGTH>() else {
            return Err(SealError::TooShort { length: datagram.len() });
        };
        let signed_with = match (&self.current, &self.old) {
            (None, _) if *tag == [0; TAG_LENGTH] => SignedWith::Nothing,
            (Some(current), _) if current.made(route, body, tag) => SignedWith::Current,
            (Some(_), Some(old)) if old.made(route, body, tag) => SignedWith::Old,
            (None, _) | (Some(_), _) => return Err(SealError::WrongKey),
        };
        Ok(Verified { body, signed_with })
    }
}

/// Which key made a tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignedWith {
    /// The current one.
    Current,
    /// The old one: the sender has not changed its key yet.
    Old,
    /// None: both nodes are `insecure`.
    Nothing,
}

/// The bytes of a datagram, tag taken off, that a holder of the key sent along
/// this route. Only [`Keys::verify`] makes one, and only this is ever parsed.
#[derive(Clone, Copy, Debug)]
pub struct Verified<'a> {
    pub(super) body: &'a [u8],
    signed_with: SignedWith,
}

impl Verified<'_> {
    /// Which key made the tag.
    #[must_use]
    pub const fn signed_with(&self) -> SignedWith {
        self.signed_with
    }
}

/// Why a datagram was dropped unread.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// There is no room for a tag.
    #[error("{length} bytes are no heartbeat: not even the tag of {TAG_LENGTH} bytes has room")]
    TooShort { length: usize },
    /// No node sends that much.
    #[error("{length} bytes are no heartbeat: the longest has {MAX_DATAGRAM}")]
    TooLong { length: usize },
    /// Another key (or none where this node has one), another address than the sender believes, or a forgery.
    #[error("the tag was not made with this node's key: compare the key files")]
    WrongKey,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ROUTE: Route = Route { from: Ipv4Addr::new(10, 0, 0, 1), to: Ipv4Addr::new(10, 0, 0, 2) };

    fn key(byte: u8) -> Key {
        Key::new(&[byte; Key::LENGTH])
    }

    fn sealed(keys: &Keys, route: Route, body: &[u8]) -> Vec<u8> {
        [body, &keys.tag(route, body)].concat()
    }

    #[test]
    fn the_tag_is_the_left_half_of_rfc_4231_test_case_1() {
        let mut secret = [0; Key::LENGTH];
        secret[..20].fill(0x0b);
        // "Hi There" is eight bytes, and so is a route.
        let route = Route { from: Ipv4Addr::from(*b"Hi T"), to: Ipv4Addr::from(*b"here") };
        let expected = 0xb034_4c61_d8db_3853_5ca8_afce_af0b_f12b_u128;
        assert_eq!(u128::from_be_bytes(Key::new(&secret).tag(route, b"")), expected);
    }

    #[test]
    fn the_old_key_is_accepted_and_told_apart_but_never_used_to_sign() {
        let before = Keys::new(key(1), None);
        let during = Keys::new(key(2), Some(key(1)));
        let after = Keys::new(key(2), None);
        let with = |keys: &Keys, datagram: &[u8]| keys.verify(ROUTE, datagram).map(|verified| verified.signed_with());
        assert_eq!(with(&during, &sealed(&before, ROUTE, b"beat")), Ok(SignedWith::Old));
        assert_eq!(with(&during, &sealed(&during, ROUTE, b"beat")), Ok(SignedWith::Current));
        assert_eq!(with(&after, &sealed(&during, ROUTE, b"beat")), Ok(SignedWith::Current));
        assert_eq!(with(&before, &sealed(&during, ROUTE, b"beat")), Err(SealError::WrongKey));
    }

    #[test]
    fn a_node_with_a_key_and_one_without_refuse_each_other_as_a_wrong_key() {
        let keyed = Keys::new(key(1), None);
        let keyless = Keys::keyless();
        assert!(matches!(keyed.verify(ROUTE, &sealed(&keyless, ROUTE, b"beat")), Err(SealError::WrongKey)));
        assert!(matches!(keyless.verify(ROUTE, &sealed(&keyed, ROUTE, b"beat")), Err(SealError::WrongKey)));
        let among_keyless = sealed(&keyless, ROUTE, b"beat");
        assert_eq!(keyless.verify(ROUTE, &among_keyless).unwrap().signed_with(), SignedWith::Nothing);
    }

    #[test]
    fn a_datagram_means_nothing_on_another_route() {
        let keys = Keys::new(key(1), None);
        let datagram = sealed(&keys, ROUTE, b"beat");
        let elsewhere = [
            Route { from: ROUTE.to, to: ROUTE.from },
            Route { to: Ipv4Addr::new(10, 0, 0, 3), ..ROUTE },
            Route { from: Ipv4Addr::new(10, 0, 0, 3), ..ROUTE },
        ];
        for route in elsewhere {
            assert_eq!(keys.verify(route, &datagram).unwrap_err(), SealError::WrongKey, "{route:?}");
        }
    }

    #[test]
    fn lengths_that_no_node_sends_are_refused_before_any_hashing() {
        let keys = Keys::new(key(1), None);
        let refused = |length| keys.verify(ROUTE, &vec![0; length]).unwrap_err();
        assert_eq!(refused(TAG_LENGTH - 1), SealError::TooShort { length: TAG_LENGTH - 1 });
        assert_eq!(refused(TAG_LENGTH), SealError::WrongKey);
        assert_eq!(refused(MAX_DATAGRAM), SealError::WrongKey);
        assert_eq!(refused(MAX_DATAGRAM + 1), SealError::TooLong { length: MAX_DATAGRAM + 1 });
    }

    #[test]
    fn keys_do_not_print_themselves() {
        let text = format!("{:?}", Keys::new(key(0xab), Some(key(0xcd))));
        assert_eq!(text, "Keys { current: Some(Key(hidden)), old: Some(Key(hidden)) }");
    }

    proptest! {
        #[test]
        fn any_flipped_bit_and_any_missing_byte_breaks_the_seal(
            body in proptest::collection::vec(any::<u8>(), 0..200),
            place in any::<prop::sample::Index>(),
            bit in 0_u8..8,
        ) {
            let keys = Keys::new(key(7), Some(key(8)));
            let good = sealed(&keys, ROUTE, &body);
            prop_assert_eq!(keys.verify(ROUTE, &good).unwrap().body, &body[..]);
            let mut flipped = good.clone();
            flipped[place.index(good.len())] ^= 1 << bit;
            prop_assert_eq!(keys.verify(ROUTE, &flipped).unwrap_err(), SealError::WrongKey);
            prop_assert!(keys.verify(ROUTE, &good[..place.index(good.len())]).is_err());
        }
    }
}
