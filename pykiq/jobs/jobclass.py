"""`pykiq.Job`: a class of jobs as a Python class."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Unpack

from pykiq.client.build import DEFAULTS
from pykiq.client.times import Delay, When
from pykiq.jobs import ajrules, classbody
from pykiq.jobs.classverbs import AwaitInline, AwaitPush, AwaitPushLater, Inline, Push, PushLater, Set
from pykiq.jobs.context import current_job
from pykiq.jobs.declare import declared_options, envelope_of, job_name
from pykiq.jobs.enqueue import BaseVerbs, LocalVerbs, Verbs
from pykiq.jobs.handler import for_class
from pykiq.jobs.optiontypes import JobOptions
from pykiq.jobs.registry import registry

if TYPE_CHECKING:
    from pykiq.client.envelope import Envelope


class Job:
    """Derive from it and write `perform`: each execution gets a fresh instance.

        class ProcessOrderJob(pykiq.Job, queue="orders", retry=3, name="Billing::ProcessOrderJob"):
            def perform(self, order_id): ...                     # or async def
            def retry_in(self, count, error, job): return 60     # see JobFunction.retry_in; may be left out
            def retries_exhausted(self, job, error): ...         # may be left out

        ProcessOrderJob.perform_async(42)

    The name is the class's own unless `name` is given. The options are those of `pykiq.job`, on the class line, and are
    inherited. A class without `perform`, or with an abstract method, is a base for others: no handler, and not to be
    pushed. `active_job=True`, and what goes with it, are options too.
    Raises RegistrationError as `@pykiq.job` does, when the class is made; also for what would mean nothing in its body,
    such as `queue = "low"` or a method `run` in the place of `perform`.
    """

    job_name: ClassVar[str]
    job_options: ClassVar[Mapping[str, Any]] = DEFAULTS
    job_envelope: ClassVar[Envelope | None] = None
    _rules: ClassVar[ajrules.Rules | None] = None
    _verbs: ClassVar[Verbs[...]]

    # See `Verbs`, where these are.
    perform_async = Push()
    perform_in = PushLater()
    perform_at = PushLater()
    perform_inline = Inline()
    aperform_async = AwaitPush()
    aperform_in = AwaitPushLater()
    aperform_at = AwaitPushLater()
    aperform_inline = AwaitInline()
    set = Set()

    def __init_subclass__(cls, *, name: str | None = None, **options: Unpack[JobOptions]) -> None:
        super().__init_subclass__()
        classbody.check(cls, Job)
        cls.job_name = job_name(name, cls.__name__)
        cls._rules, rest = ajrules.taken(options, cls.job_name, cls._rules)
        cls.job_envelope = envelope_of(cls._rules)
        cls.job_options = MappingProxyType(declared_options(rest, cls.job_name, cls._rules, cls.job_options))
        if getattr(cls, "perform", None) is None or classbody.is_abstract(cls):
            cls._verbs = BaseVerbs(cls.job_name, cls.job_options, None, envelope=cls.job_envelope)
            return
        handler = registry.register(for_class(cls, cls.job_name, cls.job_options, cls._rules))
        cls._verbs = LocalVerbs(cls.job_name, cls.job_options, handler, envelope=cls.job_envelope)

    @property
    def jid(self) -> str:
        """The id of the job that is running here."""
        return current_job().jid

    @classmethod
    def perform_bulk(
        cls,
        args: Iterable[Sequence[Any]],
        *,
        at: When | Iterable[When] | None = None,
        spread_interval: Delay | None = None,
        batch_size: int | None = None,
    ) -> list[str | None]:
        return cls._verbs.perform_bulk(args, at=at, spread_interval=spread_interval, batch_size=batch_size)

    @classmethod
    async def aperform_bulk(
        cls,
        args: Iterable[Sequence[Any]],
        *,
        at: When | Iterable[When] | None = None,
        spread_interval: Delay | None = None,
        batch_size: int | None = None,
    ) -> list[str | None]:
        return await cls._verbs.aperform_bulk(args, at=at, spread_interval=spread_interval, batch_size=batch_size)
