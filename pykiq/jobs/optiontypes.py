"""The options as type checkers and editors know them. `pykiq.jobs.options` checks the values, at run time.

A checker refuses a keyword that is not listed here: that is how it finds `retires=3`. What Ruby middleware and gems
want to find on the payload goes into `extra`. At run time any other keyword is kept on the payload, too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypedDict

from pykiq.client.times import Delay, When

if TYPE_CHECKING:
    from pykiq.jobs.ajrules import Rescue


class PayloadOptions(TypedDict, total=False):
    """What every push of a class, or one of them with `set`, writes into the payload."""

    queue: str
    retry: bool | int
    retry_for: Delay
    retry_queue: str
    dead: bool
    backtrace: bool | int
    tags: list[str] | tuple[str, ...]
    timeout: Delay
    expires_in: Delay
    unique_for: Delay
    priority: int
    extra: Mapping[str, Any]


class SetOptions(PayloadOptions, total=False):
    """What `set` takes."""

    wait: When
    wait_until: When


class RemoteOptions(PayloadOptions, total=False):
    """What `pykiq.remote` takes."""

    active_job: bool
    queue_as: Callable[..., object]


Hooks = Callable[..., object] | Sequence[Callable[..., object]]


class JobOptions(RemoteOptions, total=False):
    """What `@pykiq.job` and the line of a `pykiq.Job` class take."""

    rescue: Rescue | Sequence[Rescue]
    before_perform: Hooks
    around_perform: Hooks
    after_perform: Hooks
    after_discard: Hooks
