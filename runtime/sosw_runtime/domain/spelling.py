"""Words that a key was probably meant to be."""

from __future__ import annotations

from collections.abc import Iterable


def intended(key: str, words: Iterable[str]) -> str | None:
    """The word that differs from a key by one letter left out, added or replaced, or by two that changed places."""
    return next((word for word in words if word != key and _is_one_edit_apart(key, word)), None)


def _is_one_edit_apart(one: str, other: str) -> bool:
    start = _common_letters(one, other)
    one, other = one[start:], other[start:]
    end = _common_letters(one[::-1], other[::-1])
    one, other = one[: len(one) - end], other[: len(other) - end]
    return (len(one) <= 1 and len(other) <= 1) or (len(one) == 2 and one == other[::-1])


def _common_letters(one: str, other: str) -> int:
    """How many letters two texts begin with in common."""
    pairs = zip(one, other, strict=False)
    return next((number for number, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))
