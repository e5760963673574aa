"""Django: its applications' jobs, its settings, its database connections."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent

# Django is configured once per process, and for good: each test has a process of its own.
SETTINGS = """
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "shop.sqlite3", "CONN_MAX_AGE": SECONDS}}
INSTALLED_APPS = ["shop", "pykiq.contrib.django"]
PYKIQ = {"redis": "redis://of-django:6379/3", "concurrency": 7}
"""
JOBS = """
from asgiref.sync import sync_to_async
from django.db import connection
import pykiq

@pykiq.job
def touch():
    connection.ensure_connection()
    assert connection.connection is not None

@pykiq.job
async def atouch():
    await sync_to_async(lambda: connection.ensure_connection())()
"""
SETUP = "import django; django.setup(); import asyncio; from django.db import connection; from shop.jobs import *; "

pytestmark = pytest.mark.system


@pytest.fixture(params=[0, None], ids=["max-age-0", "persistent"])
def max_age(request: pytest.FixtureRequest) -> int | None:
    return request.param  # type: ignore[no-any-return]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "__init__.py").touch()
    (tmp_path / "shop" / "jobs.py").write_text(JOBS)
    (tmp_path / "settings.py").write_text(SETTINGS.replace("SECONDS", "0"))
    return tmp_path


def ran(project: Path, code: str, *flags: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", *(flags or ("-c", code))],
        cwd=project,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "settings", "PYTHONPATH": f"{ROOT}{os.pathsep}{project}"},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_the_jobs_of_applications_are_found_and_the_settings_used(project: Path) -> None:
    code = "import django; django.setup(); import pykiq; from pykiq.jobs.registry import registry; "
    shown = ran(project, code + "c = pykiq.configure(); print(registry.names())")
    assert shown.stdout == "['Atouch', 'Touch']\n", shown.stderr
    shown = ran(project, code + "c = pykiq.Client().config; print(c.redis, c.concurrency)")
    assert shown.stdout == "redis://of-django:6379/3 7\n", shown.stderr


def test_connections_are_closed_after_a_job_when_they_are_too_old(project: Path, max_age: int | None) -> None:
    (project / "settings.py").write_text(SETTINGS.replace("SECONDS", str(max_age)))
    shown = ran(project, SETUP + "touch.perform_inline(); print(connection.connection is None)")
    assert shown.stdout == f"{max_age == 0}\n", shown.stderr


def test_those_of_async_handlers_too_on_the_thread_that_has_them(project: Path, max_age: int | None) -> None:
    (project / "settings.py").write_text(SETTINGS.replace("SECONDS", str(max_age)))
    check = "(lambda: connection.connection is None)"
    code = f"async def main():\n    await atouch.aperform_inline()\n    print(await sync_to_async({check})())\n"
    shown = ran(project, SETUP + f"\n{code}\nasyncio.run(main())")
    assert shown.stdout == f"{max_age == 0}\n", shown.stderr


def test_a_transaction_of_a_test_is_left_alone(project: Path) -> None:
    code = "from django.db import transaction\nwith transaction.atomic():\n    touch.perform_inline()\n    "
    shown = ran(project, SETUP + "\n" + code + "print(connection.connection is None)")
    assert shown.stdout == "False\n", shown.stderr


def test_a_worker_loads_it_all_with_one_require(project: Path) -> None:
    shown = ran(project, "", "-m", "pykiq", "run", "--require", "pykiq.contrib.django")
    assert "redis://of-django:6379/3 does not answer" in shown.stderr


def test_a_worker_says_when_it_is_not_among_the_applications(project: Path) -> None:
    (project / "settings.py").write_text("INSTALLED_APPS = ['shop']")
    shown = ran(project, "", "-m", "pykiq", "run", "--require", "pykiq.contrib.django")
    assert "INSTALLED_APPS has no 'pykiq.contrib.django'; add it" in shown.stderr
    assert shown.returncode == 1
