"""Floats are spelled as each version of Ruby's json gem spells them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pykiq.wire.dialect import EIGHT, SEVEN, SIX, Dialect
from pykiq.wire.exactjson import dumps, loads
from pykiq.wire.floats import spell
from tests import captures

DIALECTS = {"6.4.1": SIX, "7.3.2": SEVEN, "8.1.7": EIGHT}


@pytest.mark.parametrize(("version", "dialect"), DIALECTS.items(), ids=list(DIALECTS))
def test_every_double_of_the_gems_table_is_spelled_like_there(version: str, dialect: Dialect) -> None:
    table = captures.float_table(captures.JSON_VERSIONS[version])
    assert len(table) >= 225
    for double, text in table:
        assert spell(double, dialect) == text
        assert dumps([double], dialect) == f"[{text}]".encode()
        assert dumps(loads(f"[{text}]".encode()), dialect) == f"[{text}]".encode()


@pytest.mark.parametrize("dialect", [SIX, SEVEN, EIGHT], ids=lambda dialect: dialect.name)
@given(double=st.floats(allow_nan=False, allow_infinity=False))
def test_a_spelling_reads_back_as_the_same_double(dialect: Dialect, double: float) -> None:
    text = spell(double, dialect)
    assert float(text).hex() == double.hex()
    assert "." in text or "e" in text, "Ruby would read an integer"


@given(double=st.floats(min_value=1e9, max_value=4e9))
def test_a_timestamp_is_spelled_alike_by_all(double: float) -> None:
    assert spell(double, SIX) == spell(double, SEVEN) == repr(double)
