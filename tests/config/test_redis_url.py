"""Which Redis URLs are taken, and that no password of any of them is ever shown."""

from __future__ import annotations

import re
from urllib.parse import unquote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pykiq.config import Config
from pykiq.config.redis_parameters import _OWN
from pykiq.config.redis_url import Address, parse
from pykiq.config.settings import Refused
from pykiq.errors import ConfigError


@pytest.mark.parametrize(
    "url",
    [
        "redis://localhost",
        "redis://localhost:6379/3",
        "redis:///3",
        "rediss://user:p%40ss@cache.example:6380/0?ssl_cert_reqs=none",
        "redis://:pa@ss@host:6379/0",
        "redis://[::1]:6379/0",
        "unix:///run/redis.sock?db=2",
        "redis+sentinel://s1:26379,s2:26379/mymaster/2",
        "rediss+sentinel://user:pw@s1,s2:26380/mymaster",
    ],
)
def test_a_usable_url_is_taken_as_it_is(url: str) -> None:
    assert parse(url).shown
    assert Config.of(redis=url).redis == url


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("", "a URL like"),
        ("localhost:6379", "a URL like"),
        ("http://localhost", "a URL like"),
        ("redis://host:99999/0", "a port from 1 to 65535"),
        ("redis://host:port/0", "a port from 1 to 65535"),
        ("redis://host/zero", "a database number"),
        ("redis://user:pa/ss@host:6379/0", "written as %XX"),
        ("redis+sentinel://s1:26379", "the master's name"),
        ("redis+sentinel:///mymaster", "one or more sentinels"),
        ("unix://", "the path of a socket"),
    ],
)
def test_an_unusable_url_is_refused_with_what_was_expected(url: str, expected: str) -> None:
    with pytest.raises(Refused, match=re.escape(expected)):
        parse(url)
    with pytest.raises(ConfigError, match=r"`redis` is .*; expected"):
        Config.of(redis=url)


LIST = "only parameters that a Redis URL may have"


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        *((f"{name}=1", f"a URL without `{name}`, which pykiq sets itself") for name in sorted(_OWN)),
        ("ssl=true", "rediss:// for TLS"),
        ("auth=s3cret", f"{LIST}; did you mean `password`?"),
        ("pwd=s3cret", f"{LIST}; did you mean `password`?"),
        ("pasword=s3cret", f"{LIST}; did you mean `password`?"),
        ("sentinel_pasword=s3cret", f"{LIST}; did you mean `sentinel_password`?"),
        ("ssl_ca_cert=/ca.pem", f"{LIST}; did you mean `ssl_ca_certs`?"),
        ("database=1", f"{LIST}; did you mean `db`?"),
        ("x-s3cret=1", f"{LIST}: db, username, password, client_name, max_connections, ssl_cert_reqs"),
        ("s3cret", "parameters as NAME=VALUE"),
        ("db=1", "one database number: after the last / or as `db`"),
        ("client_name=a&client_name=b", "each parameter once"),
        ("client_name=", "`client_name` to be a name"),
        ("max_connections=0", "`max_connections` to be a whole number from 1 to 65535"),
        ("max_connections=s3cret", "`max_connections` to be a whole number from 1 to 65535"),
        ("password=s3cret", "a user and a password before the host or after ?, not both"),
        ("ssl_ca_certs=/ca.pem", "`ssl_ca_certs` only after rediss://"),
        ("sentinel_username=me", "`sentinel_username` only after redis+sentinel://"),
    ],
)
def test_a_parameter_that_cannot_be_used_is_one_line_of_refusal(query: str, expected: str) -> None:
    with pytest.raises(ConfigError, match=r"^`redis` is a URL of the host `host`; expected ") as refused:
        Config.of(redis=f"redis://:word@host/0?{query}")
    assert expected in str(refused.value)
    assert "s3cret" not in str(refused.value)


@pytest.mark.parametrize("value", ["CERT_NONE", "cert_none", "nonee"])
def test_a_wrong_value_of_a_parameter_is_told_as_one_with_the_valid_ones(value: str) -> None:
    with pytest.raises(ConfigError) as refused:
        Config.of(redis=f"rediss://host/0?ssl_cert_reqs={value}")
    assert "expected `ssl_cert_reqs` to be required, optional or none; did you mean `none`?" in str(refused.value)


