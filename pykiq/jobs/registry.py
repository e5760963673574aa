"""Names → handlers. The only thing that decides which code a payload may run."""

from __future__ import annotations

import inspect

from pykiq.errors import RegistrationError
from pykiq.jobs.handler import Handler


class Registry:
    """The handlers of this process by class name."""

    def __init__(self) -> None:
        self._handlers: dict[str, Handler] = {}

    def register(self, handler: Handler) -> Handler:
        """Add a handler and return it.

        Raises RegistrationError when another function already has the name, or the same one with other options. The
        same declaration again is fine, also when its file was loaded a second time under another module name.
        """
        name = handler.name.removeprefix("::")
        there = self._handlers.get(name)
        if there is not None and not _same(there, handler):
            raise RegistrationError(
                f"`{name}` is already handled by {_where(there)}, and now by {_where(handler)};"
                " give one of them another name"
            )
        self._handlers[name] = handler
        return handler

    def replace(self, handler: Handler) -> None:
        """Put `handler` in the place of the one of the same name."""
        self._handlers[handler.name.removeprefix("::")] = handler

    def get(self, name: str) -> Handler | None:
        """The handler of a class, or None. A leading `::` does not matter (WIRE.md §3)."""
        found = self._handlers.get(name)
        if found is None and name.startswith("::"):
            return self._handlers.get(name[2:])
        return found

    def names(self) -> list[str]:
        """The names of all handlers, sorted."""
        return sorted(self._handlers)

    def any_async(self) -> bool:
        """Whether a handler is an `async def`."""
        return any(handler.is_async for handler in self._handlers.values())

    def clear(self) -> None:
        """Forget everything."""
        self._handlers.clear()

    def __len__(self) -> int:
        return len(self._handlers)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self.get(name) is not None


def _same(one: Handler, other: Handler) -> bool:
    """Whether it is the same declaration. In a loop one place declares several, with other options."""
    there = one.target is other.target or (inspect.ismethod(one.target) and one.target == other.target)
    return (there or (one.place is not None and one.place == other.place)) and one.options == other.options


def _where(handler: Handler) -> str:
    module = getattr(handler.target, "__module__", None)
    line = f" ({handler.place[0]}:{handler.place[1]})" if handler.place else ""
    return f"{module}.{handler.title}{line}" if module else f"{handler.title}{line}"


registry = Registry()
"""The handlers that `@pykiq.job` and `pykiq.Job` declare."""
