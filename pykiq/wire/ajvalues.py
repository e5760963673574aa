"""The types of Ruby's that ActiveJob can carry and Python has not (WIRE.md §15.3); the times are in `ajtimes`.

Each compares by value, and what was decoded into it is encoded to the same bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qsl, quote_plus, unquote_plus, urlencode, urlsplit

Number = int | float

_SECONDS = {  # of an average month and year, as ActiveSupport counts them
    "years": 31_556_952,
    "months": 2_629_746,
    "weeks": 604_800,
    "days": 86_400,
    "hours": 3_600,
    "minutes": 60,
    "seconds": 1,
}


class Symbol(str):
    """A Ruby symbol: text that is a symbol again when it goes back.

    It equals the plain text, so that `options["name"]` finds the key `:name`.
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return f"Symbol({str.__repr__(self)})"


class Keywords(dict[str, Any]):
    """Ruby's keyword arguments, as the last argument of a job: `Keywords(customer=7)`.

    Handlers get them as keywords, and `perform_async(customer=7)` makes them. By hand they are for `perform_bulk`. A
    mapping is taken as it is; of its keys those that are a Symbol are keywords, others are Ruby's `"text" => 1`.
    """

    def __init__(self, mapping: Mapping[str, Any] | None = None, /, **keywords: Any) -> None:
        super().__init__(mapping or {})
        self.update((Symbol(name), value) for name, value in keywords.items())

    def __repr__(self) -> str:
        return f"Keywords({dict.__repr__(self)})"


class IndifferentHash(dict[str, Any]):
    """An `ActiveSupport::HashWithIndifferentAccess`, such as a Rails controller's `params`."""

    def __repr__(self) -> str:
        return f"IndifferentHash({dict.__repr__(self)})"


def symbol_keys(mapping: Mapping[str, Any]) -> dict[Symbol, Any]:
    """`mapping` with symbols for keys, what Ruby writes `{name: 1}`. The mappings inside are left as they are."""
    return {Symbol(key): value for key, value in mapping.items()}


@dataclass(frozen=True, slots=True)
class Module:
    """A Ruby class or module, by name: there is nothing of it here."""

    name: str


@dataclass(frozen=True, slots=True)
class Range:
    """A Ruby range: `1..5`, or `1...5` with `exclude_end`. An open end is None. Rails 6.1 has none in its jobs."""

    begin: Any
    end: Any
    exclude_end: bool = False


@dataclass(frozen=True, slots=True)
class Duration:
    """An `ActiveSupport::Duration`: `value` in seconds, and the parts it is made of: `(("months", 1), ("days", 2))`.

    `Duration.of(months=1, days=2)` is Ruby's `1.month + 2.days`; a timedelta becomes one, too.
    """

    value: Any
    parts: tuple[tuple[str, Any], ...]

    @classmethod
    def of(cls, **parts: Number) -> Duration:
        """Of years, months, weeks, days, hours, minutes and seconds. Raises TypeError for another part."""
        unknown = parts.keys() - _SECONDS.keys()
        if unknown:
            raise TypeError(f"Duration.of was given {sorted(unknown)[0]!r}; expected parts of {', '.join(_SECONDS)}")
        return cls(sum(_SECONDS[name] * number for name, number in parts.items()), tuple(parts.items()))

    @property
    def timedelta(self) -> timedelta:
        """As long as Rails takes it for: a month is 30.436875 days."""
        return timedelta(seconds=float(self.value))


@dataclass(frozen=True, slots=True)
class GlobalID:
    """A record of a Rails application by name: `gid://shop/Person/7`. Raises ValueError for anything else.

    `GlobalID.of("shop", "Person", 7)` makes one. `id` is text, or a tuple of texts for a composite key.
    """

    uri: str

    def __post_init__(self) -> None:
        parts = urlsplit(self.uri) if isinstance(self.uri, str) else None
        segments = parts.path.split("/") if parts else []
        if not parts or parts.scheme != "gid" or not parts.netloc or len(segments) < 3 or not all(segments[1:3]):
            raise ValueError(f"{self.uri!r:.80} is no GlobalID such as 'gid://shop/Person/7'")

    @classmethod
    def of(cls, app: str, model: str, id: object, **params: str) -> GlobalID:
        """The name of the record `id` (a tuple for a composite key) of `model` in the Rails application `app`."""
        ids = id if isinstance(id, tuple) else (id,)
        query = f"?{urlencode(params)}" if params else ""
        return cls(f"gid://{app}/{model}/{'/'.join(quote_plus(str(part)) for part in ids)}{query}")

    @property
    def app(self) -> str:
        return urlsplit(self.uri).netloc

    @property
    def model(self) -> str:
        """The Ruby class of the record."""
        return urlsplit(self.uri).path.split("/")[1]

    @property
    def id(self) -> str | tuple[str, ...]:
        found = tuple(unquote_plus(part) for part in urlsplit(self.uri).path.split("/")[2:] if part)
        return found[0] if len(found) == 1 else found

    @property
    def params(self) -> dict[str, str]:
        return dict(parse_qsl(urlsplit(self.uri).query, keep_blank_values=True))

    def __str__(self) -> str:
        return self.uri


@dataclass(frozen=True, slots=True)
class Custom:
    """What a serializer of the application's own has written: its class name, and the keys beside it, as JSON."""

    serializer: str
    fields: Mapping[str, Any]
