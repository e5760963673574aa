"""One queue for both languages: each job runs on its own side, once, and nobody counts a retry."""

from __future__ import annotations

from collections import Counter

import pytest

import pykiq
from tests.interop.conftest import Fleet
from tests.interop.stubs import python_beside, write_stubs

pytestmark = [pytest.mark.interop, pytest.mark.timeout(180)]

JOBS = 2000  # a quarter of each kind: pushed by Ruby or by Python, for Ruby or for Python

PUSHES = """
kinds = [Mixed::Deep::PyJob, RubyNote.set(queue: "mixed"), PyAsyncJob, RubyNote.set(queue: "mixed")]
(start...start + 100).map { |n| [n, kinds[n % 4].perform_async(n)] }
"""


def test_two_thousand_mixed_jobs_run_on_the_right_side_exactly_once(fleet: Fleet) -> None:
    # Given both sides at work on one queue
    stubs = write_stubs(fleet)
    fleet.ask("require path", path=stubs)
    fleet.ruby("-q", "mixed", "-c", "5", EXTRA=stubs)
    python_beside(fleet, "-q", "mixed", "-q", "python", "-c", "5")

    # When both push jobs for both, in turns
    wanted: dict[str, tuple[str, int]] = {}
    with pykiq.Client(pykiq.Config(redis=fleet.url)) as client:
        for start in range(0, JOBS, 200):
            pushes = (
                f"({start}...{start + 100}).map {{ |n| [n, (n.odd? ? RubyNote.set(queue: 'mixed') : CLASSES[n % 4])"
            )
            jids = fleet.ask(
                "CLASSES ||= {0 => Mixed::Deep::PyJob, 2 => PyAsyncJob};" + pushes + ".perform_async(n)] }"
            )
            wanted |= {jid: ("ruby" if n % 2 else "python", n) for n, jid in jids}
            for n in range(start + 100, start + 200):
                name = "RubyNote" if n % 2 else ("Mixed::Deep::PyJob", "PyAsyncJob")[n % 4 // 2]
                jid = client.push({"class": name, "args": [n], "queue": "mixed"})
                assert jid is not None
                wanted[jid] = ("ruby" if n % 2 else "python", n)

    # Then every one has run where it belongs, and nothing is left anywhere
    fleet.wait(lambda: fleet.redis.llen("notes") >= JOBS, 120, "a note of every job")
    fleet.wait(lambda: not fleet.redis.exists("queue:mixed", "queue:python"), 10, "empty queues")
    fleet.wait(lambda: not fleet.in_flight(), 10, "nothing in flight")
    notes = fleet.notes()
    assert {note["jid"]: (note["by"], note["args"][0]) for note in notes} == wanted
    assert Counter(Counter(note["jid"] for note in notes).values()) == {1: JOBS}
    assert fleet.redis.exists("retry", "dead", "schedule") == 0
    for program in fleet.programs:
        assert program.stop() == 0
    assert fleet.redis.get("stat:failed") in (None, b"0")
