"""How foreign text becomes harmless to whoever reads it, a terminal or a model; must never lose a character.

A terminal obeys what it is sent, and a model believes what it reads. Control characters (C0, C1, DEL), characters that
reorder text, invisible ones and lone surrogates are written out as escapes.
"""

from __future__ import annotations

UNSEEN = (
    *range(0x20), *range(0x7F, 0xA0),  # C0, DEL, C1
    0xAD, 0x34F, 0x61C, 0x115F, 0x1160, 0x17B4, 0x17B5, *range(0x180B, 0x1810),  # soft hyphen, joiners, fillers
    *range(0x200B, 0x2010), *range(0x2028, 0x202F), *range(0x2060, 0x2070),  # zero width, separators, bidi
    0x3164, *range(0xFE00, 0xFE10), 0xFEFF, 0xFFA0, *range(0xFFF0, 0xFFFC),  # variation selectors, marks
    *range(0x1BCA0, 0x1BCA4), *range(0x1D173, 0x1D17B), *range(0xE0000, 0xE1000),  # tags, more selectors
)  # fmt: skip


def _escape(code: int) -> str:
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


_TABLE = {code: _escape(code) for code in (*UNSEEN, *range(0xD800, 0xE000))}
_TEXT = {code: seen for code, seen in _TABLE.items() if code not in (0x0A, 0x09)}


def visible(text: object) -> str:
    """Write one line of foreign text so that a terminal shows it and obeys nothing in it."""
    return str(text).translate(_TABLE)


def visible_text(text: str) -> str:
    """Write foreign text of several lines: line ends and tabs stay, all else as visible()."""
    return text.replace("\r\n", "\n").translate(_TEXT)
