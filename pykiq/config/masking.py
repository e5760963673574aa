"""Passwords in text of any kind, and how they are hidden. It is meant for text that nobody has understood."""

from __future__ import annotations

import re

# Both are compiled at their first use: few programs need them, and that takes a millisecond of every import.
_SCHEME = r"(?:[\w.-]{1,40}=)?['\"(<\[]?[a-z][a-z0-9+.-]*"  # what stands before ://
_SECRET_PARAMETER = r"(?P<name>[?&;#][a-z_]{0,20}(?:pass|pwd|auth|secret|token|credential)[a-z_]{0,20}=)[^&\s]*"


def masked(text: str) -> str:
    """`text` with every password of every URL in it replaced by `***`; the rest is left as it is."""
    if "@" in text:
        text = "".join(_masked(word) if "@" in word else word for word in re.split(r"(\s+)", text))
    return re.sub(_SECRET_PARAMETER, lambda m: f"{m['name']}***", text, flags=re.IGNORECASE)


def _masked(word: str) -> str:
    """A word with an @. The user part ends at the LAST one: passwords with a raw @ or / in them are common in the wild,
    and half a password in a log is a password in a log. What is nearly a URL, as `:secret@host` is, counts as one.
    """
    login, _, host = word.rpartition("@")
    before, mark, login_only = login.partition("://")
    if mark and re.fullmatch(_SCHEME, before, re.IGNORECASE):
        user, _, password = login_only.partition(":")
        shown = f"{user}:***" if password and "/" not in user else "***"
        return f"{before}://{shown}@{host}"
    nearly = any(sign in login.lower() for sign in (":", "/", "%3a", "%2f"))
    return f"***@{host}" if nearly else word
