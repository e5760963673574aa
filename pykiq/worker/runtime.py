"""What a worker rests on, a POSIX system and Python's own threads, and the refusal of what has something else."""

from __future__ import annotations

import os
import sys

from pykiq.errors import ConfigError

# Each replaces threads by something that runs only while the others wait in its own calls. Nobody waits there: the
# worker would say `running`, and never take a job or hear a signal.
GREEN = {"gevent": "gevent.monkey.patch_all()", "eventlet": "eventlet.monkey_patch()"}

# What those calls replace, in words, and where it is.
RESTS_ON = {
    "threads": (("_thread", "start_new_thread"), ("threading", "get_ident")),
    "locks": (("_thread", "allocate_lock"), ("threading", "Event"), ("queue", "SimpleQueue")),
    "sockets": (("socket", "socket"), ("ssl", "SSLContext")),
    "select": (("select", "select"),),
    "sleep": (("time", "sleep"),),
}


def check_system() -> None:
    """Raise ConfigError where processes cannot fork and be told by signals."""
    if not hasattr(os, "fork"):
        raise ConfigError(
            f"a worker needs a POSIX system, such as Linux or macOS, and this is {sys.platform}; pushing, testing and"
            " the other commands work here. Run workers in WSL, in a container or on another machine"
        )


def check() -> None:
    """Raise ConfigError where no worker can run, or gevent or eventlet has replaced what one rests on."""
    check_system()
    for library, call in GREEN.items():
        replaced = [what for what, places in RESTS_ON.items() if any(_is_of(library, *place) for place in places)]
        if replaced:
            raise ConfigError(
                f"{library} has replaced Python's {', '.join(replaced)} in this process, as {call} does; "
                "a worker needs Python's own. Take that call out of what is loaded here: `def` jobs have a thread "
                "each, `async def` jobs share an asyncio loop"
            )


def _is_of(library: str, module: str, name: str) -> bool:
    thing = getattr(sys.modules.get(module), name, None)
    return str(getattr(thing, "__module__", "")).partition(".")[0] == library
