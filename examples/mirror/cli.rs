//! The command line.
//!
//! Guarantees: what it accepts is valid by itself. Refuses to know: the file; whether a fault lies
//! within it is checked once its length is known.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::{Args, Parser, Subcommand};
use snapshot_receiver::protocol::{CHUNK_BYTES_MAX, ClusterId, DatabaseId};

/// Mirror a file into DATA_DIR/recv_snapshots, over a TCP connection and through a snapshot receiver.
///
/// `mirror FILE DATA_DIR` runs both sides in one process, over loopback. `mirror receive` and
/// `mirror send` run one side each.
#[derive(Parser)]
#[command(
    name = "mirror",
    version,
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    arg_required_else_help = true,
    after_help = "Exit codes: 0 committed, 2 usage, 1 anything else."
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    #[command(flatten)]
    pub(crate) mirror: MirrorArgs,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Receive snapshots into DATA_DIR; the first line on stdout is the address listened on
    Receive(ReceiveArgs),
    /// Send FILE to a receiver
    Send(SendArgs),
}

#[derive(Args)]
pub(crate) struct MirrorArgs {
    // Required, but for the subcommands: hence the `Option`s.
    /// The file to mirror
    #[arg(required = true)]
    pub(crate) file: Option<PathBuf>,
    /// Where the receiver keeps its files; made if it is missing
    #[arg(required = true)]
    pub(crate) data_dir: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) source: SourceArgs,
    /// Close the receiver once N bytes have arrived, and open a new one on the same DATA_DIR
    #[arg(long, value_name = "N", help_heading = "Faults")]
    pub(crate) restart_at: Option<u64>,
}

#[derive(Args)]
pub(crate) struct SendArgs {
    /// The file to send
    pub(crate) file: PathBuf,
    /// The receiver, as IP:PORT
    pub(crate) address: SocketAddr,
    #[command(flatten)]
    pub(crate) source: SourceArgs,
}

#[derive(Args)]
pub(crate) struct ReceiveArgs {
    /// Where the receiver keeps its files; made if it is missing
    pub(crate) data_dir: PathBuf,
    /// Address to listen on. Nothing is authenticated: whoever reaches it can replace snapshots
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:0")]
    pub(crate) listen: SocketAddr,
    /// End after the first commit, rather than with ctrl-c
    #[arg(long)]
    pub(crate) once: bool,
}

#[derive(Args)]
pub(crate) struct SourceArgs {
    /// Database that the file is a snapshot of [default: the file's stem if it is a valid id, else `snapshot`]
    #[arg(long, value_name = "ID", value_parser = |id: &str| DatabaseId::new(id))]
    pub(crate) database: Option<DatabaseId>,
    /// Cluster that sends
    #[arg(long, value_name = "ID", default_value = "example", value_parser = |id: &str| ClusterId::new(id))]
    pub(crate) cluster: ClusterId,
    /// Log sequence number of the snapshot; a running receiver refuses an older one than it has
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) lsn: u64,
    /// Bytes in a chunk, 1 to 16777216
    #[arg(long, value_name = "N", default_value_t = 1 << 20, value_parser = clap::value_parser!(u64).range(1..=CHUNK_BYTES_MAX))]
    pub(crate) chunk_bytes: u64,
    /// Break the link once, after N bytes of payload
    #[arg(long, value_name = "N", help_heading = "Faults")]
    pub(crate) drop_after: Option<u64>,
    /// Flip a bit of the byte at offset N on the way, until the receiver has noticed
    #[arg(long, value_name = "N", help_heading = "Faults")]
    pub(crate) corrupt_byte: Option<u64>,
}

impl SourceArgs {
    /// The database asked for, or one that the file's name suggests.
    pub(crate) fn database_or_default(&self, file: &Path) -> DatabaseId {
        let stem = || file.file_stem()?.to_str();
        let of_file = || DatabaseId::new(stem()?).ok();
        let fallback = || DatabaseId::new("snapshot").expect("letters are a valid id");
        self.database.clone().or_else(of_file).unwrap_or_else(fallback)
    }
}
