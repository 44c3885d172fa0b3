"""Names as people and phones spell them: what looks the same to a reader is the same."""

from __future__ import annotations

import unicodedata

_VARIANTS = dict.fromkeys(range(65024, 65040))
_UNSEEN = frozenset({"Cf", "Cc"})
_MARKS = frozenset({"Mn", "Me"})


def spelled(name: str) -> str:
    """Without case, blanks at the ends and marks that nobody sees, and composed in one way. Accents count."""
    plain = unicodedata.normalize("NFKC", name.casefold()).translate(_VARIANTS)
    kept = "".join(" " if one.isspace() else one for one in plain if one.isspace() or not _is_of(_UNSEEN, one))
    return " ".join(kept.split())


def fold(name: str) -> str:
    """As ``spelled``, without accents, and without the ``~`` that WhatsApp puts before what people call themselves."""
    apart = unicodedata.normalize("NFKD", spelled(name))
    return "".join(one for one in apart if not _is_of(_MARKS, one)).strip("~ ")


def _is_of(kinds: frozenset[str], one: str) -> bool:
    return unicodedata.category(one) in kinds
