"""The verbs as attributes of a class of jobs: `Order.perform_async(42)` takes what `Order.perform` takes.

Each descriptor hands out the verb of its own name; there is one per form of signature, for type checkers, which see
the parameters of the subclass's `perform` through `Performs`. A class without `perform` takes anything.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar, Unpack, overload

from pykiq.client.times import When
from pykiq.jobs.enqueue import LocalVerbs
from pykiq.jobs.optiontypes import SetOptions

P = ParamSpec("P")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)


class Performs(Protocol[P]):
    """An instance of a class with a `perform` method, `def` or `async def`."""

    def perform(self, *args: P.args, **kwargs: P.kwargs) -> Any: ...


class Returns(Protocol[P, R_co]):
    """The same, where it matters what it returns."""

    def perform(self, *args: P.args, **kwargs: P.kwargs) -> R_co: ...


class _Verb:
    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def _of(self, owner: Any) -> Any:
        verbs = getattr(owner, "_verbs", None)
        return self if verbs is None else getattr(verbs, self._name)  # itself of `Job`, which is no class of jobs


class Push(_Verb):
    """`perform_async`."""

    @overload
    def __get__(self, instance: object, owner: type[Performs[P]]) -> Callable[P, str | None]: ...
    @overload
    def __get__(self, instance: object, owner: type) -> Callable[..., str | None]: ...
    def __get__(self, instance: object, owner: type) -> Any:
        return self._of(owner)


class PushLater(_Verb):
    """`perform_in` and `perform_at`."""

    @overload
    def __get__(self, instance: object, owner: type[Performs[P]]) -> Callable[Concatenate[When, P], str | None]: ...
    @overload
    def __get__(self, instance: object, owner: type) -> Callable[..., str | None]: ...
    def __get__(self, instance: object, owner: type) -> Any:
        return self._of(owner)


class AwaitPush(_Verb):
    """`aperform_async`."""

    @overload
    def __get__(self, instance: object, owner: type[Performs[P]]) -> Callable[P, Coroutine[Any, Any, str | None]]: ...
    @overload
    def __get__(self, instance: object, owner: type) -> Callable[..., Coroutine[Any, Any, str | None]]: ...
    def __get__(self, instance: object, owner: type) -> Any:
        return self._of(owner)


class AwaitPushLater(_Verb):
    """`aperform_in` and `aperform_at`."""

    @overload
    def __get__(
        self, instance: object, owner: type[Performs[P]]
    ) -> Callable[Concatenate[When, P], Coroutine[Any, Any, str | None]]: ...
    @overload
    def __get__(self, instance: object, owner: type) -> Callable[..., Coroutine[Any, Any, str | None]]: ...
    def __get__(self, instance: object, owner: type) -> Any:
        return self._of(owner)


class Inline(_Verb):
    """`perform_inline`: what `perform` returns, awaited."""

    @overload
    def __get__(self, instance: object, owner: type[Returns[P, Coroutine[Any, Any, R]]]) -> Callable[P, R]: ...
    @overload
    def __get__(self, instance: object, owner: type[Returns[P, R]]) -> Callable[P, R]: ...
    @overload
    def __get__(self, instance: object, owner: type) -> Callable[..., Any]: ...
    def __get__(self, instance: object, owner: type) -> Any:
        return self._of(owner)


class AwaitInline(_Verb):
    """`aperform_inline`."""

    @overload
    def __get__(
        self, instance: object, owner: type[Returns[P, Coroutine[Any, Any, R]]]
    ) -> Callable[P, Coroutine[Any, Any, R]]: ...
    @overload
    def __get__(self, instance: object, owner: type[Returns[P, R]]) -> Callable[P, Coroutine[Any, Any, R]]: ...
    @overload
    def __get__(self, instance: object, owner: type) -> Callable[..., Coroutine[Any, Any, Any]]: ...
    def __get__(self, instance: object, owner: type) -> Any:
        return self._of(owner)


class Options(Protocol[P, R_co]):
    """What `set` is."""

    def __call__(self, **options: Unpack[SetOptions]) -> LocalVerbs[P, R_co]: ...


class Set(_Verb):
    """`set`."""

    @overload
    def __get__(self, instance: object, owner: type[Returns[P, R]]) -> Options[P, R]: ...
    @overload
    def __get__(self, instance: object, owner: type) -> Options[..., Any]: ...
    def __get__(self, instance: object, owner: type) -> Any:
        return self._of(owner)
