"""What may follow the ? of a Redis URL: one closed list. Whatever else redis-py takes is for pykiq to set."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from pykiq.config.settings import Refused, Rule, boolean, choice, did_you_mean, filled_text, text, whole

LOGIN: Mapping[str, Rule] = MappingProxyType({"username": text, "password": text})
TLS: Mapping[str, Rule] = MappingProxyType(
    {
        "ssl_cert_reqs": choice("required", "optional", "none"),
        "ssl_check_hostname": boolean,
        "ssl_ca_certs": filled_text,
        "ssl_ca_path": filled_text,
        "ssl_certfile": filled_text,
        "ssl_keyfile": filled_text,
        "ssl_password": filled_text,
    }
)
FILES = frozenset({"ssl_ca_certs", "ssl_ca_path", "ssl_certfile", "ssl_keyfile"})
"""Those whose values are paths."""
PARAMETERS: Mapping[str, Rule] = MappingProxyType(
    {"db": whole(0, 99_999), **LOGIN, "client_name": filled_text, "max_connections": whole(1, 65_535)}
    | {**TLS, "sentinel_ssl": boolean}
    | {f"sentinel_{name}": rule for name, rule in (*LOGIN.items(), *TLS.items())}
)
"""Each with the rule that reads its value. `sentinel_…` is of the connections to the Sentinels."""

# What others call them. The name that was given is not shown: it may be a password whose ? was meant to be one.
_ALSO = {
    **dict.fromkeys(("auth", "pass", "passwd", "pwd", "secret"), "password"),
    **dict.fromkeys(("user", "login"), "username"),
    "database": "db",
    "verify": "ssl_cert_reqs",
}
_OWN = frozenset(
    {
        *("decode_responses", "encoding", "encoding_errors", "protocol", "legacy_responses"),
        *("socket_timeout", "socket_connect_timeout", "socket_keepalive", "socket_read_size", "socket_type", "timeout"),
        *("retry", "retry_on_timeout", "retry_on_error", "health_check_interval"),
        *("parser_class", "connection_class", "queue_class", "credential_provider", "command_packer"),
        *("lib_name", "lib_version", "driver_info", "redis_connect_func", "single_connection_client"),
    }
)


def parameters(given: Mapping[str, str], *, tls: bool, sentinels: bool) -> tuple[dict[str, Any], dict[str, Any]]:
    """The values of `given`, for the servers' connections and, without `sentinel_`, for the Sentinels'.

    Raises:
        Refused: a parameter is none, stands at the wrong kind of URL, or has a wrong value; with what was expected.
    """
    own: dict[str, Any] = {}
    theirs: dict[str, Any] = {"ssl": True} if tls and sentinels else {}
    for name, value in given.items():
        if name not in PARAMETERS:
            raise Refused(_instead(name))
        try:
            read = PARAMETERS[name](value)
        except Refused as refused:
            raise Refused(f"`{name}` to be {refused}") from None
        if name.startswith("sentinel_"):
            if not sentinels:
                raise Refused(f"`{name}` only after redis+sentinel:// or rediss+sentinel://")
            theirs[name.removeprefix("sentinel_")] = read
        else:
            own[name] = read
    if not tls and (misplaced := own.keys() & TLS.keys()):
        raise Refused(f"`{min(misplaced)}` only after rediss:// or rediss+sentinel://")
    if sentinels and theirs.pop("ssl", False):
        # Whose certificates are trusted is the same question for both; `sentinel_ssl=false` is for Sentinels without.
        theirs = {"ssl": True, **{name: own[name] for name in TLS if name in own}, **theirs}
    elif misplaced := theirs.keys() & TLS.keys():
        raise Refused(f"`sentinel_{min(misplaced)}` only with Sentinels over TLS")
    return own, theirs


def _instead(name: str) -> str:
    if name in _OWN:
        return f"a URL without `{name}`, which pykiq sets itself"
    if name in ("ssl", "tls"):
        return "rediss:// for TLS"
    near = f"; did you mean `{_ALSO[name]}`?" if name in _ALSO else did_you_mean(name, PARAMETERS)
    plain = ", ".join(known for known in PARAMETERS if not known.startswith("sentinel_"))
    return f"only parameters that a Redis URL may have{near or f': {plain}, and sentinel_… of these'}"
