"""How soon a child that has ended is replaced: at once, and later and later while its replacements end soon too."""

from __future__ import annotations

STEADY = 60.0  # a child that has lived for this many seconds was all right: the next end is a first one again
LONGEST = 30.0  # seconds between the end of a child and its replacement, at most


class Restarts:
    """The back-off of one place in a swarm: 0 s, then 1, 2, 4 … 30 s for ends that come soon after a start."""

    def __init__(self) -> None:
        self._soon = 0  # ends in a row, each of them less than STEADY seconds after the start

    def rest(self, lived: float) -> float:
        """Seconds to wait after the end of a child that lived for `lived` seconds."""
        if lived >= STEADY or not self._soon:
            return 0.0
        return min(LONGEST, 2.0 ** min(self._soon - 1, 10))

    def ended(self, lived: float) -> float:
        """The same, and take note of the end."""
        rest = self.rest(lived)
        self._soon = 1 if lived >= STEADY else self._soon + 1
        return rest
