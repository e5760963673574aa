"""What handlers' modules do to logging does not touch pykiq's lines; theirs are as they have configured them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis as redis_py

from tests.cli.command import start
from tests.servers import wait_until

pytestmark = pytest.mark.system

JOBS = """
import logging, sys
import structlog
import pykiq
{set_up}

@pykiq.job("Tells")
def tells():
    logging.getLogger("app").warning("from logging")
    structlog.get_logger().warning("from structlog")
    pykiq.current_job().log.info("from the job")
"""

STRUCTLOG_TO_LOGGING = """
structlog.configure(
    processors=[structlog.stdlib.add_log_level, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
    logger_factory=structlog.stdlib.LoggerFactory(),
)
formatter = structlog.stdlib.ProcessorFormatter(processor=structlog.processors.KeyValueRenderer(key_order=["event"]))
handler = logging.StreamHandler(sys.stdout)
handler.setFormatter(formatter)
logging.getLogger().addHandler(handler)
"""

DICT = """
import logging.config
logging.getLogger("pykiq"), logging.getLogger("pykiq.jobs")
logging.config.dictConfig({
    "version": 1, "disable_existing_loggers": True, "formatters": {"f": {"format": "APP %(message)s"}},
    "handlers": {"h": {"class": "logging.StreamHandler", "formatter": "f", "stream": "ext://sys.stdout"}},
    "root": {"handlers": ["h"], "level": "INFO"},
})
"""

DJANGO = """
import django
from django.conf import settings
settings.configure(LOGGING={
    "version": 1, "disable_existing_loggers": True, "formatters": {"f": {"format": "APP %(message)s"}},
    "handlers": {"h": {"class": "logging.StreamHandler", "formatter": "f", "stream": "ext://sys.stdout"}},
    "root": {"handlers": ["h"]}, "loggers": {"pykiq": {"handlers": ["h"], "level": "DEBUG"}},
})
django.setup()
"""

SENTRY = """
import sentry_sdk, pykiq.contrib.sentry
sentry_sdk.init(enable_logs=True)
pykiq.contrib.sentry.install()
"""

LINE = {"logging": "from logging", "structlog": "from structlog"}


def as_json(errors: str, out: str) -> bool:
    events = [line["event"] for line in json_lines(errors)]
    return all(events.count(line) == 1 for line in LINE.values()) and "from" not in out


def in_out(*expected: str) -> Callable[[str, str], bool]:
    return lambda errors, out: all(out.count(line) == 1 and line not in errors for line in expected)


def in_errors(*expected: str) -> Callable[[str, str], bool]:
    return lambda errors, out: all(errors.splitlines().count(line) == 1 for line in expected)


@pytest.mark.parametrize(
    ("set_up", "the_applications_are"),
    [
        pytest.param("", as_json, id="nothing"),
        pytest.param(
            "structlog.configure(processors=[structlog.processors.KeyValueRenderer()])",
            in_out("event='from structlog'"),
            id="a part of structlog",
        ),
        pytest.param(
            "structlog.configure_once(processors=[structlog.processors.KeyValueRenderer()])",
            in_out("event='from structlog'"),
            id="structlog once",
        ),
        pytest.param(
            "structlog.configure(cache_logger_on_first_use=True, logger_factory=structlog.ReturnLoggerFactory())",
            lambda errors, out: "from structlog" not in errors + out,
            id="structlog to nowhere",
        ),
        pytest.param(
            STRUCTLOG_TO_LOGGING,
            in_out("event='from structlog' level='warning'", "event='from logging'"),
            id="structlog through logging",
        ),
        pytest.param(
            "logging.basicConfig(format='APP %(message)s', level=logging.INFO)",
            in_errors("APP from logging"),
            id="basicConfig",
        ),
        pytest.param(
            "logging.basicConfig(format='APP %(message)s', level=logging.INFO, stream=sys.stdout, force=True)",
            in_out("APP from logging"),
            id="basicConfig by force",
        ),
        pytest.param(DICT, in_out("APP from logging"), id="dictConfig"),
        pytest.param(DJANGO, in_out("APP from logging"), id="django"),
        pytest.param(SENTRY, as_json, id="sentry"),
        pytest.param(
            "logging.shutdown(); logging.disable()",
            lambda errors, out: "from logging" not in errors + out,
            id="logging switched off",
        ),
        pytest.param(
            "import os; sys.stderr = open(os.devnull, 'w')",
            as_json,
            id="standard error replaced",
        ),
        pytest.param(
            "@pykiq.on('startup')\n"
            "def late():\n"
            "    structlog.configure(processors=[structlog.processors.KeyValueRenderer()],\n"
            "                        logger_factory=structlog.PrintLoggerFactory())\n"
            "    logging.basicConfig(format='APP %(message)s', stream=sys.stdout, force=True)",
            in_out("event='from structlog'", "APP from logging"),
            id="as late as possible",
        ),
    ],
)
def test_nothing_silences_or_doubles_pykiqs_lines_and_the_applications_are_as_configured(
    set_up: str,
    the_applications_are: Callable[[str, str], bool],
    redis: redis_py.Redis,
    redis_url: str,
    tmp_path: Path,
) -> None:
    (tmp_path / "telling.py").write_text(JOBS.format(set_up=set_up))
    log, out = tmp_path / "log", tmp_path / "out"
    with out.open("wb") as stdout:
        worker = start("run", "--require", "telling", cwd=tmp_path, log=log, stdout=stdout, REDIS_URL=redis_url)
    try:
        redis.lpush("queue:default", json.dumps({"class": "Tells", "args": [], "jid": "tells", "queue": "default"}))
        wait_until(lambda: "done" in [line["event"] for line in json_lines(log.read_text())], 20, "the job done")
        worker.terminate()
        assert worker.wait(20) == 0
    finally:
        worker.kill()
        worker.wait()
    events = [line["event"] for line in json_lines(log.read_text()) if line.get("jid") == "tells"]
    assert sorted(events) == ["done", "from the job", "start"]
    ours = ["starting", "running", "stopping", "stopped"]
    assert [line["event"] for line in json_lines(log.read_text()) if line["event"] in ours] == ours
    assert "tells" not in out.read_text()
    assert the_applications_are(log.read_text(), out.read_text()), log.read_text() + out.read_text()


def json_lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]
