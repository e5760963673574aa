"""ActiveJob's envelope around what is pushed. Pure, as `build`, but for the ids of new jobs."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from pykiq.client import carrying
from pykiq.client.naming import is_queue
from pykiq.client.times import number
from pykiq.errors import ArgumentsError, PayloadError
from pykiq.wire import activejob
from pykiq.wire.ajarguments import encode
from pykiq.wire.ajvalues import Keywords
from pykiq.wire.arguments import check_arguments
from pykiq.wire.dialect import Dialect


class Envelope(NamedTuple):
    """That jobs of a declared class are ActiveJobs. `queue_as`, a function of the arguments, decides their queue."""

    queue_as: Callable[..., object] | None = None

    def arguments(self, args: tuple[Any, ...], keywords: Mapping[str, Any]) -> tuple[Any, ...]:
        """The arguments of one call as `args` of an item: the keywords, if there are any, come last."""
        return (*args, Keywords(**keywords)) if keywords else args

    def job(self, item: Mapping[str, Any], *, now: float, dialect: Dialect) -> dict[str, Any]:
        """`item`, whose `args` are as the caller gave them, as Rails' adapter pushes it. Raises PayloadError."""
        at = item.get("at")
        data = self.data(item, item["args"], None if at is None else number(at), now=now, dialect=dialect)
        options = {**_options(item), "queue": data["queue_name"]}
        return activejob.options_first(item["class"].job_name, data, options, dialect)

    def bulk(self, item: Mapping[str, Any], *, dialect: Dialect) -> dict[str, Any]:
        """What the jobs of a bulk have in common, with `args` that only keep their place."""
        return activejob.options_first(item["class"].job_name, {}, _options(item), dialect, bulk=True)

    def data(
        self, item: Mapping[str, Any], args: object, at: int | float | None, *, now: float, dialect: Dialect
    ) -> dict[str, Any]:
        """The job data of one job of `item` with these arguments, due `at` or now. Raises PayloadError."""
        if not isinstance(args, (list, tuple)):
            raise ArgumentsError(f"`args` is {args!r:.80}; the arguments of a job are a list; pass [value]")
        arguments = encode(args, dialect)
        check_arguments(arguments)  # again at the push, but there the path would begin at the envelope
        own = item["class"].job_options
        named = item.get("queue", None if self.queue_as else own["queue"])
        locale, timezone = _surroundings()
        return activejob.fresh(
            item["class"].job_name,
            arguments,
            job_id=str(uuid.uuid4()),
            queue=_queue(self.queue_as, args) if self.queue_as and named is None else named,
            priority=item.get("priority", own.get("priority")),
            now=now,
            at=at,
            locale=locale,
            timezone=timezone,
            dialect=dialect,
        )


def _options(item: Mapping[str, Any]) -> dict[str, Any]:
    """The keys of the payload: the class's options under the item's own. The priority is in the job data alone."""
    options = {**item["class"].job_options, **item}
    return {key: value for key, value in options.items() if key not in ("class", "args", "priority")}


def _queue(queue_as: Callable[..., object], args: Iterable[Any]) -> str:
    positional, keywords = split(list(args))
    queue = queue_as(*positional, **keywords)
    if not is_queue(queue):
        raise PayloadError(f"queue_as returned {queue!r:.80}; expected the name of a queue, in UTF-8")
    return str(queue)


def split(arguments: list[Any]) -> tuple[list[Any], dict[str, Any]]:
    """The positional arguments and the keywords among decoded ones: a last Keywords is the keywords."""
    if arguments and isinstance(arguments[-1], Keywords):
        return arguments[:-1], {str(name): value for name, value in arguments[-1].items()}
    return arguments, {}


def _surroundings() -> tuple[str | None, str | None]:
    """Locale and time zone for a new job: as in Rails those of the ActiveJob that runs here. None is Rails' default."""
    running = carrying.running.get(None)
    data = None if running is None else activejob.job_data(running.payload)
    given = carrying.here().get("locale")
    locale, timezone = (None if data is None else data.get(key) for key in ("locale", "timezone"))
    return given if isinstance(given, str) else locale, timezone
