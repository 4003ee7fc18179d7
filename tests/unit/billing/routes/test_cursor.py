import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.ports import PageStart
from billing.routes import cursor


@given(st.integers(0, 2**63 - 1), st.from_regex(r"\Asession_[A-Za-z0-9_-]{1,72}\Z"))
def test_a_cursor_leads_back_to_its_place(at: int, session: str) -> None:
    assert cursor.read(cursor.write(PageStart(at, session))) == PageStart(at, session)


@pytest.mark.parametrize("text", ["", "x", "=", "%%%", "bm8", "eyJhdCI6LTF9", "é", "a" * 5000])
def test_what_is_no_cursor_is_refused(text: str) -> None:
    with pytest.raises(cursor.BadCursor):
        cursor.read(text)
