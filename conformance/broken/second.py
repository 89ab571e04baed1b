"""Broken receivers that a first look does not show: wrong only the second time, in the second database,
after a failure, or where there is nothing. As `broken.py` has them, which lists and runs these too.
"""
STALE = "if lsn < newest:"
CRC_DIFFERS = "if transfer.crc != declared:"

# name: clause, what is wrong, the places and what stands there instead
SECOND = {
    "FirstCommitCounts": ("SR-IDN-004", "the first commit stays the measure", [
        ("        self.latest.pop(database, None)\n        self.latest[database] = (cluster, lsn,", "        first = self.latest.pop(database, None)\n"
         "        self.latest[database] = (cluster, first[1] if first and first[0] == cluster else lsn,")]),
    "ZeroIsNoLsn": ("SR-IDN-004", "an LSN of 0 is taken for none, and is never older", [(STALE, "if 0 < lsn < newest:")]),
    "VerdictForgetsCommit": ("SR-IDN-004", "a verdict forgets the latest commit", [
        ("        if transfer.offset != total:\n", "        if transfer.offset != total or transfer.crc != declared:\n            self.latest.pop(database, None)\n"
         "        if transfer.offset != total:\n")]),
    "FailureForgetsCommit": ("SR-IDN-004", "a failed create forgets the latest commit", [
        ("            if error := self.remove(database):\n", "            if error := self.remove(database):\n                self.latest.pop(database, None)\n")]),
    "AbortOfAllForgetsCommits": ("SR-IDN-004", "an abort of all forgets the latest commits", [
        ("        known = self.running.keys() | self.owed\n", "        known = self.running.keys() | self.owed\n        if database is None:\n            self.latest.clear()\n")]),
    "RepeatOutlivesFailedStart": ("SR-IDN-003", "a start whose create fails leaves the answer to a repeated final chunk", [
        ("        if database in self.latest:  # its", "        if not self.remove(database) and database in self.latest:  # its")]),
    "SecondChecksumUnchecked": ("SR-CRC-002", "the checksum is compared until it was wrong once", [
        (CRC_DIFFERS, "wrong = self.wrong = getattr(self, 'wrong', set())\n        if transfer.crc != declared and database not in wrong:\n            wrong.add(database)")]),
    "EmptyEndUnchecked": ("SR-CRC-002", "an empty last chunk ends a snapshot whatever its checksum", [
        (CRC_DIFFERS, "if length and transfer.crc != declared:")]),
    "ChecksumSigned": ("SR-CRC-001", "a checksum with its highest bit set is never equal", [
        (CRC_DIFFERS, "if (transfer.crc ^ 1 << 31) - (1 << 31) != declared:")]),
    "EmptyNotPublished": ("SR-CRC-003", "a snapshot of no bytes commits, and the one before stays", [
        ("        with calls(\"publish\"):\n", "        if not transfer.offset and os.path.exists(f'/proc/self/fd/{self.directory}/{snapshot}'):\n"
         "            self.remove(database)\n            return\n        with calls(\"publish\"):\n")]),
    "ZeroIsNoTotal": ("SR-ADM-003", "a total of 0 is taken for an unknown one", [
        ("if offset + len(data) > total else None", "if offset + len(data) > total > 0 else None")]),
    "PathOfTheFirst": ("SR-OFF-005", "committed carries the path of the first database that committed", [
        ("        return committed(database, lsn)\n\n    def start", "        return committed(next(iter(self.latest)), lsn)\n\n    def start")]),
    "RefusedBytesTold": ("SR-OFF-005", "pending counts the bytes of a refused chunk too", [
        ("            raise rejected(\"offset_mismatch\", resume, running.offset, offset)\n", "            running.refused = len(data)\n"
         "            raise rejected(\"offset_mismatch\", resume, running.offset, offset)\n"),
        ('"bytes_done": transfer.offset}', '"bytes_done": transfer.offset + getattr(transfer, "refused", 0)}')]),
    "ResumeOfTheLastTransfer": ("SR-ADM-005", "whoever is refused is sent to where the latest transfer is", [
        ("resume = running.offset if running and running.identity == identity else 0",
         "resume = list(self.running.values())[-1].offset if running and running.identity == identity else 0")]),
    "LimitResumesAtZero": ("SR-ADM-005", "the source of a chunk that is too long is sent back to 0", [
        ('rejected("chunk_too_large", resume,', 'rejected("chunk_too_large", 0,')]),
    "OverrunResumesAtZero": ("SR-ADM-005", "the source of an overrun is sent back to 0", [
        ('rejected("length_overrun", resume,', 'rejected("length_overrun", 0,')]),
    "StaleResumesInTransfer": ("SR-ADM-005", "the source of an older start is sent to where the newer one is", [
        ('rejected("stale_snapshot", resume,', 'rejected("stale_snapshot", running.offset if running else 0,')]),
    "ChecksumToldSigned": ("SR-ADM-005", "checksums are told as signed numbers", [
        ('rejected("crc_mismatch", 0, declared, transfer.crc)', 'rejected("crc_mismatch", 0, *[(crc ^ 1 << 31) - (1 << 31) for crc in (declared, transfer.crc)])')]),
    "TransferOfEachCluster": ("SR-IDN-001", "each cluster has a transfer of its own of a database", [
        ("        identity = (cluster, lsn, total, declared)\n", "        parked, other = self.__dict__.setdefault('parked', {}), self.running.get(database)\n"
         "        if other and other.identity[0] != cluster and (not offset or (database, cluster) in parked):\n"
         "            parked[database, other.identity[0]] = self.running.pop(database)\n            if offset:\n"
         "                self.running[database] = parked.pop((database, cluster))\n        identity = (cluster, lsn, total, declared)\n")]),
    "NewOrphansKept": ("SR-REC-001", "an orphan newer than the snapshot beside it is taken for one in progress", [
        ("                if stat.S_ISREG(mode) or stat.S_ISLNK(mode):\n", "                with contextlib.suppress(FileNotFoundError):\n"
         "                    times = [os.stat(database + end, dir_fd=self.directory).st_mtime_ns for end in ('.snapshot', '.partial')]\n"
         "                    if times[0] <= times[1]:\n                        continue\n                if stat.S_ISREG(mode) or stat.S_ISLNK(mode):\n")]),
    "SweepsTwiceAtMost": ("SR-REC-001", "the third opening of a directory sweeps no more", [
        ("    def sweep(self):\n", "    def sweep(self):\n        with open('.swept', 'a+', opener=lambda name, flags: os.open(name, flags, dir_fd=self.directory)) as file:\n"
         "            file.write('x'); file.flush(); file.seek(0)\n            if len(file.read()) > 2:\n                return\n")]),
    "AbortIdsOneTooShort": ("SR-ABT-001", "an abort of the longest id is rejected", [
        ("if database is not None and not VALID_ID.fullmatch(database):", "if database is not None and not VALID_ID.fullmatch(database + 'x'):")]),
    "SecondTellsRemoval": ("SR-REC-001", "an opening tries to remove what it finds before it has the lock", [
        ("            with calls(\"lock\"):\n", "            with calls('remove'):\n                for name in os.listdir(self.directory):\n"
         "                    if name.endswith('.partial') and os.path.isdir(f'/proc/self/fd/{self.directory}/{name}'):\n"
         "                        os.unlink(name, dir_fd=self.directory)\n            with calls(\"lock\"):\n")]),
}
