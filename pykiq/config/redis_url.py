"""Which Redis URLs are understood, and how their passwords are hidden.

redis://[user:pass@]host[:port][/db]            rediss:// the same over TLS
unix://[user:pass@]/path/to.sock[?db=n]
redis+sentinel://[user:pass@]host:port[,host:port…]/master[/db]     rediss+sentinel:// over TLS
"""

from __future__ import annotations

import re

SCHEMES = ("redis", "rediss", "unix", "redis+sentinel", "rediss+sentinel")

# The user part ends at the LAST @ there is: passwords with a raw @ or / in them are common in the wild, and half a
# password in a log is a password in a log.
_CREDENTIALS = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]*://)(?P<user>[^\s:/@]*):?(?P<password>\S*)@", re.IGNORECASE)
_SECRET_PARAMETER = re.compile(r"(?P<name>[?&][a-z_]*(?:password|secret|token)[a-z_]*=)[^&\s]*", re.IGNORECASE)
_HOST = re.compile(r"(?:\[[0-9a-fA-F:.]+\]|[^\s\[\]:/@,?#]+)(?::(?P<port>[0-9]{1,5}))?")


def masked(text: str) -> str:
    """`text` with every password of every URL in it replaced by `***`; the rest is left as it is."""
    text = _CREDENTIALS.sub(lambda m: f"{m['scheme']}{m['user']}:***@" if m["password"] else f"{m['scheme']}***@", text)
    return _SECRET_PARAMETER.sub(lambda m: f"{m['name']}***", text)


def problem(url: str) -> str | None:
    """What is wrong with a Redis URL, as the text of what was expected; None when it can be used."""
    scheme, mark, rest = url.partition("://")
    scheme = scheme.lower()
    if not mark or scheme not in SCHEMES:
        return "a URL like redis://host:6379/0, rediss://…, unix:///path or redis+sentinel://host:26379/mymaster"
    authority, _, path = rest.partition("#")[0].partition("?")[0].partition("/")
    if scheme == "unix":
        return None if path else "unix:// followed by the path of a socket"
    if "@" in path:
        # A raw / in the password: the host would be taken from the middle of it.
        return "special characters of the password written as %XX (/ is %2F, ? is %3F, # is %23)"
    hosts = authority.rpartition("@")[2]
    if scheme.endswith("+sentinel"):
        return _sentinel_problem(hosts, path)
    # An empty host is localhost, as in redis:///3.
    if hosts and not _is_host(hosts):
        return "a host and a port from 1 to 65535 after redis:// (special characters of a password written as %XX)"
    if path and not re.fullmatch(r"[0-9]{1,5}/?", path):
        return "a database number after the last / of the Redis URL"
    return None


def _sentinel_problem(hosts: str, path: str) -> str | None:
    if not all(_is_host(host) for host in hosts.split(",")):
        return "one or more sentinels as host:port, separated by commas, after redis+sentinel://"
    if not re.fullmatch(r"[^/\s]+(?:/[0-9]{1,5})?/?", path):
        return "redis+sentinel://host:26379/NAME or …/NAME/db, where NAME is the master's name"
    return None


def _is_host(text: str) -> bool:
    match = _HOST.fullmatch(text)
    return match is not None and (match["port"] is None or 1 <= int(match["port"]) <= 65535)
