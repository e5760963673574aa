"""A process that gevent or eventlet has patched is refused, wherever a worker may start.

Neither is installed for the tests. What stands in for them replaces the same things by objects of modules of the same
names as the real ones do (gevent 26.9, eventlet 0.41); with those it was tried by hand.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from types import FunctionType

import pytest
import redis as redis_py

import pykiq
from pykiq.errors import ConfigError
from pykiq.worker import runtime
from tests.cli.command import pykiq_command

REPLACED = {
    "gevent": {
        ("_thread", "start_new_thread"): "gevent.thread",
        ("_thread", "allocate_lock"): "gevent.thread",
        ("threading", "Event"): "gevent._gevent_cevent",
        ("queue", "SimpleQueue"): "gevent._gevent_cqueue",
        ("socket", "socket"): "gevent._socket3",
        ("ssl", "SSLContext"): "gevent.ssl",
        ("select", "select"): "gevent.select",
        ("time", "sleep"): "gevent.hub",
    },
    "eventlet": {
        ("_thread", "start_new_thread"): "eventlet.green.thread",
        ("_thread", "allocate_lock"): "eventlet.green.thread",
        ("threading", "get_ident"): "eventlet.green.thread",
        ("socket", "socket"): "eventlet.greenio.base",
        ("ssl", "SSLContext"): "eventlet.green.ssl",
        ("select", "select"): "eventlet.green.select",
        ("time", "sleep"): "eventlet.greenthread",
    },
}
ONE_BY_ONE = [(library, place) for library, places in REPLACED.items() for place in places]


def stand_in(owner: str) -> FunctionType:
    def replacement() -> None: ...

    replacement.__module__ = owner
    assert isinstance(replacement, FunctionType)
    return replacement


def test_a_plain_process_is_fine() -> None:
    runtime.check()


@pytest.mark.parametrize(("library", "place"), ONE_BY_ONE)
def test_each_thing_that_is_replaced_is_noticed(
    library: str, place: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    module, name = place
    if place == ("time", "sleep"):
        import time

        monkeypatch.setattr(time, "sleep", stand_in(REPLACED[library][place]))
    else:
        monkeypatch.setattr(importlib.import_module(module), name, stand_in(REPLACED[library][place]))
    with pytest.raises(ConfigError, match=f"^{library} has replaced Python's (threads|locks|sockets|select|sleep) in"):
        runtime.check()


@pytest.mark.parametrize("owner", ["geventually", "freezegun.api", "tests.worker.test_runtime", "sentry_sdk"])
def test_what_others_replace_is_their_affair(owner: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import time

    monkeypatch.setattr(time, "sleep", stand_in(owner))
    runtime.check()


def test_an_embedded_worker_is_refused(
    redis_url: str, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    from pykiq.jobs.registry import registry

    request.addfinalizer(registry.clear)
    pykiq.job("Patched")(lambda: None)
    monkeypatch.setattr("select.select", stand_in("gevent.select"))
    with pytest.raises(ConfigError, match="gevent"), pykiq.embed(pykiq.Config.of(redis=redis_url)):
        pytest.fail("entered")


@pytest.mark.system
@pytest.mark.parametrize(
    ("when", "flags"),
    [
        ("while the module is loaded", ()),
        ("while the module is loaded", ("--processes", "2")),
        ("in a startup hook", ()),
    ],
)
def test_a_worker_ends_with_two_and_says_the_way_out(
    when: str, flags: tuple[str, ...], tmp_path: Path, redis: redis_py.Redis, redis_url: str
) -> None:
    late = "@pykiq.on('startup')\n" if "hook" in when else ""
    (tmp_path / "jobs.py").write_text(
        f"import select, pykiq\n@pykiq.job('A')\ndef a(): pass\n{late}def patch():\n"
        "    def green(*_): ...\n    green.__module__ = 'gevent.select'\n    select.select = green\n"
        + ("" if late else "patch()\n")
    )
    done = pykiq_command("run", "-r", "jobs", *flags, cwd=tmp_path, REDIS_URL=redis_url)
    assert done.returncode == 2
    last = done.stderr.splitlines()[-1]
    assert last.startswith(
        "pykiq: gevent has replaced Python's select in this process, as gevent.monkey.patch_all() does"
    )
    assert "`def` jobs have a thread each" in last
    assert "Traceback" not in done.stderr
