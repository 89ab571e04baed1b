//! Names of databases and clusters.
//!
//! Guarantees: a `DatabaseId` that exists is safe as one component of a file name, because
//! only the check here constructs it (SR-ADM-001, SR-SEC-001). Refuses to know: what a file
//! name is made of it, or where that file lies.

use alloc::sync::Arc;
use core::fmt::{self, Debug};
use core::hash::Hash;

/// The text of an id: shared, so that an envelope can be checked, kept and compared
/// without an allocation per chunk.
pub type Text = Arc<str>;

/// Longest id, in bytes (SR-ADM-001). With the longest suffix it stays within the 255 bytes
/// that common file systems allow for a name.
pub const ID_BYTES_MAX: usize = 200;

/// What an id may be made of: [`Text`] in a receiver, a byte in a model whose states hold no
/// heap memory.
pub trait Symbol: Clone + Debug + Eq + Hash {}
impl<T: Clone + Debug + Eq + Hash> Symbol for T {}

/// A validated database id: 1 to 200 bytes of `A-Z a-z 0-9 . _ -`, not starting with `.`
/// (SR-ADM-001).
///
/// ```
/// use snapshot_receiver::protocol::DatabaseId;
/// assert!(DatabaseId::new("db_01").is_ok());
/// assert!(DatabaseId::new("../../evil").is_err());
/// ```
///
/// Two ids that differ only in case are two databases, but on a file system that folds case
/// they share a file name: do not use such a pair there.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DatabaseId<T = Text>(T);

/// A validated cluster id: 1 to 200 bytes of UTF-8 (SR-ADM-001). It never becomes part of a
/// path.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClusterId<T = Text>(T);

/// Why an id is not valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum InvalidId {
    /// It has no bytes.
    #[error("it is empty")]
    Empty,
    /// It has more than [`ID_BYTES_MAX`] bytes.
    #[error("it has {bytes} bytes, more than {ID_BYTES_MAX}")]
    TooLong {
        /// Its length in bytes.
        bytes: usize,
    },
    /// It starts with a dot; such names are the receiver's own.
    #[error("it starts with a dot")]
    LeadingDot,
    /// It has a byte outside `A-Z a-z 0-9 . _ -`.
    #[error("byte {byte:#04x} at index {index} is none of A-Z a-z 0-9 . _ -")]
    ForbiddenByte {
        /// Where, in bytes from 0.
        index: usize,
        /// The byte.
        byte: u8,
    },
}

fn check_length(text: &str) -> Result<(), InvalidId> {
    match text.len() {
        0 => Err(InvalidId::Empty),
        1..=ID_BYTES_MAX => Ok(()),
        bytes => Err(InvalidId::TooLong { bytes }),
    }
}

impl DatabaseId<Text> {
    /// Checks a database id.
    ///
    /// # Errors
    /// [`InvalidId`] names the first rule broken.
    pub fn new(text: impl Into<Text>) -> Result<Self, InvalidId> {
        let text = text.into();
        check_length(&text)?;
        if text.starts_with('.') {
            return Err(InvalidId::LeadingDot);
        }
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        match text.bytes().position(|byte| !allowed(byte)) {
            None => Ok(Self(text)),
            Some(index) => Err(InvalidId::ForbiddenByte {
                index,
                byte: text.as_bytes()[index],
            }),
        }
    }
}

impl ClusterId<Text> {
    /// Checks a cluster id.
    ///
    /// # Errors
    /// [`InvalidId`]: empty or too long.
    pub fn new(text: impl Into<Text>) -> Result<Self, InvalidId> {
        let text = text.into();
        check_length(&text)?;
        Ok(Self(text))
    }
}

impl<T: AsRef<str>> DatabaseId<T> {
    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_ref()
    }
}

impl<T: AsRef<str>> ClusterId<T> {
    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_ref()
    }
}

impl DatabaseId<u8> {
    /// A database of a model, where every byte is a valid id.
    #[must_use]
    pub const fn numbered(number: u8) -> Self {
        Self(number)
    }

    /// The number given to [`numbered`](Self::numbered).
    #[must_use]
    pub const fn number(&self) -> u8 {
        self.0
    }
}

impl ClusterId<u8> {
    /// A cluster of a model, where every byte is a valid id.
    #[must_use]
    pub const fn numbered(number: u8) -> Self {
        Self(number)
    }

    /// The number given to [`numbered`](Self::numbered).
    #[must_use]
    pub const fn number(&self) -> u8 {
        self.0
    }
}

impl<T: fmt::Display> fmt::Display for DatabaseId<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<T: fmt::Display> fmt::Display for ClusterId<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
