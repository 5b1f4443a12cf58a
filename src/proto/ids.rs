//! The names and numbers of the protocol: newtypes with total orders.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Why a text is no name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a name: 1 to 63 of a-z, A-Z, 0-9, '.', '_' and '-', beginning with a letter or digit")]
pub struct NameError {
    text: String,
}

fn checked_name(text: &str) -> Result<Arc<str>, NameError> {
    let fits = (1..=63).contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
    if fits { Ok(Arc::from(text)) } else { Err(NameError { text: text.chars().take(80).collect() }) }
}

/// The first eight bytes of SHA-256 of a kind and a name: what stands for a name on the wire.
fn wire_hash(kind: &str, name: &str) -> u64 {
    let digest = Sha256::new().chain_update(kind).chain_update([0]).chain_update(name).finalize();
    digest.iter().take(8).fold(0, |sum, byte| sum << 8 | u64::from(*byte))
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// A checked name.
            ///
            /// # Errors
            /// The text is empty, longer than 63 bytes or has a letter that no name may have.
            pub fn new(text: &str) -> Result<Self, NameError> {
                checked_name(text).map(Self)
            }

            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}", self.0)
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;

            fn try_from(text: String) -> Result<Self, NameError> {
                Self::new(&text)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0.as_ref().to_owned()
            }
        }
    };
}

name! {
    /// One agent on one host.
    NodeName
}

name! {
    /// Nodes that compete together for the same claims.
    #[doc(alias = "virtual router")]
    GroupName
}

name! {
    /// One check of a group; no two of a group have one name.
    CheckName
}

impl NodeName {
    /// What stands for this name on the wire.
    #[must_use]
    pub fn id(&self) -> NodeId {
        NodeId(wire_hash("node", &self.0))
    }
}

impl GroupName {
    /// What stands for this name on the wire.
    #[must_use]
    pub fn id(&self) -> GroupId {
        GroupId(wire_hash("group", &self.0))
    }
}

macro_rules! number {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub u64);

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}", self.0)
            }
        }
    };
}

number! {
    /// A node's name on the wire: a hash, so that two nodes of one name are noticed.
    NodeId
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

number! {
    /// A group's name on the wire.
    GroupId
}

number! {
    /// One run of an agent: random, new at each start of the process.
    BootId
}

number! {
    /// The number of a datagram within one [`BootId`] towards one peer, from 1.
    Seq
}

impl Seq {
    /// The next number. 2^64 datagrams are not sent in one run.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

number! {
    /// A counter that each takeover raises to the highest seen plus one; it orders masters.
    Term
}

impl Term {
    /// The term of a takeover when `self` is the highest seen.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

number! {
    /// The provider's number of a droplet.
    DropletId
}

impl fmt::Display for DropletId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// How much a node wants to be master, 1 to 254 (RFC 9568, section 5.2.4; 0 and
/// 255 have meanings of their own there and are no priorities here).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "i64", into = "u8")]
pub struct Priority(u8);

impl Priority {
    /// What a node has if nobody says otherwise, as in RFC 9568.
    pub const DEFAULT: Self = Self(100);

    /// A priority, if `value` is one.
    #[must_use]
    pub fn new(value: i64) -> Option<Self> {
        u8::try_from(value).ok().filter(|v| (1..=254).contains(v)).map(Self)
    }

    /// The priority after weights, kept within 1 to 254: a weight never makes a
    /// node "no candidate", only a failed check without weight does.
    #[must_use]
    pub fn weighted(self, weight: i32) -> Self {
        let sum = i32::from(self.0).saturating_add(weight).clamp(1, 254);
        Self(u8::try_from(sum).unwrap_or(self.0))
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u8 {
        self.0
    }
}

/// The text is no priority.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} is not a priority: a whole number from 1 to 254")]
pub struct PriorityError(i64);

impl TryFrom<i64> for Priority {
    type Error = PriorityError;

    fn try_from(value: i64) -> Result<Self, PriorityError> {
        Self::new(value).ok_or(PriorityError(value))
    }
}

impl From<Priority> for u8 {
    fn from(priority: Priority) -> Self {
        priority.0
    }
}

impl fmt::Debug for Priority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl fmt::Display for Priority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// The place among candidates; 0 is best.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rank(pub u8);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_what_a_host_name_may_be() {
        for good in ["a", "web-1", "web_1.example.com", "7"] {
            assert_eq!(NodeName::new(good).unwrap().as_str(), good);
        }
        for bad in ["", "-a", ".a", "a b", "a\n", "ä", &"x".repeat(64)] {
            assert!(NodeName::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_node_and_a_group_of_one_name_differ_on_the_wire() {
        assert_ne!(NodeName::new("web").unwrap().id().0, GroupName::new("web").unwrap().id().0);
    }

    #[test]
    fn weights_never_leave_the_range() {
        let p = Priority::new(100).unwrap();
        assert_eq!((p.weighted(-200).get(), p.weighted(-20).get(), p.weighted(i32::MAX).get()), (1, 80, 254));
        assert!(Priority::new(0).is_none() && Priority::new(255).is_none() && Priority::new(-1).is_none());
    }
}
