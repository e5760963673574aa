"""When all connections of a pool are in use: how many there may be, how long to wait, what to say then."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from redis.exceptions import MaxConnectionsError

MAX_CONNECTIONS = 100
"""Of one pool, unless the URL says otherwise: of a client in one process, of an AsyncClient on one event loop."""

PATIENCE = 20.0  # seconds to wait for a connection: four times what a command may take
NAMED = 3  # holders that an error names; there may be a hundred


def exhausted(limit: int, holders: Sequence[str], mine: int, kind: str, waited: float) -> MaxConnectionsError:
    """The error for whoever has waited in vain. To redis-py's own pools it is one, and a redis.ConnectionError.

    `holders` are the names of the threads or tasks (`kind`) that have the connections, one per connection; `mine` is
    how many of these whoever waited has itself; `waited` is in seconds.
    """
    counted = Counter(holders).most_common()
    names = ", ".join(f"{name} ({count})" if count > 1 else name for name, count in counted[:NAMED])
    others = f" and {len(counted) - NAMED} more" if len(counted) > NAMED else ""
    who = f" by the {kind}{'s' if len(counted) > 1 else ''} {names}{others}" if counted else ""
    own = f", {mine} of them by this very {kind}, which waits for itself" if mine else ""
    return MaxConnectionsError(
        f"all {limit} connections to Redis are in use{who}{own}; waited {waited:g} s for one, and nothing was sent:"
        " raise `max_connections` in the Redis URL, or push fewer at once"
    )
