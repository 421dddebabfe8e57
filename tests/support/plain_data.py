"""Hypothesis strategy for data that a study file can hold."""

from __future__ import annotations

from hypothesis import strategies as st

PLAIN_TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=30)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats(allow_nan=False)
    | PLAIN_TEXT
    | st.sampled_from(["no", "1e-4", "12:30", "null", "<<", "- a", "a: b", "#", "0x1", ".inf", "true", "=", "a\nb"])
)
DATA = st.dictionaries(
    PLAIN_TEXT, st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(PLAIN_TEXT, inner), max_leaves=8)
)
