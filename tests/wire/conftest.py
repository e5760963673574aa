"""Property tests of the wire: enough examples to find things, few enough to stay quick, and no deadline."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("wire", max_examples=60, deadline=None)
settings.load_profile("wire")
