#!/usr/bin/env python3
"""Broken receivers: the plain receiver with one mistake each, to see whether the kit notices.

    python3 broken.py            lists them: name, clause, mistake
    python3 broken.py NAME       is the adapter of that broken receiver

A mistake is a change of the plain receiver's source; one whose place is not found is an error.
"""
import os
import sys

ADAPTERS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "adapters")
sys.path.insert(0, ADAPTERS)

OVERRUNS = '''        elif overrun:
            raise overrun
'''
IDENTITY = "running.identity != identity"
STALE = "if lsn < newest:"


def identity_but(field):
    kept = [f"running.identity[{i}] != identity[{i}]" for i in range(4) if i != field]
    return "(" + " or ".join(kept) + ")"


# name: clause, what is wrong, the places and what stands there instead
BUGS = {
    "IdsNotChecked": ("SR-ADM-001", "a database id is anything that opens a file", [
        ('VALID_ID = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,199}")', 'VALID_ID = re.compile(r"[^\\0]+", re.DOTALL)')]),
    "LettersBeyondAscii": ("SR-ADM-001", "any letter is a letter of an id", [
        ('r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,199}"', 'r"[\\w-][\\w.-]{0,199}"')]),
    "TrailingNewline": ("SR-ADM-001", "an id may end with a line end", [
        ('VALID_ID.fullmatch', 'VALID_ID.match'),
        ('[A-Za-z0-9._-]{0,199}"', '[A-Za-z0-9._-]{0,199}$"')]),
    "ClusterCountedInLetters": ("SR-ADM-001", "a cluster id's length is counted in letters", [
        ("len(cluster.encode())", "len(cluster)")]),
    "IdsOneTooShort": ("SR-ADM-001", "the longest id is refused", [("{0,199}", "{0,198}")]),
    "ChunkLimitIgnored": ("SR-ADM-002", "chunks may have any length", [
        ("if len(data) > CHUNK_BYTES_MAX:", "if False:")]),
    "TotalLimitIgnored": ("SR-ADM-002", "snapshots may have any total", [
        ("if total > SNAPSHOT_BYTES_MAX:", "if False:")]),
    "TotalLimitOffByOne": ("SR-ADM-002", "a total of the limit is refused", [
        ("total > SNAPSHOT_BYTES_MAX:", "total >= SNAPSHOT_BYTES_MAX:")]),
    "OverrunAccepted": ("SR-ADM-003", "a continuation may go past the total", [(OVERRUNS, "")]),
    "OverrunAtStart": ("SR-ADM-003", "a start may go past the total", [
        ("            if overrun:\n                raise overrun\n", "")]),
    "RefusalEndsTransfer": ("SR-ADM-004", "a refusal ends the transfer", [
        ('raise rejected("offset_mismatch", resume, running.offset, offset)',
         'self.end(database); self.remove(database); raise rejected("offset_mismatch", resume, running.offset, offset)')]),
    "ResumeOffsetWrong": ("SR-ADM-005", "every source is sent back to 0", [
        ("resume = running.offset if", "resume = 0 if")]),
    "ReasonsMixedUp": ("SR-ADM-005", "every refusal is told as another", [
        ('"reason": reason', '"reason": "other"')]),
    "RestartKeepsFile": ("SR-OFF-001", "a start goes on in the file of before", [
        ("os.O_RDWR | os.O_CREAT | os.O_EXCL", "os.O_RDWR | os.O_CREAT"),
        ("            if error := self.remove(database):\n                raise error\n", "")]),
    "RestartRefused": ("SR-OFF-001", "a start is refused while a transfer runs", [
        ("            if lsn < newest:", "            if running:\n"
         "                raise rejected('offset_mismatch', resume, running.offset, 0)\n            if lsn < newest:")]),
    "LateChunkReopens": ("SR-OFF-002", "a late chunk opens a transfer again", [
        ('            raise rejected("offset_mismatch", 0, 0, offset)\n',
         '            self.start(database, identity); self.running[database].offset = offset\n')]),
    "GapAccepted": ("SR-OFF-003", "a chunk after a gap is taken", [
        ("elif offset != running.offset:", "elif offset < running.offset:")]),
    "DuplicateAccepted": ("SR-OFF-003", "a chunk that came already counts again", [
        ("elif offset != running.offset:", "elif offset > running.offset:")]),
    "Preallocated": ("SR-OFF-004", "the partial is as long as what was declared", [
        ("0o600, dir_fd=self.directory)\n\n    def publish", "0o600, dir_fd=self.directory)\n"
         "            os.ftruncate(transfer.file, identity[2])\n\n    def publish")]),
    "LateWrites": ("SR-OFF-004", "pending is answered before the bytes are in the file", [
        ("written = os.pwrite(transfer.file, data, transfer.offset)",
         "written = len(data); transfer.late = getattr(transfer, 'late', []) + [(data, transfer.offset)]"),
        ("        with calls(\"sync\"):\n", "        for late, at in getattr(transfer, 'late', []):\n"
         "            os.pwrite(transfer.file, late, at)\n        with calls(\"sync\"):\n")]),
    "BytesDoneOfTheChunk": ("SR-OFF-005", "pending carries the chunk's length", [
        ('"bytes_done": transfer.offset}', '"bytes_done": length}')]),
    "CommitsWithoutDone": ("SR-OFF-005", "all bytes commit, done or not", [
        ("        if not done:\n", "        if not done and transfer.offset < identity[2]:\n")]),
    "AbsolutePath": ("SR-OFF-005", "committed carries no path relative to the data directory", [
        ('"path": f"recv_snapshots/', '"path": f"/var/lib/recv_snapshots/')]),
    "ClusterNotCompared": ("SR-IDN-001", "a continuation's cluster is not compared", [(IDENTITY, identity_but(0))]),
    "LsnNotCompared": ("SR-IDN-001", "a continuation's LSN is not compared", [(IDENTITY, identity_but(1))]),
    "TotalNotCompared": ("SR-IDN-001", "a continuation's total is not compared", [(IDENTITY, identity_but(2))]),
    "CrcNotCompared": ("SR-IDN-001", "a continuation's checksum is not compared", [(IDENTITY, identity_but(3))]),
    "StartEndsOthers": ("SR-IDN-002", "a start ends every other transfer", [
        ("    def start(self, database, identity):\n", "    def start(self, database, identity):\n"
         "        for other in list(self.running):\n            self.end(other); self.remove(other)\n")]),
    "SweepAtStart": ("SR-IDN-002", "a start takes other partials for orphans", [
        ("    def start(self, database, identity):\n", "    def start(self, database, identity):\n        self.sweep()\n")]),
    "RepeatRefused": ("SR-IDN-003", "a repeated final chunk is refused", [
        ("if done and latest and latest[2] ==", "if False and latest[2] ==")]),
    "RepeatOutlivesStart": ("SR-IDN-003", "a repeated final chunk is answered although a start was admitted", [
        ("self.latest[database] = self.latest[database][:2] + (None,)", "pass")]),
    "StaleAccepted": ("SR-IDN-004", "a start may always be older", [(STALE, "if False:")]),
    "StaleOnlyWhileRunning": ("SR-IDN-004", "a commit is no measure for a start", [
        ("latest[1] if latest and latest[0] == cluster else 0", "0")]),
    "EqualIsStale": ("SR-IDN-004", "an equal LSN is refused", [(STALE, "if newest and lsn <= newest:")]),
    "ClustersCompared": ("SR-IDN-004", "a commit of another cluster is a measure too", [
        ("latest[1] if latest and latest[0] == cluster else 0", "latest[1] if latest else 0")]),
    "DoneAcceptedEarly": ("SR-LEN-001", "done ends a snapshot however few bytes came", [
        ("if transfer.offset != total:", "if False:")]),
    "ShortLeavesPartial": ("SR-LEN-001", "a length mismatch leaves its partial", [
        ('            raise rejected("length_mismatch", 0, total, transfer.offset)',
         '            self.end(database); return rejected("length_mismatch", 0, total, transfer.offset).args[0]')]),
    "CrcRestartedPerChunk": ("SR-CRC-001", "the checksum begins again with every chunk", [
        ("transfer, length = self.running[database], len(data)",
         "transfer, length = self.running[database], len(data); transfer.crc = 0")]),
    "PlainCrc32": ("SR-CRC-001", "the checksum is CRC-32", [("0x82F63B78", "0xEDB88320")]),
    "CrcNotChecked": ("SR-CRC-002", "the checksum is not compared", [("if transfer.crc != declared:", "if False:")]),
    "CrcZeroUnchecked": ("SR-CRC-002", "a declared checksum of 0 is not compared", [
        ("if transfer.crc != declared:", "if declared and transfer.crc != declared:")]),
    "EmptyNeverCompletes": ("SR-CRC-003", "a snapshot of no bytes stays pending", [
        ("        if not done:\n", "        if not done or identity[2] == 0:\n")]),
    "OldSnapshotRemovedFirst": ("SR-PUB-002", "the old snapshot is unlinked when the next one starts", [
        ("            flags = os.O_RDWR", "            with contextlib.suppress(FileNotFoundError):\n"
         "                os.unlink(database + '.snapshot', dir_fd=self.directory)\n            flags = os.O_RDWR")]),
    "PublishedByCopy": ("SR-PUB-004", "the snapshot is a copy of what was verified", [
        ("            os.rename(partial, snapshot, src_dir_fd=self.directory, dst_dir_fd=self.directory)\n",
         "            data = os.pread(transfer.file, transfer.offset, 0)\n"
         "            copy = os.open(snapshot + '.tmp', os.O_RDWR | os.O_CREAT, 0o600, dir_fd=self.directory)\n"
         "            os.write(copy, data); os.close(copy)\n"
         "            os.rename(snapshot + '.tmp', snapshot, src_dir_fd=self.directory, dst_dir_fd=self.directory)\n"
         "            os.unlink(partial, dir_fd=self.directory)\n")]),
    "MissingLevelsMade": ("SR-PUB-005", "an opening makes every missing level", [
        ("os.mkdir(path, 0o700)", "os.makedirs(path, 0o700)")]),
    "NotSynced": ("SR-PUB-001", "the partial is not synced before the rename", [
        ("            os.fsync(transfer.file)", "            pass")]),
    "DirectoryNotSynced": ("SR-PUB-001", "the directory is not synced after the rename", [
        ("        with calls(\"sync_directory\"):\n            os.fsync(self.directory)\n", "")]),
    "SyncedAfterRename": ("SR-PUB-001", "the partial is synced after the rename only", [
        ("            os.fsync(transfer.file)", "            pass"),
        ("        with calls(\"sync_directory\"):\n", "        with calls(\"sync_directory\"):\n"
         "            os.fsync(transfer.file)\n")]),
    "ParentNotSynced": ("SR-PUB-005", "an opening does not sync the data directory's parent", [
        ("for path in (receive, data_dir, os.path.dirname(os.path.abspath(data_dir))):", "for path in (receive, data_dir):")]),
    "AbortKeepsPartial": ("SR-ABT-001", "an abort leaves the partial", [
        ("            self.end(each)\n            self.remove(each)\n", "            self.end(each)\n")]),
    "AbortEndsAll": ("SR-ABT-001", "an abort of one ends all", [
        ("known if database is None else known & {database}:", "known:")]),
    "AbortIdNotChecked": ("SR-ABT-001", "an abort of an id that is not valid is answered aborted", [
        ("if database is not None and not VALID_ID.fullmatch(database):", "if False:")]),
    "AbortRemovesSnapshot": ("SR-ABT-002", "an abort removes the snapshot too", [
        ("            self.end(each)\n            self.remove(each)\n", "            self.end(each)\n"
         "            self.remove(each)\n            with contextlib.suppress(FileNotFoundError):\n"
         "                os.unlink(each + '.snapshot', dir_fd=self.directory)\n")]),
    "AbortOfNothingFails": ("SR-ABT-003", "an abort where nothing runs fails", [
        ("        known = self.running.keys() | self.owed\n", "        known = self.running.keys() | self.owed\n"
         "        if not known:\n            raise Refused({'reply': 'failed', 'operation': 'remove', 'kind': 'other'})\n")]),
    "FailureWedges": ("SR-ERR-001", "a failed call leaves its attempt behind", [
        ("        except Refused:\n            self.end(database)\n            self.remove(database)\n            raise\n\n    def admitted",
         "        except Refused as refused:\n            if refused.args[0]['reply'] == 'rejected':\n"
         "                self.end(database)\n                self.remove(database)\n            raise\n\n    def admitted")]),
    "FailedRenameLeavesPartial": ("SR-ERR-001", "a failed rename leaves the partial", [
        ("        except Refused:\n            self.end(database)\n            self.remove(database)\n            raise\n\n    def admitted",
         "        except Refused as refused:\n            self.end(database)\n"
         "            if refused.args[0].get('operation') != 'publish':\n                self.remove(database)\n"
         "            raise\n\n    def admitted")]),
    "FullNotToldApart": ("SR-ERR-001", "a full disk is told as any other failure", [
        ('"full" if full else ', "")]),
    "ShortWriteTaken": ("SR-ERR-003", "a short write is taken as whole", [
        ("transfer.crc = crc32c(transfer.crc, data[:written])\n                transfer.offset += written\n                data = data[written:]",
         "transfer.crc = crc32c(transfer.crc, data)\n                transfer.offset += len(data)\n                data = b''")]),
    "RemovalFailureHidden": ("SR-ERR-005", "an abort whose removal fails is answered aborted", [
        ("        if left := (self.owed if database is None else self.owed & {database}):\n", "        if False:\n            left = ()\n")]),
    "PlacesUnbounded": ("SR-CON-005", "any number of transfers may run", [
        ("if not running and len(self.running) >= TRANSFERS_MAX:", "if False:")]),
    "PlaceLeaks": ("SR-CON-005", "a restart is one too many", [
        ("if not running and len(self.running)", "if len(self.running)")]),
    "OrphansStay": ("SR-REC-001", "an opening leaves orphans", [
        ('if suffix == ".partial" and VALID_ID.fullmatch(database):', "if False:")]),
    "SweepsEverything": ("SR-REC-001", "an opening removes whatever ends with .partial", [
        ('suffix == ".partial" and VALID_ID.fullmatch(database)', 'suffix == ".partial"')]),
    "SweepsSnapshots": ("SR-REC-001", "an opening removes snapshots too", [
        ('            if suffix == ".partial"', "            if suffix == '.snapshot':\n"
         "                os.unlink(name, dir_fd=self.directory)\n            if suffix == \".partial\"")]),
    "NoLock": ("SR-REC-002", "a second receiver is let in", [
        ("fcntl.flock(self.directory, fcntl.LOCK_EX | fcntl.LOCK_NB)", "pass")]),
    "DirectoryOrphanRefuses": ("SR-REC-003", "a directory of an orphan's name refuses the opening", [
        ("                    self.owed.add(database)\n\n    def remove", "                    os.unlink(name, dir_fd=self.directory)\n\n    def remove")]),
    "CloseLeavesPartial": ("SR-REC-004", "a closing leaves the partial", [
        ("        with contextlib.suppress(Refused):\n            self.abort()\n", "")]),
    "LinkFollowed": ("SR-SEC-002", "a link under the partial's name is followed", [
        ("os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW", "os.O_RDWR | os.O_CREAT | os.O_TRUNC"),
        ("            if error := self.remove(database):\n                raise error\n", "")]),
    "ReceiveLinkFollowed": ("SR-SEC-002", "a link in the place of the receive directory is followed", [
        ("os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW", "os.O_RDONLY | os.O_DIRECTORY")]),
    "StrangerPublished": ("SR-SEC-004", "another file in the partial's place is published", [
        ("if not os.path.samestat(os.fstat(transfer.file), named):", "if False:")]),
    "LeftoverBlocks": ("SR-SEC-002", "a file under the partial's name fails the start", [
        ("            if error := self.remove(database):\n                raise error\n", "")]),
    "NarrowOffset": ("SR-SEC-003", "an offset is cut to 32 bits", [
        ("database, cluster, lsn, total, declared, offset, data, done = envelope\n",
         "database, cluster, lsn, total, declared, offset, data, done = envelope\n        offset &= U32\n")]),
}

