"""ActiveJob's arguments at random, nested as deep as chance has it: Rails → Python → Rails, byte for byte."""

from __future__ import annotations

import pytest

from pykiq.wire.ajarguments import decode, encode
from pykiq.wire.dialect import EIGHT, SEVEN, SIX
from pykiq.wire.exactjson import dumps, loads
from tests.interop.conftest import Fleet

pytestmark = pytest.mark.interop


@pytest.mark.parametrize("seed", range(3))
def test_arguments_at_random_are_the_same_bytes_after_python_has_read_and_written_them(fleet: Fleet, seed: int) -> None:
    fleet.ask('%w[active_jobs random_arguments].each { |file| require "#{path}/#{file}" }', path=fleet.home.path)
    written = fleet.ask(
        "RandomArguments.new(seed).then { |made| Array.new(500) { made.list_of_arguments } }", seed=seed
    )
    dialect = {6: SIX, 7: SEVEN, 8: EIGHT}[fleet.major]
    for text in written:
        assert dumps(encode(decode(loads(text.encode())), dialect), dialect).decode() == text
    assert len({text for text in written if len(text) > 100}) > 300
