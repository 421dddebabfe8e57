"""Text from data and files, made safe to show: without control characters, and without markup.

Names of columns, words of tables and messages of libraries may hold anything. On a terminal, a control character moves
the cursor, sets the title or forges a line; in a page, markup is drawn.
"""

from __future__ import annotations

import re
from typing import Final

# C0 and C1 controls, and what reorders or ends a line in Unicode. A tab is no danger.
_CONTROLS: Final = re.compile("[\x00-\x08\x0a-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
_LONGEST_FENCE: Final = re.compile("`+")


def escape_controls(text: str, *, keep: str = "") -> str:
    r"""Return a text with its control characters as `\u001b`, the form of JSON.

    Args:
        text: any text.
        keep: characters that stay, such as a line feed.
    """
    return _CONTROLS.sub(lambda found: found[0] if found[0] in keep else f"\\u{ord(found[0]):04x}", text)


def escape_markdown(text: str) -> str:
    """Return a text whose tags and images are text in Markdown too."""
    return escape_controls(text).replace("<", "&lt;").replace("![", "!\\[")


def format_code(text: str) -> str:
    """Return a text as code in Markdown, with a fence that the text does not have."""
    text = escape_controls(text)
    fence = "`" * (max((len(run) for run in _LONGEST_FENCE.findall(text)), default=0) + 1)
    # A backtick at an end would lengthen the fence.
    pad = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{fence}{pad}{text}{pad}{fence}"