def test_a_url_taken_apart() -> None:
    address = parse(
        "rediss+sentinel://me:p%2F%40@one,two:7/main/2?sentinel_password=a%26b&ssl_cert_reqs=NONE"
        "&ssl_check_hostname=false&sentinel_ssl_cert_reqs=optional"
    )
    assert address == Address(
        scheme="rediss+sentinel",
        hosts=(("one", 26379), ("two", 7)),
        service="main",
        db=2,
        username="me",
        password="p/@",
        parameters={"ssl_cert_reqs": "none", "ssl_check_hostname": False},
        sentinel_parameters={
            "ssl": True,
            "ssl_cert_reqs": "optional",
            "ssl_check_hostname": False,
            "password": "a&b",
        },
        shown="rediss+sentinel://me:***@one,two:7/main/2",
    )
    assert "p/@" not in repr(address)
    assert "a&b" not in repr(address)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://host", "redis://host"),
        ("redis:///3", "redis:///3"),
        ("REDIS://:s3cret@host:1/0", "redis://:***@host:1/0"),
        ("redis://s3cret@host", "redis://***@host"),  # without a colon it may be a password
        ("redis://s3cret:@host", "redis://***@host"),
        ("redis://:s3@cret@host", "redis://:***@host"),
        ("redis://host/?password=s3cret@word&db=3", "redis://host/3"),
        ("unix://:s3cret@/run/redis.sock?db=2", "unix://:***@/run/redis.sock?db=2"),
        ("unix:///run/redis.sock?password=s3cret", "unix:///run/redis.sock"),
    ],
)
def test_a_url_is_shown_without_its_passwords(url: str, shown: str) -> None:
    assert Config.of(redis=url).redis_shown == shown


MISTYPED = (
    *(":{0}@host/0", "redis:/:{0}@host", "redis//:{0}@host", "redis:///:{0}@host:1/0", "redis//{0}@host", "{0}"),
    *("redis://host/0?auth={0}", "redis://host/0?pwd={0}", "redis://host/0?{0}", "redis://host/0?{0}=1", "redis:{0}"),
    *("redis://host/0#{0}", "redis://host/{0}", "redis://host:{0}/0", "redis://:{0}", "{0}@host:6379", "host:6379:{0}"),
    *("http://:{0}@host", "redis+sentinel://:{0}@host", "redis+sentinel://host/m?sentinel_pasword={0}", "unix:{0}"),
    *("unix://{0}/x", "unix://:{0}", "rediss:{0}@host", '"redis://:{0}@host"', "redis://:{0}@host:6379:6379/0"),
    *("redis://user:{0}@host/0 ", "redis://:{0}@[::1/0", "redis://user:{0}@ host", "redis://:{0}@host/0?ssl={0}"),
    *("redis://host?password={0}", "redis://host?password={0}&db=x", "redis://:{0}@host/0?protocol=3"),
    *(
        "redis://user:{0}@host:1/0",
        "redis://user:{0}@host:x",
        "redis://user:{0}@h/zero",
        "redis://:{0}@",
        "redis://{0}@",
    ),
    *("redis+sentinel://:{0}@one,two:x/m", "redis+sentinel://one/m/{0}", "redis+sentinel://one/m?sentinel_ssl={0}"),
    *("redis://host/0?db={0}", "rediss://host?ssl_cert_reqs={0}", "valkey://:{0}@host", "redis:\\\\:{0}@host"),
)


@given(
    st.text(st.characters(exclude_categories=["C"]), min_size=1),
    st.text(st.characters(exclude_categories=["C"])),
    st.sampled_from(MISTYPED),
)
@example("[", "]", "redis://:{0}@host")
@example("0", ":0", "redis://{0}@")
@example("℀", "", "redis://user:{0}@host")  # urlsplit says the whole of it in its error
@example("%", "%", "redis://host/0?{0}=1")
def test_whatever_a_url_looks_like_its_password_is_never_shown(before: str, after: str, form: str) -> None:
    url = form.format(f"{before}s3cret{after}")
    try:
        config = Config.of(redis=url)
    except ConfigError as error:
        told = str(error)
    else:
        told = f"{config!r} {config} {config.redis_shown}"
        # Where the text is the name of a host, a master, a user (`s3cret:pw`), or the path of a socket, it is none.
        address = parse(config.redis)
        user = address.username if address.password is not None else None
        if "s3cret" in unquote(str((address.hosts, address.service, address.path, user))):
            return
    assert "s3cret" not in told
    assert "\n" not in told


@pytest.mark.parametrize("host", ["a" * 64, "a..b", "é" * 70, ".h", "caf\udce9"])
def test_a_host_whose_address_nobody_could_look_up_is_refused(host: str) -> None:
    for url in (f"redis://{host}:6379/0", f"redis+sentinel://s1,{host}/mymaster"):
        with pytest.raises(Refused):
            parse(url)


@pytest.mark.parametrize(
    "host", ["h.", "under_score", "münchen.example", "xn--mnchen-3ya.example", "10.0.0.1", "[::1]"]
)
def test_a_host_that_can_be_looked_up_is_taken(host: str) -> None:
    assert parse(f"redis://{host}:6379/0").hosts[0][1] == 6379
