"""What `import pykiq` promises: these names, and nothing else in sight."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pykiq
from pykiq import names

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


def loaded_by(code: str, *, rooms: bool = True) -> set[str]:
    """The modules of a Python that has run `code`, of packages the first two names."""
    shown = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys\nprint(*sys.modules)"], capture_output=True, text=True
    )
    assert shown.returncode == 0, shown.stderr
    return {".".join(name.split(".")[:2]) if rooms else name for name in shown.stdout.split()}


def test_importing_it_loads_nothing_that_takes_time() -> None:
    loaded = loaded_by("import pykiq")
    ours = {"pykiq", "pykiq.errors", "pykiq.names", "pykiq.namesake", "pykiq.version"}
    assert {name for name in loaded if name.startswith("pykiq")} == ours
    assert loaded & {"redis", "asyncio", "ssl", "logging", "structlog", "orjson", "pathlib"} == set()


def test_declaring_a_job_loads_what_pushes_it_but_no_worker_and_no_command_line() -> None:
    """A web application pays when it starts, not with its first push; and not for running jobs."""
    for code in ("@pykiq.job\ndef charge(): ...", "pykiq.remote('HardJob')", "class Charge(pykiq.Job): ..."):
        before = loaded_by(f"import pykiq\n{code}")
        assert {"pykiq.client", "pykiq.store", "redis"} <= before
        assert before & {"pykiq.worker", "pykiq.cli", "pykiq.observe", "click", "prometheus_client"} == set()


def test_each_name_is_loaded_from_where_type_checkers_see_it() -> None:
    tree = ast.parse(Path(pykiq.__file__).read_text())
    [block] = [node for node in tree.body if isinstance(node, ast.If)]
    imports = [node for node in block.body if isinstance(node, ast.ImportFrom)]
    seen = {alias.name: str(node.module) for node in imports for alias in node.names}
    assert seen | {"activejob": "pykiq.activejob"} == names.PLACES
    eager = {alias.name for node in tree.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert set(pykiq.__all__) <= eager | set(names.PLACES)
    assert set(pykiq.__all__) <= set(dir(pykiq))


def test_a_running_worker_has_every_name_in_memory() -> None:
    code = "import sys, pykiq.names\npykiq.names.load_all()"
    assert set(names.PLACES.values()) <= loaded_by(code, rooms=False)


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
