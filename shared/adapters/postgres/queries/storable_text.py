"""Makes a text from a message one that PostgreSQL can hold: its text has neither NUL nor halves of characters."""

from typing import Final

SHOWN_NUL: Final = "\N{SYMBOL FOR NULL}"


def storable(text: str) -> str:
    """The text with NUL shown as the symbol for it, and halves of characters as question marks."""
    return text.replace("\0", SHOWN_NUL).encode("utf-8", "replace").decode()
