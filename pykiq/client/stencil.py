"""The bytes of many jobs that differ only in arguments and jid: everything else is written once.

Half of the cost of a bulk push was writing the same options a thousand times.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pykiq.wire import exactjson
from pykiq.wire.dialect import Dialect


class Stencil:
    """A job with two holes, `args` and `jid`, in the order of keys of the job it was made from."""

    __slots__ = ("_args_first", "_end", "_middle", "_start")

    def __init__(self, job: Mapping[str, Any], dialect: Dialect) -> None:
        keys = list(job)
        args, jid = keys.index("args"), keys.index("jid")
        first, second = sorted((args, jid))
        opened = {"args": b'"args":[', "jid": b'"jid":"'}
        closed = {"args": b"]", "jid": b'"'}
        self._args_first = args < jid
        self._start = b"{" + _members(job, keys[:first], dialect, after=b",") + opened[keys[first]]
        self._middle = closed[keys[first]] + b"," + _members(job, keys[first + 1 : second], dialect, after=b",")
        self._middle += opened[keys[second]]
        self._end = closed[keys[second]] + _members(job, keys[second + 1 :], dialect, before=b",") + b"}"

    def fill(self, args: bytes, jid: str) -> bytes:
        """The job's bytes. `args` is JSON without its outer brackets, `jid` holds nothing that JSON would escape."""
        first, second = (args, jid.encode()) if self._args_first else (jid.encode(), args)
        return b"".join((self._start, first, self._middle, second, self._end))


def _members(
    job: Mapping[str, Any], keys: Sequence[str], dialect: Dialect, *, before: bytes = b"", after: bytes = b""
) -> bytes:
    """The members of an object without its braces; nothing at all when there are none."""
    if not keys:
        return b""
    return before + exactjson.dumps({key: job[key] for key in keys}, dialect)[1:-1] + after
