"""Which class names may be written, and what to suggest for one that may not.

Any other name is a trap: with common Ruby gems loaded, a Ruby process that moves a due job whose class is not
constant-like raises after it took the job out of Redis, and the job is gone.
"""

from __future__ import annotations

import re

_CONSTANT = re.compile(r"(?:::)?[A-Z][A-Za-z0-9_]*(?:::[A-Z][A-Za-z0-9_]*)*")
_WORDS = re.compile(r"[^A-Za-z0-9]+")


def is_constant(name: str) -> bool:
    """Whether Ruby reads `name` as a constant: `ChargeOrder`, `Billing::ChargeJob`."""
    return _CONSTANT.fullmatch(name) is not None


def camel_case(name: str) -> str:
    """`charge_order` → `ChargeOrder`, `HTTPFetch` → `HTTPFetch`, `_private` → `Private`."""
    return "".join(word[:1].upper() + word[1:] for word in _WORDS.split(name))


def is_queue(name: object) -> bool:
    """Whether a queue may be called that: text that is not empty and that UTF-8, which all of Redis is in, can say."""
    if not isinstance(name, str) or not name:
        return False
    try:
        name.encode()
    except UnicodeEncodeError:  # a lone surrogate, such as a byte of a command line that is no UTF-8
        return False
    return True


def refusal(name: object) -> str | None:
    """Why `name` cannot be the class of a job, in one line; None when it can."""
    if not isinstance(name, str):
        return f"the class of a job is {name!r:.80}; expected a name such as 'Billing::ChargeJob'"
    if is_constant(name):
        return None
    suggestion = "::".join(filter(None, map(camel_case, re.split(r"::|\.|/", name))))
    hint = f"; did you mean {suggestion!r}?" if is_constant(suggestion) else ""
    return (
        f"the class name {name!r} is not a Ruby constant such as 'Billing::ChargeJob',"
        f" and Ruby processes lose jobs whose class they cannot parse{hint}"
    )
