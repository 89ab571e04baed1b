#!/usr/bin/env python3
"""Broken receivers: the plain receiver with one mistake each, to see whether the kit notices.

    python3 broken.py            lists them: name, clause, mistake
    python3 broken.py NAME       is the adapter of that broken receiver

A mistake is a change of the plain receiver's source; one whose place is not found is an error.
"""
import os
import sys

from second import SECOND

ADAPTERS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "adapters")
sys.path.insert(0, ADAPTERS)

OVERRUNS = '''        elif overrun:
            raise overrun
'''
IDENTITY = "running.identity != identity"
STALE = "if lsn < newest:"
CRC_DIFFERS = "if transfer.crc != declared:"
UNPACKED = "        database, cluster, lsn, total, declared, offset, data, done = envelope\n"


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

    # Subtler ones.
    "RepeatOfAnotherCluster": ("SR-OFF-002", "a repeated final chunk is answered whatever its cluster", [
        ("latest[2] == (identity, offset, len(data))", "latest[2] and (latest[2][0][1:], *latest[2][1:]) == (identity[1:], offset, len(data))")]),
    "RepeatOfAnotherLength": ("SR-OFF-002", "a repeated final chunk is answered whatever its length", [
        ("latest[2] == (identity, offset, len(data))", "latest[2] and latest[2][:2] == (identity, offset)")]),
    "RepeatWithoutDone": ("SR-OFF-002", "a repeated final chunk is answered although it does not say done", [
        ("if done and latest and latest[2] ==", "if latest and latest[2] ==")]),
    "RepeatTouchesFile": ("SR-IDN-003", "a repeated final chunk empties the snapshot it answers for", [
        ("                return committed(database, lsn)\n", "                os.truncate(os.open(database + '.snapshot', os.O_RDWR, dir_fd=self.directory), 0)\n"
         "                return committed(database, lsn)\n")]),
    "RepeatOverAPath": ("SR-OFF-001", "a start of the same snapshot goes on in its file, which keeps its end", [
        ("        self.end(database)\n        if database in self.latest:", "        before = self.running.get(database)\n"
         "        if before and before.identity == identity and before.file is not None:\n            before.offset = before.crc = 0\n"
         "            return\n        self.end(database)\n        if database in self.latest:")]),
    "AbortKeepsTransfer": ("SR-ABT-001", "an abort removes the partial, and the transfer goes on", [
        ("            self.end(each)\n            self.remove(each)\n", "            self.remove(each)\n")]),
    "AbortForgetsCommit": ("SR-IDN-004", "an abort forgets the latest commit", [
        ("            self.end(each)\n            self.remove(each)\n", "            self.end(each)\n            self.remove(each)\n"
         "            self.latest.pop(each, None)\n")]),
    "AbortOfUnknownFails": ("SR-ABT-003", "an abort of a database that was never seen fails", [
        ("        known = self.running.keys() | self.owed\n", "        known = self.running.keys() | self.owed\n"
         "        if database is not None and database not in known and database not in self.latest:\n"
         "            raise Refused({'reply': 'failed', 'operation': 'remove', 'kind': 'other'})\n")]),
    "AbortAllEndsOne": ("SR-ABT-001", "an abort of all ends the first", [
        ("        for each in known if database is None else known & {database}:", "        for each in sorted(known)[:1] if database is None else known & {database}:")]),
    "OverrunByOne": ("SR-ADM-003", "one byte past the total is taken", [
        ("if offset + len(data) > total else None", "if offset + len(data) > total + 1 else None")]),
    "TotalNotReached": ("SR-ADM-003", "a chunk that reaches the total without done is refused", [
        ("if offset + len(data) > total else None", "if offset + len(data) > total or offset + len(data) == total > 0 and not done else None")]),
    "EmptyEndRefused": ("SR-OFF-005", "an empty last chunk is refused", [
        ("        elif overrun:\n", "        elif offset == total and not data:\n            raise rejected('offset_mismatch', resume, offset, offset)\n        elif overrun:\n")]),
    "EmptyStartIgnored": ("SR-OFF-001", "an empty chunk at 0 is no start while a transfer runs", [
        ("        if offset == 0:\n            self.start(database, identity)\n", "        if offset == 0 and (data or done or database not in self.running):\n            self.start(database, identity)\n")]),
    "EmptyCommitsWithoutDone": ("SR-OFF-005", "a snapshot of no bytes commits without done", [
        ("        if not done:\n", "        if not done and identity[2]:\n")]),
    "EmptyUnchecked": ("SR-CRC-002", "the checksum of a snapshot of no bytes is not compared", [
        ("if transfer.crc != declared:", "if total and transfer.crc != declared:")]),
    "ChecksumLeavesPartial": ("SR-CRC-002", "a CRC mismatch leaves its partial", [
        ("            raise rejected(\"crc_mismatch\", 0, declared, transfer.crc)", "            self.end(database); return rejected('crc_mismatch', 0, declared, transfer.crc).args[0]")]),
    "ChecksumKeepsTransfer": ("SR-CRC-002", "after a CRC mismatch the transfer goes on", [
        ("            raise rejected(\"crc_mismatch\", 0, declared, transfer.crc)", "            return rejected('crc_mismatch', 0, declared, transfer.crc).args[0]")]),
    "RefusedBytesInChecksum": ("SR-ADM-004", "the bytes of a chunk at a wrong offset are in the checksum", [
        ("            raise rejected(\"offset_mismatch\", resume, running.offset, offset)\n", "            running.crc = crc32c(running.crc, data)\n"
         "            raise rejected(\"offset_mismatch\", resume, running.offset, offset)\n")]),
    "StaleStartEndsTransfer": ("SR-ADM-004", "a refused older start ends the transfer", [
        ("                raise rejected(\"stale_snapshot\"", "                self.end(database); self.remove(database)\n                raise rejected(\"stale_snapshot\"")]),
    "OverrunEndsTransfer": ("SR-ADM-004", "a refused overrun ends the transfer", [
        (OVERRUNS, "        elif overrun:\n            self.end(database); self.remove(database)\n            raise overrun\n")]),
    "OverrunWrites": ("SR-ADM-003", "a refused overrun was written as far as it fits", [
        (OVERRUNS, "        elif overrun:\n            os.pwrite(running.file, data[:total - offset], offset)\n            raise overrun\n")]),
    "IdRefusalEndsTransfers": ("SR-ADM-004", "an envelope of an id that is not valid ends every transfer", [
        ("            raise rejected(\"invalid_database_id\")\n        if not 1 <=", "            for each in list(self.running):\n                self.end(each); self.remove(each)\n"
         "            raise rejected(\"invalid_database_id\")\n        if not 1 <=")]),
    "RefusedStartForgetsRepeat": ("SR-IDN-003", "a refused start ends the answer to a repeated final chunk", [
        ("        if offset == 0:\n            if total >", "        if offset == 0:\n            if latest:\n                latest = self.latest[database] = latest[:2] + (None,)\n            if total >")]),
    "LargestCommitCounts": ("SR-IDN-004", "the largest commit is the measure, not the latest", [
        ("        self.latest[database] = (cluster, lsn, (identity, offset, length) if offset else None)",
         "        self.latest[database] = (cluster, max(lsn, getattr(self, 'most', 0)), (identity, offset, length) if offset else None)\n"
         "        self.most = max(lsn, getattr(self, 'most', 0))")]),
    "LsnSigned": ("SR-IDN-004", "LSNs are compared as signed numbers", [
        ("            if lsn < newest:", "            if (lsn ^ 1 << 63) < (newest ^ 1 << 63) and newest:")]),
    "LsnAsFloat": ("SR-IDN-004", "LSNs are compared as floating-point numbers", [
        ("            if lsn < newest:", "            if float(lsn) < float(newest):")]),
    "LsnAsText": ("SR-IDN-004", "LSNs are compared as texts", [
        ("            if lsn < newest:", "            if newest and str(lsn) < str(newest):")]),
    "StaleAcrossDatabases": ("SR-IDN-004", "the latest commit of any database is the measure", [
        ("running, latest = self.running.get(database), self.latest.get(database)",
         "running, latest = self.running.get(database), self.latest.get(database) or next(iter(self.latest.values()), None)")]),
    "RestartEndsOthers": ("SR-IDN-002", "a start in place of a running transfer ends every other", [
        ("    def start(self, database, identity):\n", "    def start(self, database, identity):\n"
         "        for other in list(self.running) if database in self.running else []:\n            self.end(other); self.remove(other)\n")]),
    "CommitEndsOthers": ("SR-IDN-002", "a commit ends every other transfer", [
        ("        self.publish(database, transfer)\n", "        self.publish(database, transfer)\n"
         "        for other in set(self.running) - {database}:\n            self.end(other); self.remove(other)\n")]),
    "ChecksumShared": ("SR-IDN-002", "one checksum runs over all databases", [
        ("                transfer.crc = crc32c(transfer.crc, data[:written])\n", "                self.crc = transfer.crc = crc32c(getattr(self, 'crc', 0) if offset else 0, data[:written])\n")]),
    "NamesCutShort": ("SR-IDN-002", "names of files are cut to two letters", [
        ("        database, cluster, lsn, total, declared, offset, data, done = envelope\n", "        database, cluster, lsn, total, declared, offset, data, done = envelope\n"
         "        database = database[:2] if VALID_ID.fullmatch(database) else database\n")]),
    "TransfersOffByOne": ("SR-CON-005", "one transfer more than declared may run", [
        ("len(self.running) >= TRANSFERS_MAX:", "len(self.running) > TRANSFERS_MAX:")]),
    "CommitsTakePlaces": ("SR-CON-005", "a commit does not free its place", [
        ("len(self.running) >= TRANSFERS_MAX:", "len(self.running) + len(self.latest) >= TRANSFERS_MAX:")]),
    "VerdictsTakePlaces": ("SR-CON-005", "a verdict does not free its place", [
        ("len(self.running) >= TRANSFERS_MAX:", "len(self.running) + getattr(self, 'lost', 0) >= TRANSFERS_MAX:"),
        ("        if transfer.offset != total:\n", "        if transfer.offset != total:\n            self.lost = getattr(self, 'lost', 0) + 1\n")]),
    "ChunkLimitOffByOne": ("SR-ADM-002", "a chunk of the limit is refused", [
        ("if len(data) > CHUNK_BYTES_MAX:", "if len(data) >= CHUNK_BYTES_MAX:")]),
    "ChunkLimitAtStartOnly": ("SR-ADM-002", "a continuation may have any length", [
        ("if len(data) > CHUNK_BYTES_MAX:", "if offset == 0 and len(data) > CHUNK_BYTES_MAX:")]),
    "OrphanResumed": ("SR-REC-001", "after a restart a transfer goes on where its partial ends", [
        ("                if stat.S_ISREG(mode) or stat.S_ISLNK(mode):\n                    self.remove(database)", "                if stat.S_ISREG(mode):\n"
         "                    self.found = getattr(self, 'found', set()) | {database}\n                elif stat.S_ISLNK(mode):\n                    self.remove(database)"),
        ('            raise rejected("offset_mismatch", 0, 0, offset)\n',
         "            if database not in getattr(self, 'found', ()):\n                raise rejected('offset_mismatch', 0, 0, offset)\n"
         "            file = os.open(database + '.partial', os.O_RDWR, dir_fd=self.directory)\n"
         "            self.running[database] = running = types.SimpleNamespace(identity=identity, offset=offset, crc=crc32c(0, os.read(file, offset)), file=file)\n")]),
    "LinksSweptThrough": ("SR-REC-001", "an opening empties what a link of an orphan's name leads to", [
        ("                if stat.S_ISREG(mode) or stat.S_ISLNK(mode):\n", "                if stat.S_ISLNK(mode):\n"
         "                    with contextlib.suppress(OSError):\n                        os.truncate(os.path.join('/proc/self/fd', str(self.directory), name), 0)\n"
         "                if stat.S_ISREG(mode) or stat.S_ISLNK(mode):\n")]),
    "LinksStay": ("SR-REC-001", "an opening leaves links of an orphan's name", [
        ("stat.S_ISREG(mode) or stat.S_ISLNK(mode)", "stat.S_ISREG(mode)")]),
    "PipesSwept": ("SR-REC-001", "an opening removes pipes of an orphan's name", [
        ("stat.S_ISREG(mode) or stat.S_ISLNK(mode)", "not stat.S_ISDIR(mode)")]),
    "EmptyOrphansStay": ("SR-REC-001", "an opening leaves empty orphans", [
        ("stat.S_ISREG(mode) or stat.S_ISLNK(mode):", "stat.S_ISLNK(mode) or stat.S_ISREG(mode) and os.stat(name, dir_fd=self.directory).st_size:")]),
    "LockEndsWithCommit": ("SR-REC-002", "the first commit lets a second receiver in", [
        ("        self.publish(database, transfer)\n", "        self.publish(database, transfer)\n        fcntl.flock(self.directory, fcntl.LOCK_UN)\n")]),
    "LockAtFirstChunk": ("SR-REC-002", "the lock is taken with the first chunk", [
        ("fcntl.flock(self.directory, fcntl.LOCK_EX | fcntl.LOCK_NB)", "pass"),
        ("    def start(self, database, identity):\n", "    def start(self, database, identity):\n        fcntl.flock(self.directory, fcntl.LOCK_EX | fcntl.LOCK_NB)\n")]),
    "LockAfterSweep": ("SR-REC-002", "a second receiver sweeps before it is refused", [
        ("        try:\n            with calls(\"lock\"):", "        self.sweep()\n        try:\n            with calls(\"lock\"):")]),
    "OpenLeavesPartial": ("SR-REC-004", "opening another directory leaves what ran in the one before", [
        ("        with contextlib.suppress(Refused):\n            self.abort()\n", "")]),
    "LockOutlivesClose": ("SR-REC-004", "a closing keeps the lock", [
        ("            self.abort()\n        os.close(self.directory)\n", "            self.abort()\n")]),
    "FailedCreateKeepsTransfer": ("SR-ERR-001", "a failed create leaves a transfer without its file", [
        ("        except Refused:\n            self.end(database)\n            self.remove(database)\n            raise\n\n    def admitted",
         "        except Refused as refused:\n            if refused.args[0].get('operation') != 'create':\n                self.end(database)\n                self.remove(database)\n            raise\n\n    def admitted"),
        ("        with calls(\"write\"):\n            while data:", "        with calls(\"write\"):\n            if transfer.file is None:\n                raise OSError(errno.EBADF, 'no file')\n            while data:")]),
    "FailedWriteKeepsTransfer": ("SR-ERR-001", "after a failed write the transfer goes on", [
        ("        except Refused:\n            self.end(database)\n            self.remove(database)\n            raise\n\n    def admitted",
         "        except Refused as refused:\n            if refused.args[0].get('operation') != 'write':\n                self.end(database)\n                self.remove(database)\n            raise\n\n    def admitted")]),
    "WriteFailureIsARefusal": ("SR-ERR-001", "a failed write is told as the source's fault", [
        ('        raise Refused({"reply": "failed", "operation": operation, "kind": kind}) from error',
         "        if operation == 'write':\n            raise rejected('other', 0) from error\n"
         '        raise Refused({"reply": "failed", "operation": operation, "kind": kind}) from error')]),
    "WrongOperationTold": ("SR-ERR-001", "every failing call is told as a failed write", [
        ('"operation": operation, "kind": kind}', '"operation": "write" if operation in ("create", "publish") else operation, "kind": kind}')]),
    "OwedForgotten": ("SR-ERR-005", "an abort tells a failed removal once, then forgets it", [
        ("            raise Refused({\"reply\": \"failed\", \"operation\": \"remove\"", "            self.owed.clear()\n            raise Refused({\"reply\": \"failed\", \"operation\": \"remove\"")]),
    "SnapshotTruncatedFirst": ("SR-PUB-002", "the snapshot is rewritten in place", [
        ("            os.rename(partial, snapshot, src_dir_fd=self.directory, dst_dir_fd=self.directory)\n",
         "            data = os.pread(transfer.file, transfer.offset, 0)\n"
         "            copy = os.open(snapshot, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600, dir_fd=self.directory)\n"
         "            os.write(copy, data); os.close(copy)\n            os.unlink(partial, dir_fd=self.directory)\n")]),
    "OldSnapshotRemovedBeforeRename": ("SR-PUB-002", "the old snapshot is unlinked just before the rename", [
        ("            os.rename(partial, snapshot,", "            with contextlib.suppress(FileNotFoundError):\n"
         "                os.unlink(snapshot, dir_fd=self.directory)\n            os.rename(partial, snapshot,")]),
    "AnsweredBeforeDirectorySync": ("SR-PUB-001", "the directory is synced before the rename", [
        ("        with calls(\"sync_directory\"):\n            os.fsync(self.directory)\n", ""),
        ("        with calls(\"publish\"):\n", "        with calls(\"sync_directory\"):\n            os.fsync(self.directory)\n        with calls(\"publish\"):\n")]),
    "SyncedBeforeLastWrite": ("SR-PUB-001", "the partial is synced before its last bytes are written", [
        ("        with calls(\"write\"):\n            while data:", "        with calls(\"sync\"):\n            if done:\n                os.fsync(transfer.file)\n        with calls(\"write\"):\n            while data:"),
        ("            os.fsync(transfer.file)\n        with calls(\"publish\")", "            pass\n        with calls(\"publish\")")]),
    "ReceiveDirectoryNotSynced": ("SR-PUB-005", "an opening does not sync the receive directory", [
        ("for path in (receive, data_dir, os.path.dirname(os.path.abspath(data_dir))):", "for path in (data_dir, os.path.dirname(os.path.abspath(data_dir))):")]),
    "OpeningLeavesAMark": ("SR-PUB-005", "an opening leaves a file beside the data directory", [
        ("            self.directory = open_directory(receive)\n", "            self.directory = open_directory(receive)\n            open(data_dir + '.opened', 'w').close()\n")]),
    "LogBesidePartials": ("SR-SEC-001", "a log is written into the receive directory", [
        ("        transfer, length = self.running[database], len(data)\n", "        transfer, length = self.running[database], len(data)\n"
         "        os.close(os.open('chunks.log', os.O_CREAT | os.O_WRONLY, 0o600, dir_fd=self.directory))\n")]),
    "DataBesidePartials": ("SR-SEC-001", "a log is written into the data directory", [
        ("        transfer, length = self.running[database], len(data)\n", "        transfer, length = self.running[database], len(data)\n"
         "        os.close(os.open('../chunks.log', os.O_CREAT | os.O_WRONLY, 0o600, dir_fd=self.directory))\n")]),
    "NeverDone": ("SR-OFF-005", "the last chunk stays pending", [
        ("        if not done:\n", "        if not done or offset:\n")]),
    "WedgedAfterVerdict": ("SR-LIV-001", "after three verdicts nothing starts any more", [
        ("        if transfer.offset != total:\n", "        if transfer.offset != total:\n            self.bad = getattr(self, 'bad', 0) + 1\n"),
        ("            if total > SNAPSHOT_BYTES_MAX:\n", "            if getattr(self, 'bad', 0) >= 1:\n                raise rejected('other')\n            if total > SNAPSHOT_BYTES_MAX:\n")]),

    # Names, numbers and what is left behind.
    "NamesFolded": ("SR-IDN-002", "names of files are folded to lower case", [
        ('database + ".partial"', 'database.lower() + ".partial"'), ('database + ".snapshot"', 'database.lower() + ".snapshot"')]),
    "TransfersFolded": ("SR-IDN-002", "transfers are looked up without regard to case", [
        (UNPACKED, UNPACKED + "        database = next((known for known in self.running if known.lower() == database.lower()), database)\n")]),
    "NamesCleanedUp": ("SR-IDN-002", "dots and dashes of names become underscores", [
        ('database + ".partial"', 're.sub("[.-]", "_", database) + ".partial"'),
        ('database + ".snapshot"', 're.sub("[.-]", "_", database) + ".snapshot"')]),
    "NamesCutAtTheEnd": ("SR-IDN-002", "names of files are cut to 199 letters", [
        ('database + ".partial"', 'database[:199] + ".partial"'), ('database + ".snapshot"', 'database[:199] + ".snapshot"')]),
    "IdsAreNumbers": ("SR-IDN-002", "an id of digits is a number, and zeros before it are dropped", [
        (UNPACKED, UNPACKED + "        database = str(int(database)) if re.fullmatch('[0-9]+', database) else database\n")]),
    "NarrowOffset": ("SR-OFF-003", "offsets are kept in 32 bits", [(UNPACKED, UNPACKED + "        offset &= U32\n")]),
    "NarrowOffsetStarts": ("SR-OFF-002", "whether an offset is 0 is told by its low 32 bits", [
        (UNPACKED, UNPACKED + "        offset = offset if offset & U32 else 0\n")]),
    "NarrowTotal": ("SR-LEN-001", "totals are kept in 32 bits", [(UNPACKED, UNPACKED + "        total &= U32\n")]),
    "NarrowTotalCompared": ("SR-IDN-001", "totals are compared in 32 bits", [
        (IDENTITY, "(running.identity[:2], running.identity[2] & U32, running.identity[3]) != (identity[:2], total & U32, declared)")]),
    "NarrowLsn": ("SR-IDN-004", "LSNs are compared in 32 bits", [(STALE, "if lsn & U32 < newest & U32:")]),
    "ChecksumSeededWrong": ("SR-CRC-001", "the checksum's register begins at 0", [
        ("    crc ^= U32\n", ""), ("    return crc ^ U32\n", "    return crc\n")]),
    "ChecksumLowHalf": ("SR-CRC-002", "the low half of the checksum is compared", [
        (CRC_DIFFERS, "if (transfer.crc ^ declared) & 0xFFFF:")]),
    "ChecksumEnds": ("SR-CRC-002", "the first and the last byte of the checksum are compared", [
        (CRC_DIFFERS, "if (transfer.crc ^ declared) & 0xFF0000FF:")]),
    "ChecksumMiddle": ("SR-CRC-002", "the two bytes in the middle of the checksum are compared", [
        (CRC_DIFFERS, "if (transfer.crc ^ declared) & 0x00FFFF00:")]),
    "ChecksumLeaksFromVerdict": ("SR-CRC-001", "the next attempt's checksum goes on from that of one that came to nothing", [
        ("offset=0, crc=0, file=None)", "offset=0, crc=getattr(self, 'left', 0), file=None)\n        self.left = 0"),
        ("        if transfer.offset != total:\n", "        if transfer.offset != total:\n            self.left = transfer.crc\n")]),
    "ChecksumLeaksFromAbort": ("SR-CRC-001", "the next attempt's checksum goes on from that of an aborted one", [
        ("offset=0, crc=0, file=None)", "offset=0, crc=getattr(self, 'left', 0), file=None)\n        self.left = 0"),
        ("            self.end(each)\n", "            self.left = self.running[each].crc if each in self.running else 0\n            self.end(each)\n")]),
    "TruncatedAtTheEnd": ("SR-OFF-001", "a start goes on in the file of before, which is cut when it is published", [
        ("os.O_RDWR | os.O_CREAT | os.O_EXCL", "os.O_RDWR | os.O_CREAT"),
        ("            if error := self.remove(database):\n                raise error\n", ""),
        ("            os.fsync(transfer.file)\n", "            os.ftruncate(transfer.file, transfer.offset)\n            os.fsync(transfer.file)\n")]),
    "CommittedStartAnswered": ("SR-OFF-001", "a start of what was committed is answered committed at once", [
        ("        if offset == 0:\n            if total >", "        if offset == 0 and latest and latest[2] and latest[2][0] == identity:\n"
         "            return committed(database, lsn)\n        if offset == 0:\n            if total >")]),
    "RefusalLeavesAFile": ("SR-ADM-004", "a continuation without a transfer makes an empty partial", [
        ('            raise rejected("offset_mismatch", 0, 0, offset)\n',
         "            os.close(os.open(database + '.partial', os.O_RDWR | os.O_CREAT, dir_fd=self.directory))\n"
         '            raise rejected("offset_mismatch", 0, 0, offset)\n')]),
    "EmptyChunkNotJudged": ("SR-OFF-003", "an empty chunk is right at any offset", [
        ("elif offset != running.offset:", "elif data and offset != running.offset:")]),
    "ArrivalOrder": ("SR-OFF-003", "chunks are written as they arrive, whatever their offsets", [
        ("elif offset != running.offset:", "elif False:")]),
    "ZerosNotWritten": ("SR-OFF-004", "zeros at the end of a chunk are not written", [
        ("written = os.pwrite(transfer.file, data, transfer.offset)",
         "os.pwrite(transfer.file, data.rstrip(b'\\0'), transfer.offset); written = len(data)")]),
    "LineEndsChanged": ("SR-OFF-004", "a line end of two bytes becomes one of one", [
        ("written = os.pwrite(transfer.file, data, transfer.offset)",
         "os.pwrite(transfer.file, data.replace(b'\\r\\n', b'\\n'), transfer.offset); written = len(data)")]),
    "TotalAsBytesDone": ("SR-OFF-005", "pending carries the total", [
        ('"bytes_done": transfer.offset}', '"bytes_done": identity[2]}')]),
    "CommitLeavesPartial": ("SR-PUB-004", "the partial stays under its name beside the snapshot", [
        ("            os.rename(partial, snapshot,", "            os.link(partial, '.new', src_dir_fd=self.directory, dst_dir_fd=self.directory)\n"
         "            os.rename('.new', snapshot,")]),
    "ClusterFolded": ("SR-IDN-001", "clusters are compared without regard to case", [
        (UNPACKED, UNPACKED + "        cluster = cluster.lower()\n")]),
    "StartedCounts": ("SR-IDN-004", "whatever was started is a measure, though it came to nothing", [
        ("            if lsn < newest:", "            newest = max(newest, getattr(self, 'most', {}).get(database, 0))\n            if lsn < newest:"),
        ("        transfer = self.running[database] = types", "        self.most = {**getattr(self, 'most', {}), database: identity[1]}\n"
         "        transfer = self.running[database] = types")]),
    "CommitOutlivesRestart": ("SR-IDN-004", "the latest commit is a measure after a restart too", [
        ("        self.owed = set()", "        import json\n        with contextlib.suppress(OSError, ValueError):\n"
         "            with open(os.path.join(data_dir, 'recv_snapshots', '.latest')) as file:\n"
         "                self.latest = {key: (*value, None) for key, value in json.load(file).items()}\n        self.owed = set()"),
        ("        if len(self.latest) > REMEMBERED_MAX:", "        import json\n"
         "        with open('.latest', 'w', opener=lambda name, flags: os.open(name, flags, dir_fd=self.directory)) as file:\n"
         "            json.dump({key: value[:2] for key, value in self.latest.items()}, file)\n        if len(self.latest) > REMEMBERED_MAX:")]),
    "ShortStartRefused": ("SR-LEN-001", "a start that is too short, and done, leaves what ran before", [
        ("        if offset == 0:\n            self.start(", "        if offset == 0 and done and length_is_not(data, identity):\n"
         "            return rejected('length_mismatch', 0, identity[2], len(data)).args[0]\n        if offset == 0:\n            self.start("),
        ("def committed(", "def length_is_not(data, identity):\n    return len(data) != identity[2]\n\n\ndef committed(")]),
    "WrongStartRefused": ("SR-CRC-002", "a start that has a wrong checksum, and done, leaves what ran before", [
        ("        if offset == 0:\n            self.start(", "        if offset == 0 and done and len(data) == identity[2] and crc32c(0, data) != identity[3]:\n"
         "            return rejected('crc_mismatch', 0, identity[3], crc32c(0, data)).args[0]\n        if offset == 0:\n            self.start(")]),
    "SnapshotVisibleEarly": ("SR-PUB-002", "the snapshot's name is there with the first chunk, where none was", [
        ("        if not done:\n", "        if not done:\n            with contextlib.suppress(FileExistsError):\n"
         "                os.link(database + '.partial', database + '.snapshot', src_dir_fd=self.directory, dst_dir_fd=self.directory)\n")]),
    "SnapshotNotReplaced": ("SR-LIV-001", "a snapshot that is there fails the next one's publication", [
        ("            os.rename(partial, snapshot, src_dir_fd=self.directory, dst_dir_fd=self.directory)\n",
         "            os.link(partial, snapshot, src_dir_fd=self.directory, dst_dir_fd=self.directory)\n"
         "            os.unlink(partial, dir_fd=self.directory)\n")]),
    "AbortByPrefix": ("SR-ABT-001", "an abort ends all whose ids begin so", [
        ("known if database is None else known & {database}:", "known if database is None else [one for one in known if one.startswith(database)]:")]),
    "IdentityRefusalEndsTransfer": ("SR-ADM-004", "a refused continuation of another snapshot ends the transfer", [
        ('            raise rejected("identity_mismatch")', '            self.end(database); self.remove(database)\n            raise rejected("identity_mismatch")')]),
    "TotalRefusalEndsTransfer": ("SR-ADM-004", "a start that declares too much ends the transfer", [
        ("                raise rejected(\"snapshot_too_large\"", "                self.end(database); self.remove(database)\n                raise rejected(\"snapshot_too_large\"")]),
    "ChunkRefusalEndsTransfer": ("SR-ADM-004", "a chunk that is too long ends the transfer", [
        ("            raise rejected(\"chunk_too_large\"", "            self.end(database); self.remove(database)\n            raise rejected(\"chunk_too_large\"")]),
    "ClusterRefusalEndsTransfer": ("SR-ADM-004", "a cluster id that is not valid ends the transfer", [
        ('            raise rejected("invalid_cluster_id")', '            self.end(database); self.remove(database)\n            raise rejected("invalid_cluster_id")')]),
    "RefusedOffsetGoesOn": ("SR-ADM-004", "the bytes of a refused overlap are counted", [
        ("            raise rejected(\"offset_mismatch\", resume, running.offset, offset)\n",
         "            before, running.offset = running.offset, max(running.offset, min(offset + len(data), total))\n"
         "            raise rejected(\"offset_mismatch\", resume, before, offset)\n")]),
    "ValuesSwapped": ("SR-ADM-005", "expected and actual are told the wrong way round", [
        ('"expected": expected, "actual": actual}', '"expected": actual, "actual": expected}')]),
    "VerdictResumesAtEnd": ("SR-ADM-005", "after a length mismatch the source is sent to where it stopped", [
        ('rejected("length_mismatch", 0, total', 'rejected("length_mismatch", transfer.offset, total')]),
    "OverrunBeforeOffset": ("SR-ADM-005", "an overrun is told where the offset is wrong already", [
        ("        elif running.identity != identity:\n", "        elif overrun:\n            raise overrun\n        elif running.identity != identity:\n")]),
    "OffsetBeforeIdentity": ("SR-ADM-005", "a wrong offset is told where the snapshot is another already", [
        ("        elif running.identity != identity:\n", "        elif offset != running.offset:\n"
         "            raise rejected('offset_mismatch', resume, running.offset, offset)\n        elif running.identity != identity:\n")]),
    "IdsOneTooLong": ("SR-ADM-001", "an id of 201 bytes is valid", [("{0,199}", "{0,200}")]),
    "ClusterMayBeEmpty": ("SR-ADM-001", "a cluster id may be empty", [("if not 1 <= len(cluster", "if not 0 <= len(cluster")]),
    "ClusterOneTooLong": ("SR-ADM-001", "a cluster id of 201 bytes is valid", [("len(cluster.encode()) <= 200", "len(cluster.encode()) <= 201")]),
    "ClusterIsAnId": ("SR-ADM-001", "a cluster id is judged as a database id is", [
        ("if not 1 <= len(cluster.encode()) <= 200:", "if not VALID_ID.fullmatch(cluster):")]),
    "FailedWriteLeavesPartial": ("SR-ERR-001", "a failed write leaves the partial", [
        ("        except Refused:\n            self.end(database)\n            self.remove(database)\n            raise\n\n    def admitted",
         "        except Refused as refused:\n            self.end(database)\n"
         "            if refused.args[0].get('operation') != 'write':\n                self.remove(database)\n            raise\n\n    def admitted")]),
    "FailureSwallowed": ("SR-ERR-001", "a failed rename is taken for done", [
        ("        with calls(\"publish\"):\n", "        with contextlib.suppress(OSError):\n")]),
    "WriteFailureSwallowed": ("SR-ERR-001", "a failed write is taken for done", [
        ("written = os.pwrite(transfer.file, data, transfer.offset)",
         "written = len(data)\n                with contextlib.suppress(OSError):\n                    os.pwrite(transfer.file, data, transfer.offset)")]),
    "FailureNeedsTwoStarts": ("SR-ERR-001", "the first start after a failure is refused", [
        ('        raise Refused({"reply": "failed", "operation": operation, "kind": kind}) from error',
         '        FAILED.append(1)\n        raise Refused({"reply": "failed", "operation": operation, "kind": kind}) from error'),
        ("TABLE = []\n", "TABLE = []\nFAILED = []\n"),
        ("            if total > SNAPSHOT_BYTES_MAX:\n", "            if FAILED and FAILED.pop():\n                raise rejected('other')\n            if total > SNAPSHOT_BYTES_MAX:\n")]),
    "OwedNotTriedAgain": ("SR-ERR-005", "an abort does not try again what could not be removed", [
        ("        known = self.running.keys() | self.owed\n", "        known = set(self.running)\n")]),
    "OldestEvicted": ("SR-CON-005", "one transfer too many ends the oldest", [
        ("                raise rejected(\"too_many_transfers\", resume)", "                oldest = next(iter(self.running))\n                self.end(oldest); self.remove(oldest)")]),
    "AbortsTakePlaces": ("SR-CON-005", "an abort does not free its place", [
        ("len(self.running) >= TRANSFERS_MAX:", "len(self.running) + getattr(self, 'lost', 0) >= TRANSFERS_MAX:"),
        ("            self.end(each)\n", "            self.lost = getattr(self, 'lost', 0) + (each in self.running)\n            self.end(each)\n")]),
    "FailuresTakePlaces": ("SR-CON-005", "a failed create does not free its place", [
        ("len(self.running) >= TRANSFERS_MAX:", "len(self.running) + getattr(self, 'lost', 0) >= TRANSFERS_MAX:"),
        ("            if error := self.remove(database):\n", "            if error := self.remove(database):\n                self.lost = getattr(self, 'lost', 0) + 1\n")]),
    "FilesStayOpen": ("SR-CON-005", "the file of an attempt that ended stays open", [
        ("            os.close(transfer.file)\n", "            pass\n")]),
    "FilesOfVerdictsStayOpen": ("SR-CON-005", "the file of an attempt that ended in a verdict stays open", [
        ("        if transfer.offset != total:\n", "        if transfer.offset != total:\n            transfer.file = None\n")]),
    "FilesOfAbortsStayOpen": ("SR-CON-005", "the file of an aborted attempt stays open", [
        ("            self.end(each)\n            self.remove(each)\n", "            self.running.pop(each, None)\n            self.remove(each)\n")]),
    "SweepsBelow": ("SR-REC-001", "an opening sweeps directories in the receive directory too", [
        ("            database, suffix = os.path.splitext(name)\n", "            with contextlib.suppress(OSError):\n"
         "                for below in os.listdir(os.path.join('/proc/self/fd', str(self.directory), name)):\n"
         "                    if below.endswith('.partial'):\n                        os.unlink(os.path.join(name, below), dir_fd=self.directory)\n"
         "            database, suffix = os.path.splitext(name)\n")]),
    "SweepsAnyCase": ("SR-REC-001", "an opening removes .PARTIAL too", [
        ('            if suffix == ".partial"', '            if suffix == ".PARTIAL":\n                os.unlink(name, dir_fd=self.directory)\n            if suffix == ".partial"')]),
    "SweepsOne": ("SR-REC-001", "an opening removes one orphan", [
        ("                    self.remove(database)\n                elif", "                    self.remove(database)\n                    return\n                elif")]),
    "SweepPublishes": ("SR-REC-001", "an opening publishes the orphans that it finds", [
        ("                    self.remove(database)\n                elif", "                    os.rename(name, database + '.snapshot', src_dir_fd=self.directory, dst_dir_fd=self.directory)\n                elif")]),
    "LockIsAFile": ("SR-REC-002", "what a killed receiver left is taken for one that lives", [
        ("                fcntl.flock(self.directory, fcntl.LOCK_EX | fcntl.LOCK_NB)\n",
         "                os.close(os.open('.lock', os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600, dir_fd=self.directory))\n"),
        ("            self.abort()\n        os.close(self.directory)\n", "            self.abort()\n        os.unlink('.lock', dir_fd=self.directory)\n        os.close(self.directory)\n")]),
    "CloseRemovesSnapshots": ("SR-PUB-003", "a closing removes the snapshots", [
        ("            self.abort()\n        os.close(self.directory)\n", "            self.abort()\n        for name in os.listdir(self.directory):\n"
         "            if name.endswith('.snapshot'):\n                os.unlink(name, dir_fd=self.directory)\n        os.close(self.directory)\n")]),
    "DirectoryRemoved": ("SR-SEC-002", "a directory of the partial's name is removed with what is in it", [
        ("            if error := self.remove(database):\n", "            import shutil\n"
         "            shutil.rmtree(os.path.join('/proc/self/fd', str(self.directory), database + '.partial'), ignore_errors=True)\n"
         "            if error := self.remove(database):\n")]),
    "LinkWrittenThrough": ("SR-SEC-002", "a link in the snapshot's place is written through", [
        ("            os.rename(partial, snapshot,", "            if os.path.islink(os.path.join('/proc/self/fd', str(self.directory), snapshot)):\n"
         "                copy = os.open(snapshot, os.O_WRONLY | os.O_TRUNC, dir_fd=self.directory)\n"
         "                os.write(copy, os.pread(transfer.file, transfer.offset, 0)); os.close(copy)\n                os.unlink(partial, dir_fd=self.directory)\n"
         "                return\n            os.rename(partial, snapshot,")]),

    **SECOND,
}

# Mistakes of the adapter itself: what it opens, and what it lets through that is no envelope.
ADAPTER_BUGS = {
    "OpeningTellsClosing": ("SR-REC-004", "opening another directory fails where the old one's partial cannot be removed", [
        ("        self.close(request)\n        self.open_one =", "        if self.open_one:\n            self.open_one.abort()\n        self.close(request)\n        self.open_one =")]),
    "ClosingTellsRemoval": ("SR-REC-004", "a closing answers that the partial could not be removed", [
        ("            before.close()\n", "            if request['op'] == 'close':\n                before.abort()\n            before.close()\n")]),
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
