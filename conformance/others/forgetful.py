#!/usr/bin/env python3
"""A correct receiver that shares nothing with the plain one: it forgets every commit at once, opens
its files anew for each chunk and writes through Python's buffers, computes the checksum by reading
the partial back, syncs whole file systems, and has words of its own for every refusal. The kit must
find no fault that MUST not be.
"""
import base64, errno, fcntl, json, os, pathlib, stat, string, sys

LETTERS = set(string.ascii_letters + string.digits + "._-")
LIMIT = 1 << 16


class No(Exception):
    pass


class Broke(Exception):
    pass


def checksum(path):
    c = 0xFFFFFFFF
    with open(path, "rb") as f:
        while block := f.read(1000):
            for b in block:
                c ^= b
                for _ in range(8):
                    c = c >> 1 ^ (0x82F63B78 if c & 1 else 0)
    return c ^ 0xFFFFFFFF


def number(value, bits):
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        raise ValueError("no number")
    if isinstance(value, str) and not (value.isascii() and value.isdigit()):
        raise ValueError("no number")
    value = int(value)
    if value < 0 or value >> bits:
        raise ValueError("too large a number")
    return value


class Store:
    def __init__(self, where):
        self.where = pathlib.Path(where)
        self.names = self.where / "recv_snapshots"
        self.headers = {}
        self.arrived = {}
        self.stuck = set()
        try:
            for p in (self.where, self.names):
                if p.is_symlink() or (p.exists() and not p.is_dir()):
                    raise OSError("no directory: " + str(p))
                if not p.exists():
                    p.mkdir()
            self.lock = open(self.names / ".in-use", "a")
        except OSError as e:
            raise Broke("open", e)
        try:
            fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as e:
            self.lock.close()
            raise Broke("lock", e)
        for p in list(self.names.iterdir()):
            mode = p.lstat().st_mode
            if p.name.endswith(".partial") and self.valid(p.name[:-8]) and (stat.S_ISREG(mode) or stat.S_ISLNK(mode)):
                p.unlink()
        os.sync()

    @staticmethod
    def valid(name):
        return 0 < len(name) < 201 and set(name) <= LETTERS and name[0] != "."

    def partial(self, db):
        return self.names / (db + ".partial")

    def drop(self, db):
        self.headers.pop(db, None)
        self.arrived.pop(db, None)
        self.stuck.add(db)
        try:
            self.partial(db).unlink()
        except FileNotFoundError:
            pass
        self.stuck.remove(db)

    def length(self, db):
        return self.partial(db).lstat().st_size

    def chunk(self, e):
        db, cluster = e["source_database_id"], e["source_cluster_id"]
        header = (cluster, number(e["snapshot_lsn"], 64), number(e["total_bytes"], 64), number(e["total_crc32c"], 32))
        at, data, done = number(e["offset"], 64), base64.b64decode(e["data"], validate=True), e["done"]
        if not isinstance(db, str) or not isinstance(cluster, str) or not isinstance(done, bool):
            raise ValueError("what is this")
        _, lsn, total, declared = header
        if at + len(data) > total:
            raise No("more than was said")
        if not self.valid(db) or not 0 < len(cluster.encode()) < 201:
            raise No("bad name")
        if len(data) > LIMIT:
            raise No("chunk is big")
        if at == 0:
            if db in self.headers and lsn < self.headers[db][1]:
                raise No("old news")
            try:
                self.drop(db)
                open(self.partial(db), "xb").close()
            except OSError as e:
                raise Broke("create", e)
            self.headers[db], self.arrived[db] = header, 0
        elif db not in self.headers:
            raise No("who are you")
        elif self.headers[db] != header:
            raise No("not the same snapshot")
        elif at != self.arrived[db]:
            raise No("wrong place")
        word = "write"
        try:
            with open(self.partial(db), "r+b") as f:
                f.seek(at)
                f.write(data)
                f.flush()
            self.arrived[db] += len(data)
            if not done:
                return {"reply": "pending", "bytes_done": at + len(data)}
            if self.length(db) != total or checksum(self.partial(db)) != declared:
                raise No("damaged")
            word = "sync"
            os.sync()
            word = "publish"
            self.partial(db).rename(self.names / (db + ".snapshot"))
            word = "sync_directory"
            os.sync()
        except OSError as e:
            raise Broke(word, e, db)
        except No:
            try:
                self.drop(db)
            except OSError:
                pass
            raise
        del self.headers[db]
        return {"reply": "committed", "snapshot_lsn": str(lsn), "path": "recv_snapshots/%s.snapshot" % db}

    def abort(self, db):
        if db is not None and not self.valid(db):
            raise No("bad name")
        left = None
        for each in [*self.headers, *self.stuck] if db is None else [db]:
            try:
                self.drop(each)
            except OSError as e:
                left = e
        if left:
            raise Broke("remove", left)
        return {"reply": "aborted"}

    def close(self):
        try:
            self.abort(None)
        except Broke:
            pass
        self.lock.close()


store = None
for line in sys.stdin:
    answer, request = {}, {}
    try:
        request = json.loads(line)
        answer["seq"] = request["seq"]
        op = request["op"]
        if op == "hello":
            answer.update(name="forgetful", version="1", language="python", features=["abort", "multi", "restart", "lock"],
                          limits={"chunk_bytes_max": LIMIT})
        elif op == "open":
            if store:
                store.close()
                store = None
            store = Store(request["data_dir"])
            answer.update(reply="opened")
        elif op == "chunk":
            answer.update(store.chunk(request["envelope"]))
        elif op == "abort":
            answer.update(store.abort(request.get("database_id")))
        elif op == "close":
            if store:
                store.close()
            answer.update(reply="closed")
        else:
            raise ValueError(op)
    except No as no:
        answer.update(reply="rejected", reason=str(no))
    except Broke as broke:
        word, error, *db = broke.args
        for each in db:
            try:
                store.drop(each)
            except OSError:
                pass
        kind = "full: no room" if getattr(error, "errno", 0) in (errno.ENOSPC, errno.EDQUOT) else "other: " + str(error)
        answer.update(reply="failed", operation=word, kind=kind)
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        answer.update(reply="errored", message=str(error))
    print(json.dumps(answer), flush=True)
    if request.get("op") == "close":
        break
