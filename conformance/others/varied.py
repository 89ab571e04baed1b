#!/usr/bin/env python3
"""Right receivers made of the plain one by changes, as `broken/broken.py` makes broken ones: each uses
freedoms that the clauses leave. The kit must find no fault that MUST not be.

    python3 varied.py            lists them
    python3 varied.py NAME       is the adapter of that receiver
"""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "broken"))
import broken

# name: what it does in its own way, the changes of the receiver, the changes of the adapter
VARIED = {
    "OtherAnswers": ("says failed where a failing call meets a verdict; takes a running transfer of another cluster for no measure; "
                     "an abort unlinks whatever stands there; numbers are told as texts, and more than is asked for", [
        ("        except Refused:\n            self.end(database)\n            self.remove(database)\n            raise\n\n    def admitted",
         "        except Refused as refused:\n            self.end(database)\n            error = self.remove(database)\n"
         "            if error and refused.args[0]['reply'] == 'rejected':\n                with calls('remove'):\n                    raise error\n"
         "            raise\n\n    def admitted"),
        ("newest = running.identity[1] if running else", "newest = (running.identity[1] if running.identity[0] == cluster else 0) if running else"),
        ("known if database is None else known & {database}:", "known if database is None else {database}:"),
        ('"bytes_done": transfer.offset}', '"bytes_done": str(transfer.offset), "of": identity[2]}'),
    ], [
        ('{"reply": "opened", "orphans_left": len(self.open_one.owed)}', '{"reply": "opened", "in": data_dir}'),
        ("print(json.dumps({\"seq\": seq, **reply}), flush=True)", "print(json.dumps({**reply, 'seq': seq}, indent=None, separators=(' , ', ' : ')), flush=True)"),
    ]),
    "OtherFiles": ("opens the partial anew for each chunk; reads it back for its checksum; publishes by a link, a rename and an "
                   "unlink; has a lock file; keeps final chunks on disk, and answers their repetition after a restart too", [
        ("            transfer.file = os.open(database + \".partial\", flags, 0o600, dir_fd=self.directory)",
         "            os.close(os.open(database + \".partial\", flags, 0o600, dir_fd=self.directory))"),
        ("            while data:\n                written = os.pwrite(transfer.file, data, transfer.offset)\n"
         "                transfer.crc = crc32c(transfer.crc, data[:written])\n",
         "            file = self.opened(database, os.O_WRONLY)\n            while data:\n                written = file.write(data)\n"),
        ("        if transfer.crc != declared:", "        with calls(\"write\"):\n            transfer.crc = crc32c(0, self.opened(database, os.O_RDONLY).read())\n        if transfer.crc != declared:"),
        ("            os.fsync(transfer.file)\n", "            with self.opened(database, os.O_RDONLY) as file:\n                os.fsync(file.fileno())\n"),
        ("            named = os.stat(partial, dir_fd=self.directory, follow_symlinks=False)\n"
         "            if not os.path.samestat(os.fstat(transfer.file), named):\n                raise OSError(errno.ESTALE, \"another file has the partial's name\")\n"
         "            os.rename(partial, snapshot, src_dir_fd=self.directory, dst_dir_fd=self.directory)\n",
         "            with contextlib.suppress(FileNotFoundError):\n                os.unlink('.new', dir_fd=self.directory)\n"
         "            os.link(partial, '.new', src_dir_fd=self.directory, dst_dir_fd=self.directory, follow_symlinks=False)\n"
         "            os.rename('.new', snapshot, src_dir_fd=self.directory, dst_dir_fd=self.directory)\n"
         "            with contextlib.suppress(FileNotFoundError):\n                os.unlink('.new', dir_fd=self.directory)\n"
         "            os.unlink(partial, dir_fd=self.directory)\n"),
        ("    def publish(self,", "    def opened(self, database, flags):\n"
         "        how = lambda name, _: os.open(name, flags | os.O_NOFOLLOW, dir_fd=self.directory)\n"
         "        file = open(database + '.partial', 'wb' if flags else 'rb', buffering=0, opener=how)\n"
         "        if flags:\n            file.seek(self.running[database].offset)\n        return file\n\n    def publish(self,"),
        ("                fcntl.flock(self.directory, fcntl.LOCK_EX | fcntl.LOCK_NB)\n",
         "                self.lock = open('.lock', 'a', opener=lambda name, flags: os.open(name, flags | os.O_NOFOLLOW, 0o600, dir_fd=self.directory))\n"
         "                fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)\n"
         "            with contextlib.suppress(OSError, ValueError), open('.finals', opener=self.beside) as file:\n"
         "                for database, cluster, identity, offset, length in json.load(file):\n"
         "                    self.latest[database] = (cluster, 0, (tuple(identity), offset, length))\n"),
        ("    def sweep(self):", "    def beside(self, name, flags):\n        return os.open(name, flags, 0o600, dir_fd=self.directory)\n\n"
         "    def remember(self):\n        finals = [(database, cluster, *final) for database, (cluster, _, final) in self.latest.items() if final]\n"
         "        with open('.finals.new', 'w', opener=self.beside) as file:\n            json.dump(finals, file)\n"
         "        os.rename('.finals.new', '.finals', src_dir_fd=self.directory, dst_dir_fd=self.directory)\n\n    def sweep(self):"),
        ("        if len(self.latest) > REMEMBERED_MAX:\n            self.latest.pop(next(iter(self.latest)))\n",
         "        if len(self.latest) > REMEMBERED_MAX:\n            self.latest.pop(next(iter(self.latest)))\n        with contextlib.suppress(OSError):\n            self.remember()\n"),
        ("            self.latest[database] = self.latest[database][:2] + (None,)\n",
         "            self.latest[database] = self.latest[database][:2] + (None,)\n            with contextlib.suppress(OSError):\n                self.remember()\n"),
        ("            self.abort()\n        os.close(self.directory)\n", "            self.abort()\n        os.close(self.directory)\n        self.lock.close()\n"),
        ("import fcntl\n", "import fcntl\nimport json\n"),
    ], []),
}


def main():
    if len(sys.argv) < 2:
        for name, (about, _, _) in VARIED.items():
            print(f"{name}\t{about}")
        return
    _, of_receiver, of_adapter = VARIED[sys.argv[1]]
    import receiver
    exec(compile(broken.changed("receiver.py", of_receiver), "receiver", "exec"), receiver.__dict__)
    adapter = {"__name__": "adapter"}
    exec(compile(broken.changed("adapter.py", of_adapter), "adapter", "exec"), adapter)
    adapter["main"]()


if __name__ == "__main__":
    main()
