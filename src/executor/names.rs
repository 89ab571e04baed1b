//! The names of files.
//!
//! Guarantees: a name is made of a validated id and a fixed suffix, so it is one component of a
//! path (SR-SEC-001). Refuses to know: directories, and what is in the files.

use std::path::{Path, PathBuf};

use crate::protocol::DatabaseId;

/// The directory, inside the data directory, that holds partials and snapshots.
pub const RECEIVE_DIRECTORY: &str = "recv_snapshots";

const PARTIAL_SUFFIX: &str = ".partial";
const SNAPSHOT_SUFFIX: &str = ".snapshot";

/// The file name of a database's partial.
#[must_use]
pub fn partial_name(database: &DatabaseId) -> String {
    format!("{database}{PARTIAL_SUFFIX}")
}

/// The file name of a database's snapshot.
#[must_use]
pub fn snapshot_name(database: &DatabaseId) -> String {
    format!("{database}{SNAPSHOT_SUFFIX}")
}

/// The path of a database's snapshot below `data_dir`.
#[must_use]
pub fn snapshot_path(data_dir: &Path, database: &DatabaseId) -> PathBuf {
    data_dir.join(RECEIVE_DIRECTORY).join(snapshot_name(database))
}

/// The database whose partial has this name; `None` for any other name.
pub(super) fn database_of_partial(name: &[u8]) -> Option<DatabaseId> {
    let id = str::from_utf8(name).ok()?.strip_suffix(PARTIAL_SUFFIX)?;
    DatabaseId::new(id).ok()
}
