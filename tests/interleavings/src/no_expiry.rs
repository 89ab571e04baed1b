//! No thread that ends idle transfers: the checkers have no clock. Scenarios expire by hand.

use std::io;
use std::time::Duration;

use super::receiver::Shared;
use super::storage::Storage;
use super::sync::Arc;

#[derive(Debug)]
pub(super) struct Expiry;

impl Expiry {
    pub(super) fn start<S: Storage + Clone, A>(_: &Arc<Shared<S, A>>, _: Duration) -> io::Result<Self> {
        Ok(Self)
    }
}
