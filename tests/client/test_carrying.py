"""What a push carries on: from the job that runs, and from `pykiq.carry`."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Iterator
from typing import Any

import pytest

import pykiq
from pykiq.client import carrying
from pykiq.client.build import normalize
from pykiq.client.bulk import slices
from pykiq.errors import PayloadError
from pykiq.jobs.context import JobContext, enter, leave
from pykiq.middleware.chain import Chain
from pykiq.wire.dialect import EIGHT
from pykiq.wire.payload import parse
from tests.captures import VERSIONS, read

NOW = 1_795_315_352.25


def pushed(**item: Any) -> dict[str, Any]:
    job = normalize({"class": "A", "args": [], **item}, now=NOW, dialect=EIGHT, jid=lambda: "j" * 24)
    assert job is not None
    return job


def context_of(job: dict[str, Any]) -> dict[str, Any]:
    plain = {"retry", "queue", "class", "args", "jid", "created_at"}
    return {key: value for key, value in job.items() if key not in plain}


@pytest.fixture(autouse=True)
def own_context(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test carries, the next one does not."""
    monkeypatch.setattr(carrying, "_set", contextvars.ContextVar("pykiq_carried"))


@pytest.fixture
def inside() -> Iterator[Any]:
    """Enter a job with these keys until the test ends."""
    tokens = []

    def inside(**payload: Any) -> None:
        tokens.append(enter(JobContext({"class": "B", "jid": "b", "args": [], **payload}, "default")))

    yield inside
    for token in reversed(tokens):
        leave(token)


def test_without_any_context_nothing_is_added() -> None:
    assert context_of(pushed()) == {}


@pytest.mark.parametrize("version", VERSIONS)
def test_the_attributes_of_the_running_job_go_on_just_as_ruby_wrote_them(version: str, inside: Any) -> None:
    job = parse(read(version, "cattr_rich_values").payloads()[0])
    inside(**job)
    assert context_of(pushed()) == {"cattr": job["cattr"]}


def test_only_context_goes_on_and_not_what_the_job_is(inside: Any) -> None:
    trace = {"traceparent": "00-x", "x-datadog-trace-id": "1", "sentry_user": {"id": 1}}
    inside(locale="fr", cattr_2={"a": 1}, retry_count=3, tags=["x"], unknown=1, **trace)
    assert context_of(pushed()) == {"locale": "fr", "cattr_2": {"a": 1}, **trace}


def test_context_stands_where_ruby_s_middleware_puts_it(inside: Any) -> None:
    inside(locale="fr")
    written = parse(read("8.1.7", "i18n_locale").payloads()[0])
    assert [*pushed(), "enqueued_at"] == [
        "retry",
        "queue",
        *sorted(("class", "args"), reverse=True),
        *list(written)[4:],
    ]


def test_a_job_s_own_key_wins(inside: Any) -> None:
    inside(locale="fr")
    assert pushed(locale="de")["locale"] == "de"


def test_what_a_job_changes_in_its_payload_is_what_it_passes_on(inside: Any) -> None:
    inside(locale="fr")
    carrying.running.get().payload["locale"] = "de"  # type: ignore[index]
    assert pushed()["locale"] == "de"


def test_every_job_of_a_bulk_gets_it_with_middleware_and_without(inside: Any) -> None:
    inside(locale="fr")
    seen: list[Any] = []

    def look(job: dict[str, Any], call_next: Any) -> Any:
        seen.append(job["locale"])
        return call_next(job)

    for chain in (Chain[Any](), Chain[Any](look)):
        [one] = slices(
            {"class": "A", "args": [[1], [2]]},
            clock=lambda: NOW,
            dialect=EIGHT,
            jids=lambda count: ["j"] * count,
            chain=chain,
        )
        assert [parse(raw)["locale"] for raw in one.batches[0].entries if isinstance(raw, bytes)] == ["fr", "fr"]
    assert seen == ["fr", "fr"]


def test_carry_holds_until_the_end_of_its_block() -> None:
    with pykiq.carry(locale="fr", cattr={"user_id": 7}):
        with pykiq.carry(locale="de"):
            assert context_of(pushed()) == {"locale": "de", "cattr": {"user_id": 7}}
        assert context_of(pushed()) == {"locale": "fr", "cattr": {"user_id": 7}}
    assert context_of(pushed()) == {}


def test_carry_without_a_block_holds_for_the_rest_of_the_task_and_in_no_other() -> None:
    async def request(locale: str) -> str:
        pykiq.carry(locale=locale)
        await asyncio.sleep(0)
        return str(pushed()["locale"])

    async def both() -> list[str]:
        return await asyncio.gather(request("fr"), request("de"))

    assert asyncio.run(both()) == ["fr", "de"]
    assert context_of(pushed()) == {}


def test_inside_a_job_carry_comes_on_top_and_none_stops_a_key(inside: Any) -> None:
    inside(locale="fr", traceparent="00-x", cattr={"user_id": 7})
    with pykiq.carry(locale="de", cattr=None, tenant="acme"):
        assert context_of(pushed()) == {"traceparent": "00-x", "locale": "de", "tenant": "acme"}


def test_keys_that_a_middleware_writes_itself_are_left_to_it(inside: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(carrying, "left_to_others", {"traceparent"})
    inside(traceparent="00-x", locale="fr")
    assert context_of(pushed()) == {"locale": "fr"}


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"jid": "x"}, r"`jid` belongs to one job and cannot be carried to others; give it to the push"),
        ({"locale": 5}, r"`locale` is 5; expected the name of a locale, such as 'fr'"),
        ({"cattr": [["a", 1]]}, r"`cattr` is \[\['a', 1\]\]; expected a dict of attributes, such as {'user_id': 7}"),
        ({"cattr_1": "x"}, r"`cattr_1` is 'x'; expected a dict"),
        ({"cattr": {"at": float("nan")}}, r"`cattr\[\"at\"\]` is nan; JSON has no such number"),
    ],
    ids=repr,
)
def test_what_ruby_could_not_read_is_refused(keys: dict[str, Any], message: str) -> None:
    with pytest.raises(PayloadError, match=message):
        pykiq.carry(**keys)
    assert context_of(pushed()) == {}
