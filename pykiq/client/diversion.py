"""Where pushes go instead of Redis while a test says so: the one seam behind `pykiq.testing`.

A block is open in the context (thread or task) that opened it and in those started from there. Code elsewhere, such as
a thread of a web server under test, goes by the block opened last in the process: a test's pushes must not reach a
real Redis because of where they came from. Two tests that run side by side, each in its own task, do not see each
other's pushes. While no block is open, a push pays for looking at an empty tuple.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol

from pykiq.store.push import PushBatch


class Sink(Protocol):
    """What takes the batches of pushes, as they would have been sent."""

    def take(self, batches: Sequence[PushBatch]) -> None: ...
    async def atake(self, batches: Sequence[PushBatch]) -> None: ...


class _Block:
    """One `with divert(…)`, inside of `outer`. No sink: pushes go to Redis."""

    __slots__ = ("outer", "sink")

    def __init__(self, sink: Sink | None, outer: _Block | None) -> None:
        self.sink = sink
        self.outer = outer

    def is_inside(self, other: _Block) -> bool:
        block: _Block | None = self
        while block is not None and block is not other:
            block = block.outer
        return block is other


_open: tuple[_Block, ...] = ()
_changing = threading.Lock()
_here: ContextVar[_Block | None] = ContextVar("pykiq_diversion", default=None)


def diverted() -> Sink | None:
    """What takes the pushes made here; None: Redis does."""
    blocks = _open
    if not blocks:
        return None
    return _innermost(blocks).sink


def is_open() -> bool:
    """Whether any block is open: then whoever opened it has said where pushes go, be it to Redis."""
    return bool(_open)


@contextmanager
def divert(sink: Sink | None) -> Iterator[None]:
    """Give the pushes of this block to `sink`; None: to Redis, inside of a block that diverts them."""
    global _open
    with _changing:
        block = _Block(sink, _own(_open))
        _open = (*_open, block)
    _here.set(block)
    try:
        yield
    finally:
        with _changing:
            _open = tuple(one for one in _open if one is not block)
        if _here.get() is block:  # not with a token: a fixture of pytest may end in another context than it began in
            _here.set(block.outer)


def _own(blocks: tuple[_Block, ...]) -> _Block | None:
    """The innermost block of this context that is still open: one may have ended outside of this copy of it."""
    mine = _here.get()
    while mine is not None and mine not in blocks:
        mine = mine.outer
    return mine


def _innermost(blocks: tuple[_Block, ...]) -> _Block:
    """This context's block; but the last opened one of all, if that is inside of it or there is none of its own.

    Inside of it: an outer fixture opened this context's block, and an inner fixture another one, after the context of
    an asyncio test had been copied.
    """
    mine, newest = _own(blocks), blocks[-1]
    return newest if mine is None or newest.is_inside(mine) else mine
