"""orjson, or None where there is none: a free-threaded Python can neither install nor safely load it.

There is no wheel of it for one, and built from source it brings the interpreter's lock back, for its cache of keys is
shared by all threads (docs/pythons.md). What it does for us is done in Python then: the same bytes, more slowly.
"""

from __future__ import annotations

from types import ModuleType

orjson: ModuleType | None
try:
    import orjson as _orjson

    orjson = _orjson
except ImportError:
    orjson = None
