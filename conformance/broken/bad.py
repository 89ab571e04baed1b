#!/usr/bin/env python3
"""Adapters that misbehave, to see whether the kit says so and leaves nothing behind.

    python3 bad.py            lists them
    python3 bad.py HOW [N]    misbehaves so at the N-th request (default 3), and is the plain adapter before
"""
import os
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "adapters"))


def child():
    subprocess.Popen(["sleep", "1000"], start_new_session=True)


HOW = {
    "nonsense": lambda line: print("I am fine, thank you", flush=True),
    "not-an-object": lambda line: print("42", flush=True),
    "half-a-line": lambda line: (print('{"seq":', end="", flush=True), os._exit(0)),
    "no-utf8": lambda line: (sys.stdout.buffer.write(b"\xff\xfe\n"), sys.stdout.buffer.flush()),
    "unknown-word": lambda line: print('{"seq":SEQ,"reply":"perhaps"}'.replace("SEQ", line), flush=True),
    "wrong-seq": lambda line: print('{"seq":999999,"reply":"pending","bytes_done":1}', flush=True),
    "no-seq": lambda line: print('{"reply":"pending","bytes_done":1}', flush=True),
    "silence": lambda line: time.sleep(1000),
    "death": lambda line: os._exit(3),
    "signal": lambda line: os.kill(os.getpid(), 11),
    "closed-output": lambda line: (os.close(1), time.sleep(1000)),
    "flood": lambda line: [sys.stdout.write("x" * 65536) for _ in iter(int, 1)],
    "flood-of-lines": lambda line: [print("{}", flush=True) for _ in iter(int, 1)],
    "standard-error": lambda line: [sys.stderr.write("e" * 65536) for _ in iter(int, 1)],
    "exception": lambda line: 1 / 0,
    "errored": lambda line: print('{"seq":SEQ,"reply":"errored","message":"not today"}'.replace("SEQ", line), flush=True),
    "children-and-death": lambda line: (child(), os._exit(3)),
    "children-and-silence": lambda line: (child(), time.sleep(1000)),
}


def main():
    if len(sys.argv) < 2:
        print("\n".join(HOW))
        return
    import json
    import adapter
    how, at = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 3
    plain, count = sys.stdin, 0

    def requests():
        nonlocal count
        for line in plain:
            count += 1
            if count == at:
                HOW[how](str(json.loads(line)["seq"]))
            else:
                yield line
    sys.stdin = requests()
    adapter.main()


if __name__ == "__main__":
    main()
