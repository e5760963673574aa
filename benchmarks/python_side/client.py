"""Pushes as an application would, and tells how long it took; ../ruby_side/client.rb is the same in Ruby.

python benchmarks/python_side/client.py single|bulk COUNT
"""

from __future__ import annotations

import json
import sys
import time

import pykiq

Noop = pykiq.remote("Bench::Noop")
WARM = 200
TEXT = "x" * 40


def main(kind: str, count: int) -> None:
    for number in range(WARM):
        Noop.perform_async(number, TEXT)
    many = [[number, TEXT] for number in range(count)]
    started, busy = time.perf_counter(), time.process_time()
    if kind == "single":
        for args in many:
            Noop.perform_async(*args)
    else:
        Noop.perform_bulk(many, batch_size=1000)
    took = {"seconds": time.perf_counter() - started, "cpu": time.process_time() - busy}
    sys.stdout.write(json.dumps(took) + "\n")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
