"""Which Redis URLs are understood, taken apart in one place: what is refused here is never connected to.

redis://[user:pass@]host[:port][/db]            rediss:// the same over TLS
unix://[user:pass@]/path/to.sock[?db=n]
redis+sentinel://[user:pass@]host:port[,host:port…]/master[/db]     rediss+sentinel:// over TLS

Not with urlsplit, which says the password in some of its errors, and not with redis-py's own reader, whose parameters
override what pykiq rests on. Of a URL that cannot be read nothing may be shown but its host: the rest, wherever it
stands, may be a password.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, unquote

from pykiq.config.redis_parameters import parameters
from pykiq.config.settings import Refused

SCHEMES = ("redis", "rediss", "unix", "redis+sentinel", "rediss+sentinel")
PORT, SENTINEL_PORT = 6379, 26379

_NAME = r"\[[0-9a-fA-F:.]+\]|[^\s\[\]:/@,?#]+"
_HOST = re.compile(rf"(?P<name>{_NAME})(?::(?P<port>[0-9]{{1,5}}))?")

_FORMS = "a URL like redis://host:6379/0, rediss://…, unix:///path or redis+sentinel://host:26379/mymaster"
_ESCAPES = "special characters of the password written as %XX (/ is %2F, ? is %3F, # is %23, @ is %40)"


@dataclass(frozen=True, slots=True)
class Address:
    """A URL taken apart. `hosts` are names with ports, one but for Sentinels; none where `path` is a socket's.

    `parameters` are for the connections to the servers, `sentinel_parameters` for those to the Sentinels: values as
    their rules make them.
    """

    scheme: str
    hosts: tuple[tuple[str, int], ...] = ()
    path: str = ""
    service: str = ""
    db: int = 0
    username: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)
    parameters: Mapping[str, Any] = field(default_factory=dict, repr=False)
    sentinel_parameters: Mapping[str, Any] = field(default_factory=dict, repr=False)
    shown: str = ""
    """The URL as logs and errors may show it."""

    @property
    def has_sentinels(self) -> bool:
        return self.scheme.endswith("+sentinel")

    @property
    def over_tls(self) -> bool:
        return self.scheme.startswith("rediss")


def parse(url: str) -> Address:
    """`url` taken apart.

    Raises:
        Refused: it cannot be used; with what was expected, and the host as what was given, if that can be told.
    """
    scheme, mark, rest = url.partition("://")
    scheme = scheme.lower()
    try:
        url.encode()
    except UnicodeEncodeError:
        raise Refused("a URL in UTF-8, or other bytes written as %XX", given="no UTF-8") from None
    if not mark or scheme not in SCHEMES:
        raise Refused(_FORMS, given="not a URL of Redis" if url else "empty")
    try:
        return _parsed(scheme, rest)
    except Refused as refused:
        host = "" if scheme == "unix" else _host_of(rest)
        raise Refused(str(refused), given=f"a URL of the host `{host}`" if host else f"a URL {scheme}://…") from None


def _parsed(scheme: str, rest: str) -> Address:
    if "#" in rest:
        raise Refused(f"a URL without #, or {_ESCAPES}")
    before, _, query = rest.partition("?")
    authority, slash, path = before.partition("/")
    login, at, hosts = authority.rpartition("@")
    if "@" in path and (hosts or scheme != "unix"):
        raise Refused(_ESCAPES)  # a raw / in the password: the host would be taken from the middle of it
    user, _, password = login.partition(":")
    shown_login = f"{user}:***@" if password else "***@" if at else ""
    given = _given(query)
    sentinels = scheme.endswith("+sentinel")
    own, theirs = parameters(given, tls=scheme.startswith("rediss"), sentinels=sentinels)
    if at and {"username", "password"} & own.keys():
        raise Refused("a user and a password before the host or after ?, not both")
    shared: dict[str, Any] = {
        "username": own.pop("username", unquote(user)) or None,
        "password": own.pop("password", unquote(password)) or None,
        "parameters": own,
        "sentinel_parameters": theirs,
    }
    if scheme == "unix":
        if hosts or not path:
            raise Refused("unix:// followed by the path of a socket, as in unix:///run/redis.sock")
        db = own.pop("db", 0)
        return Address(
            scheme, path=unquote(slash + path), db=db, **shared, shown=f"unix://{shown_login}/{path}" + _db(db)
        )
    names = tuple(_host(host, sentinels) for host in (hosts.split(",") if sentinels else [hosts or "localhost"]))
    service, number = _service(path) if sentinels else ("", path.removesuffix("/"))
    if number and not re.fullmatch(r"[0-9]{1,5}", number):
        raise Refused("a database number after the last / of the Redis URL")
    if number and "db" in own:
        raise Refused("one database number: after the last / or as `db`, not both")
    db = int(number) if number else own.pop("db", 0)
    where = f"{scheme}://{shown_login}{hosts}/" + (f"{service}/" if service else "") + (str(db) if number or db else "")
    return Address(scheme, names, service=unquote(service), db=db, **shared, shown=where.rstrip("/"))


def _db(db: int) -> str:
    return f"?db={db}" if db else ""


def _given(query: str) -> dict[str, str]:
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=True) if query else []
    except ValueError:
        raise Refused(f"parameters as NAME=VALUE after ?, joined by &, or {_ESCAPES}") from None
    given = dict(pairs)
    if len(given) < len(pairs):
        raise Refused("each parameter once")
    return given


def _host(text: str, sentinel: bool) -> tuple[str, int]:
    match = _HOST.fullmatch(text)
    if match is None or not 1 <= int(match["port"] or PORT) <= 65535:
        raise Refused(
            "one or more sentinels as host:port, separated by commas, after redis+sentinel://"
            if sentinel
            else "a host and a port from 1 to 65535 after redis:// (special characters of a password written as %XX)"
        )
    name = unquote(match["name"].strip("[]"))
    try:
        name.encode("idna")  # as the look-up of its address does
    except UnicodeError:
        raise Refused("the name of a host, of which each part has 1 to 63 characters") from None
    return name, int(match["port"] or (SENTINEL_PORT if sentinel else PORT))


def _service(path: str) -> tuple[str, str]:
    match = re.fullmatch(r"([^/\s]+)(?:/([0-9]{1,5}))?/?", path)
    if match is None:
        raise Refused("redis+sentinel://host:26379/NAME or …/NAME/db, where NAME is the master's name")
    return match[1], match[2] or ""


def _host_of(rest: str) -> str:
    """The host, if it can be told from a password; without its port, which may be one too."""
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    if "@" in rest[len(authority) :]:
        return ""  # the password has a raw / ? or # in it
    match = _HOST.fullmatch(authority.rpartition("@")[2])
    return match["name"] if match else ""
