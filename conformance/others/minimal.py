#!/usr/bin/env python3
"""A correct receiver that does as little as the requirements leave it: one database at a time, no
memory of commits, no limits declared, its own words for every reason, a lock file, files opened by
path for each chunk. Nothing of it is taken from the plain receiver; the kit must find no fault.
"""
import base64, binascii, json, os, stat, sys

POLY = 0x82F63B78


def crc(data):
    c = 0xFFFFFFFF
    for b in data:
        c ^= b
        for _ in range(8):
            c = (c >> 1) ^ (POLY & -(c & 1))
    return c ^ 0xFFFFFFFF


ALLOWED = set(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-")


class R:
    def __init__(self):
        self.dir = None
        self.db = None  # the one transfer: id, header, bytes so far

    def path(self, name):
        return os.path.join(self.dir, "recv_snapshots", name)

    def drop(self):
        if self.db:
            p = self.path(self.db[0] + ".partial")
            self.db = None
            try:
                os.remove(p)
            except OSError:  # gone already, or an orphan for the next opening
                pass

    def open(self, d):
        if self.dir:
            self.drop()
            self.dir = None
        try:
            if not os.path.isdir(d):
                os.mkdir(d)
            r = os.path.join(d, "recv_snapshots")
            if os.path.islink(r):
                raise OSError("link")
            if not os.path.isdir(r):
                os.mkdir(r)
            for n in os.listdir(r):
                i = n[:-8].encode()
                if n.endswith(".partial") and 1 <= len(i) <= 200 and set(i) <= ALLOWED and i[0] != 46:
                    m = os.lstat(os.path.join(r, n)).st_mode
                    if stat.S_ISREG(m) or stat.S_ISLNK(m):
                        os.remove(os.path.join(r, n))
            for p in (r, d, os.path.dirname(os.path.abspath(d))):
                f = os.open(p, os.O_RDONLY)
                os.fsync(f)
                os.close(f)
        except OSError as e:
            return {"reply": "failed", "operation": "open", "kind": "other: " + str(e)}
        self.dir = d
        return {"reply": "opened"}

    def no(self):
        return {"reply": "rejected", "reason": "other"}

    def chunk(self, e):
        i = e["source_database_id"].encode()
        c = e["source_cluster_id"].encode()
        if not (1 <= len(i) <= 200 and set(i) <= ALLOWED and i[0] != 46 and 1 <= len(c) <= 200):
            return self.no()
        db = i.decode()
        head = (e["source_cluster_id"], e["snapshot_lsn"], e["total_bytes"], e["total_crc32c"])
        data, off = e["data"], e["offset"]
        mine = self.db if self.db and self.db[0] == db else None
        if off + len(data) > head[2]:
            return self.no()
        if off == 0:
            if mine and head[1] < mine[1][1]:
                return self.no()
            if self.db and not mine:
                return self.no()
        elif not mine or mine[1] != head or off != len(mine[2]):
            return self.no()
        part, snap = self.path(db + ".partial"), self.path(db + ".snapshot")
        step = "create"
        try:
            if off == 0:
                self.db = None
                try:
                    os.remove(part)
                except FileNotFoundError:
                    pass
                f = os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW, 0o644)
                mine = self.db = (db, head, bytearray())
            else:
                step = "write"
                f = os.open(part, os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW)
            try:
                step = "write"
                rest = data
                while rest:
                    rest = rest[os.write(f, rest):]
                mine[2].extend(data)
                if not e["done"]:
                    return {"reply": "pending", "bytes_done": str(len(mine[2]))}
                if len(mine[2]) != head[2] or crc(mine[2]) != head[3]:
                    self.drop()
                    return self.no()
                step = "sync"
                os.fsync(f)
            finally:
                os.close(f)
            step = "publish"
            os.rename(part, snap)
            self.db = None
            step = "sync_directory"
            f = os.open(os.path.dirname(snap), os.O_RDONLY)
            os.fsync(f)
            os.close(f)
        except OSError as error:
            self.db = None
            try:
                os.remove(part)
            except OSError:
                pass
            return {"reply": "failed", "operation": step, "kind": "full" if error.errno in (28, 122) else "other"}
        return {"reply": "committed", "snapshot_lsn": str(head[1]), "path": "./recv_snapshots/" + db + ".snapshot"}


def env(e):
    out = dict(e)
    for k, m in (("snapshot_lsn", 64), ("total_bytes", 64), ("total_crc32c", 32), ("offset", 64)):
        out[k] = int(e[k])
        assert 0 <= out[k] < 1 << m
    out["data"] = base64.b64decode(e["data"], validate=True)
    out["done"], out["source_database_id"], out["source_cluster_id"]
    return out


r = R()
for line in sys.stdin.buffer:
    seq = None
    try:
        q = json.loads(line)
        seq = q["seq"]
        if q["op"] == "hello":
            a = {"name": "minimal", "version": "0", "language": "python", "features": ["restart"]}
        elif q["op"] == "open":
            a = r.open(q["data_dir"])
        elif q["op"] == "chunk":
            a = r.chunk(env(q["envelope"]))
        elif q["op"] == "abort":
            a = {"reply": "unsupported", "why": "no abort"}
        elif q["op"] == "close":
            r.drop()
            a = {"reply": "closed"}
        else:
            a = {"reply": "errored", "message": "what?"}
    except (KeyError, ValueError, AssertionError, TypeError, binascii.Error) as error:
        a = {"reply": "errored", "message": repr(error)}
        q = {}
    a["seq"] = seq
    print(json.dumps(a), flush=True)
    if q.get("op") == "close":
        sys.exit(0)