# Mistakes of the adapter itself: what it lets through is no envelope.
ADAPTER_BUGS = {
    "NumbersWrapped": ("SR-SEC-003", "numbers are cut to 64 and 32 bits", [
        ("if type(value) is not int or not 0 <= value <= most:", "value = int(value) & most\n        if False:")]),
    "FieldsMayBeMissing": ("SR-SEC-003", "a missing number is 0", [
        ("value = envelope[name]", "value = envelope.get(name, 0)")]),
}


def changed(path, changes):
    with open(os.path.join(ADAPTERS, path), encoding="utf-8") as file:
        source = file.read()
    for place, instead in changes:
        if place not in source:
            sys.exit(f"{path} has no {place!r}")
        source = source.replace(place, instead)
    return source


def main():
    if len(sys.argv) < 2:
        for name, (clause, about, _) in {**BUGS, **ADAPTER_BUGS}.items():
            print(f"{name}\t{clause}\t{about}")
        return
    name = sys.argv[1]
    import receiver
    if name in BUGS:
        exec(compile(changed("receiver.py", BUGS[name][2]), name, "exec"), receiver.__dict__)
    adapter = {"__name__": "adapter"}
    source = changed("adapter.py", ADAPTER_BUGS[name][2] if name in ADAPTER_BUGS else [])
    exec(compile(source, name, "exec"), adapter)
    adapter["main"]()


if __name__ == "__main__":
    main()
