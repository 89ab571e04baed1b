"""A plain, correct snapshot receiver: only the standard library, correct under failing calls too.

The requirements that it follows are the clauses of SPEC.md. `adapter.py` beside it speaks for it.
"""
import contextlib
import errno
import fcntl
import os
import re
import stat
import types

CHUNK_BYTES_MAX = 1 << 20
SNAPSHOT_BYTES_MAX = 16 << 40
TRANSFERS_MAX = 64
REMEMBERED_MAX = 1024
VALID_ID = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,199}")
U32, U64 = 2**32 - 1, 2**64 - 1
TABLE = []
for crc in range(256):
    for _ in range(8):
        crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    TABLE.append(crc)


def crc32c(crc, data):
    crc ^= U32
    for byte in data:
        crc = TABLE[(crc ^ byte) & 0xFF] ^ crc >> 8
    return crc ^ U32


class Refused(Exception):
    """The receiver's answer, where it is not what was asked for."""


def rejected(reason, resume=0, expected=None, actual=None):
    return Refused({"reply": "rejected", "reason": reason, "resume_offset": resume,
                    "expected": expected, "actual": actual})


@contextlib.contextmanager
def calls(operation):
    """A failing call inside is told as this operation."""
    try:
        yield
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        kind = "full" if full else "other: " + errno.errorcode.get(error.errno, "?")
        raise Refused({"reply": "failed", "operation": operation, "kind": kind}) from error


def open_directory(path):
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)


class Receiver:
    def __init__(self, data_dir):
        self.running = {}   # database: its transfer
        self.latest = {}    # database: cluster, LSN and final chunk of its latest commit
        self.owed = set()   # databases whose partial could not be removed
        receive = os.path.join(data_dir, "recv_snapshots")
        with calls("open"):
            for path in (data_dir, receive):
                with contextlib.suppress(FileExistsError):
                    os.mkdir(path, 0o700)
            self.directory = open_directory(receive)
        try:
            with calls("lock"):
                fcntl.flock(self.directory, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with calls("open"):
                self.sweep()
                for path in (receive, data_dir, os.path.dirname(os.path.abspath(data_dir))):
                    directory = open_directory(path)
                    os.fsync(directory)
                    os.close(directory)
        except Refused:
            os.close(self.directory)
            raise

    def sweep(self):
        for name in os.listdir(self.directory):
            database, suffix = os.path.splitext(name)
            mode = os.stat(name, dir_fd=self.directory, follow_symlinks=False).st_mode
            if suffix == ".partial" and VALID_ID.fullmatch(database):
                if stat.S_ISREG(mode) or stat.S_ISLNK(mode):
                    self.remove(database)
                elif stat.S_ISDIR(mode):
                    self.owed.add(database)

    def remove(self, database):
        """Returns why the partial is still there, if it is; its removal is owed then."""
        try:
            os.unlink(database + ".partial", dir_fd=self.directory)
        except FileNotFoundError:
            pass
        except OSError as error:
            self.owed.add(database)
            return error
        self.owed.discard(database)
        return None

    def end(self, database):
        transfer = self.running.pop(database, None)
        if transfer and transfer.file is not None:
            os.close(transfer.file)

    def chunk(self, envelope):
        database, cluster, lsn, total, declared, offset, data, done = envelope
        if not VALID_ID.fullmatch(database):
            raise rejected("invalid_database_id")
        if not 1 <= len(cluster.encode()) <= 200:
            raise rejected("invalid_cluster_id")
        identity = (cluster, lsn, total, declared)
        running, latest = self.running.get(database), self.latest.get(database)
        resume = running.offset if running and running.identity == identity else 0
        if len(data) > CHUNK_BYTES_MAX:
            raise rejected("chunk_too_large", resume, CHUNK_BYTES_MAX, len(data))
        end = min(offset + len(data), U64)
        overrun = rejected("length_overrun", resume, total, end) if offset + len(data) > total else None
        if offset == 0:
            if total > SNAPSHOT_BYTES_MAX:
                raise rejected("snapshot_too_large", resume, SNAPSHOT_BYTES_MAX, total)
            if overrun:
                raise overrun
            newest = running.identity[1] if running else latest[1] if latest and latest[0] == cluster else 0
            if lsn < newest:
                raise rejected("stale_snapshot", resume, newest, lsn)
            if not running and len(self.running) >= TRANSFERS_MAX:
                raise rejected("too_many_transfers", resume)
        elif not running:
            if done and latest and latest[2] == (identity, offset, len(data)):
                return committed(database, lsn)
            raise rejected("offset_mismatch", 0, 0, offset)
        elif running.identity != identity:
            raise rejected("identity_mismatch")
        elif offset != running.offset:
            raise rejected("offset_mismatch", resume, running.offset, offset)
        elif overrun:
            raise overrun
        try:
            return self.admitted(database, identity, offset, data, done)
        except Refused:
            self.end(database)
            self.remove(database)
            raise

    def admitted(self, database, identity, offset, data, done):
        if offset == 0:
            self.start(database, identity)
        transfer, length = self.running[database], len(data)
        with calls("write"):
            while data:
                written = os.pwrite(transfer.file, data, transfer.offset)
                transfer.crc = crc32c(transfer.crc, data[:written])
                transfer.offset += written
                data = data[written:]
        if not done:
            return {"reply": "pending", "bytes_done": transfer.offset}
        cluster, lsn, total, declared = identity
        if transfer.offset != total:
            raise rejected("length_mismatch", 0, total, transfer.offset)
        if transfer.crc != declared:
            raise rejected("crc_mismatch", 0, declared, transfer.crc)
        self.publish(database, transfer)
        self.end(database)
        self.latest.pop(database, None)
        self.latest[database] = (cluster, lsn, (identity, offset, length) if offset else None)
        if len(self.latest) > REMEMBERED_MAX:
            self.latest.pop(next(iter(self.latest)))
        return committed(database, lsn)

    def start(self, database, identity):
        self.end(database)
        if database in self.latest:  # its final chunk is not answered again
            self.latest[database] = self.latest[database][:2] + (None,)
        transfer = self.running[database] = types.SimpleNamespace(identity=identity, offset=0, crc=0, file=None)
        with calls("create"):
            if error := self.remove(database):
                raise error
            flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
            transfer.file = os.open(database + ".partial", flags, 0o600, dir_fd=self.directory)

    def publish(self, database, transfer):
        partial, snapshot = database + ".partial", database + ".snapshot"
        with calls("sync"):
            os.fsync(transfer.file)
        with calls("publish"):
            named = os.stat(partial, dir_fd=self.directory, follow_symlinks=False)
            if not os.path.samestat(os.fstat(transfer.file), named):
                raise OSError(errno.ESTALE, "another file has the partial's name")
            os.rename(partial, snapshot, src_dir_fd=self.directory, dst_dir_fd=self.directory)
        with calls("sync_directory"):
            os.fsync(self.directory)

    def abort(self, database=None):
        if database is not None and not VALID_ID.fullmatch(database):
            raise rejected("invalid_database_id")
        known = self.running.keys() | self.owed
        for each in known if database is None else known & {database}:
            self.end(each)
            self.remove(each)
        if left := (self.owed if database is None else self.owed & {database}):
            raise Refused({"reply": "failed", "operation": "remove", "kind": "other", "databases": sorted(left)})

    def close(self):
        with contextlib.suppress(Refused):
            self.abort()
        os.close(self.directory)


def committed(database, lsn):
    return {"reply": "committed", "snapshot_lsn": lsn, "path": f"recv_snapshots/{database}.snapshot"}
