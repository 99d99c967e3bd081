"""Who says so: every number of a cost or an area names a source, and not what stands in for one."""

from __future__ import annotations

import functools
import re

from accelsim.errors import AccelsimError

LEAST_LETTERS = 3
STILL_TO_COME = re.compile(
    r"(tbd|tba|tbc|todo|to[ -]do|to be (?!published|presented|printed)"
    r"|fixme|xxx+|placeholder|unsourced|uncited"
    r"|(no|without an?|without any|without|missing) (source|reference|citation)s?"
    r"|(source|reference|citation)s? (needed|missing|wanted|required|to come)"
    r"|needs? (a )?(source|reference|citation))\b"
)
"""How a text begins that says that its source is yet to be found, whatever follows."""
NOBODY = {
    "a", "above", "added", "all", "an", "and", "announced", "any", "anybody", "anyone", "anything",
    "arbitrary", "are", "as", "asdf", "ask", "assume", "assumed", "assumption", "at", "available",
    "bar", "baz", "be", "been", "below", "blah", "but", "by", "checked", "citation", "cite",
    "cited", "confirmed", "data", "decided", "default", "defined", "determined", "ditto", "done",
    "dummy", "estimate", "estimated", "example", "fabricated", "figure", "figures", "filled",
    "find", "foo", "for", "found", "from", "given", "guess", "guessed", "guesses", "guesstimate",
    "guesswork", "here", "ibid", "idem", "idk", "in", "invented", "ipsum", "is", "it", "its",
    "known", "later", "lorem", "made", "me", "memory", "mine", "missing", "my", "needed", "nil",
    "no", "nobody", "none", "noone", "not", "nothing", "now", "nowhere", "null", "number",
    "numbers", "of", "on", "one", "only", "or", "own", "pending", "placeholder", "qwerty", "random",
    "reference", "references", "required", "rough", "roughly", "same", "sample", "say", "says",
    "see", "some", "somebody", "someone", "something", "somewhere", "soon", "source", "sources",
    "still", "test", "testing", "tests", "that", "the", "there", "they", "this", "to",
    "unavailable", "unclear", "unknown", "unnamed", "unreferenced", "unsourced", "unspecified",
    "up", "value", "values", "wanted", "was", "we", "who", "wild", "xxx", "yet",
}  # fmt: skip
"""Words that name nobody, if there are no others."""


class CostError(AccelsimError):
    """A number that no cost and no area can be, or one without a source."""


@functools.lru_cache(maxsize=4096)
def says_who(source: str) -> str:
    """Return a source. Raises CostError if it names nobody."""
    if sum(character.isalpha() for character in source) < LEAST_LETTERS:
        raise CostError(
            f"got {source!r}, expected who says so, in words of {LEAST_LETTERS} letters or more"
        )
    words = re.findall(r"[^\W\d_]+", source.casefold())
    text = re.sub(r"[\s_]+", " ", source.casefold()).lstrip(" .?!()[]<>-*#\"'")
    if STILL_TO_COME.match(text) or NOBODY.issuperset(words):
        raise CostError(f"got {source!r}, which names nobody; expected who says so")
    return source
