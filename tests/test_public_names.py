"""What `import pykiq` promises: these names, and nothing else in sight."""

from __future__ import annotations

import subprocess
import sys
from types import ModuleType

import pykiq

DOCUMENTED = {
    # declaring and pushing
    "job", "Job", "remote", "configure", "Config", "Client", "AsyncClient", "client_middleware",
    "carry",
    # running
    "current_job", "JobContext", "server_middleware", "on", "death_handler", "error_handler",
    "embed",
    # deciding a job's fate
    "Snooze", "Discard", "Kill", "KILL", "DISCARD",
    "activejob", "errors", "__version__",
}  # fmt: skip


def test_the_exported_names_are_the_documented_ones() -> None:
    assert set(pykiq.__all__) == DOCUMENTED


def test_all_is_sorted_and_every_name_is_there() -> None:
    assert pykiq.__all__ == sorted(pykiq.__all__, key=lambda name: (not name.isupper(), not name[0].isupper(), name))
    assert all(hasattr(pykiq, name) for name in pykiq.__all__)


def test_nothing_else_is_visible_but_the_rooms_themselves() -> None:
    others = {
        name
        for name, value in vars(pykiq).items()
        if not name.startswith("_") and name not in DOCUMENTED and not isinstance(value, ModuleType)
    }
    assert others == set()


def test_importing_it_loads_no_worker_and_no_command_line() -> None:
    """A web application that only pushes jobs does not pay for running them."""
    code = "import sys, pykiq; print(*sys.modules)"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {".".join(name.split(".")[:2]) for name in shown.stdout.split()}
    assert "pykiq.client" in loaded
    assert loaded & {"pykiq.worker", "pykiq.cli", "pykiq.observe", "click", "prometheus_client"} == set()


def test_it_loads_what_only_active_jobs_need_when_that_is_used() -> None:
    code = (
        "import sys, pykiq\n"
        "assert not {'pykiq.wire.ajarguments', 'pykiq.client.envelope', 'pykiq.jobs.activejob'} & set(sys.modules)\n"
        "try: pykiq.activejop\n"
        "except AttributeError as error: assert 'activejop' in str(error)\n"
        "else: raise AssertionError('there is no such name')\n"
        "@pykiq.job(active_job=True)\n"
        "def invoice(): ...\n"
        "assert {'pykiq.client.envelope', 'pykiq.jobs.activejob'} <= set(sys.modules)\n"
        "assert pykiq.activejob.Symbol('a') == 'a'"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_importing_it_reads_no_setting_from_the_environment() -> None:
    code = (
        "import os, pykiq.client.configure as c\n"
        "os.environ['REDIS_URL'] = 'redis://later:6379/9'\n"
        "assert c.current().redis == 'redis://later:6379/9', c.current()"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
