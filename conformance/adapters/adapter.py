#!/usr/bin/env python3
"""The adapter of the plain receiver, and a template for yours: one JSON request a line on standard
input, one JSON reply a line on standard output. Copy it, and put your receiver behind `Adapter`.

    cargo gate conform --cmd "python3 conformance/adapters/adapter.py"
"""
import base64
import json
import re
import sys

import receiver


def fields(envelope):
    """What an envelope carries, in order; LookupError, TypeError or ValueError where it is none."""
    def number(name, most):
        value = envelope[name]
        if isinstance(value, str) and re.fullmatch("[0-9]{1,20}", value):
            value = int(value)
        if type(value) is not int or not 0 <= value <= most:
            raise ValueError(f"{name} is no number up to {most}")
        return value
    ids = [envelope["source_database_id"], envelope["source_cluster_id"]]
    if not all(isinstance(text, str) for text in ids) or not isinstance(envelope["done"], bool):
        raise TypeError("an id is no text, or done is no truth value")
    return (*ids, number("snapshot_lsn", receiver.U64), number("total_bytes", receiver.U64), number("total_crc32c", receiver.U32),
            number("offset", receiver.U64), base64.b64decode(envelope["data"], validate=True), envelope["done"])


class Adapter:
    open_one = None

    def hello(self, request):
        limits = {"chunk_bytes_max": receiver.CHUNK_BYTES_MAX,
                  "snapshot_bytes_max": receiver.SNAPSHOT_BYTES_MAX,
                  "transfers_max": receiver.TRANSFERS_MAX}
        return {"name": "plain-python", "version": "1.0", "language": "python", "limits": limits,
                "features": ["abort", "multi", "restart", "stale", "lock"]}

    def open(self, request):
        data_dir = request["data_dir"]
        self.close(request)
        self.open_one = receiver.Receiver(data_dir)
        return {"reply": "opened", "orphans_left": len(self.open_one.owed)}

    def chunk(self, request):
        return self.open_one.chunk(fields(request["envelope"]))

    def abort(self, request):
        self.open_one.abort(request.get("database_id"))
        return {"reply": "aborted"}

    def close(self, request):
        before, self.open_one = self.open_one, None
        if before:
            before.close()
        return {"reply": "closed"}


def main():
    adapter = Adapter()
    for line in sys.stdin:
        seq, op = None, None
        try:
            request = json.loads(line)
            seq, op = request.get("seq"), request["op"]
            if op not in ("hello", "open", "chunk", "abort", "close"):
                raise ValueError(f"no operation {op!r}")
            reply = getattr(adapter, op)(request)
        except receiver.Refused as refused:
            reply = refused.args[0]
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            reply = {"reply": "errored", "message": repr(error)}
        print(json.dumps({"seq": seq, **reply}), flush=True)
        if op == "close":
            return


if __name__ == "__main__":
    main()
