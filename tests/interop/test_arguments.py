"""Arguments travel from Ruby to Python and back without a change of type, value, order or spelling."""

from __future__ import annotations

import json

import pytest

from tests.interop.conftest import Fleet

pytestmark = pytest.mark.interop


def test_forty_shapes_of_arguments_are_equal_on_both_ends(fleet: Fleet) -> None:
    # Given a Ruby process in the fleet, which tells Python the dialect
    fleet.ruby("-q", "unused", "-c", "1")
    names = fleet.ask("SHAPES.keys")
    assert len(names) >= 40
    fleet.ask("push_shapes")

    # When Python echoes them to Ruby
    fleet.python("-q", "python", "-c", "4")
    fleet.wait(lambda: fleet.redis.llen("queue:back") >= len(names), what="all echoes")

    # Then Python saw what Ruby sent, Ruby gets the same values in the same JSON text,
    seen = [json.loads(line) for line in fleet.redis.lrange("seen", 0, -1)]
    assert [entry for entry in seen if not entry["same"]] == []
    assert fleet.ask("compare_shapes('back')") == {}

    # and real Ruby jobs are given arguments that both ends describe alike
    fleet.ruby("-q", "back", "-c", "2")
    fleet.wait(lambda: fleet.redis.llen("echoed") >= len(names), what="all echo jobs")
    echoed = [json.loads(line) for line in fleet.redis.lrange("echoed", 0, -1)]
    assert [entry["name"] for entry in echoed if entry["ruby_view"] != entry["python_view"]] == []
    assert sorted(entry["name"] for entry in echoed) == sorted(names)
    assert fleet.redis.zcard("retry") == 0
    assert fleet.redis.zcard("dead") == 0
