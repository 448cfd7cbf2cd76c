"""What a careless or hostile hand makes of good input: bytes changed, taken out, put in, cut off and mixed; seeded."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator, Sequence
from typing import Final, TypeVar

T = TypeVar("T")

MUTANTS: Final = 100_000 if os.environ.get("SUPERVM_HYPOTHESIS") == "explore" else 10_000
"""Of each format, the same ones each time; the long run takes more."""
SENTENCE_CHARS_MAX: Final = 600
_ODD = (b"\x00", b"\xff", b"\x9a\xff\xff\xff\xff", b"%", b"&", b"\x5f", b"\n", b'"', b"\xef\xbf\xbe", b"9" * 30, b"-")


def mutants(samples: Sequence[bytes], count: int, seed: int = 11) -> Iterator[bytes]:
    """Yield `count` mutants of samples."""
    rng = random.Random(seed)
    for _ in range(count):
        data = bytearray(rng.choice(samples))
        for _ in range(rng.choice((1, 1, 1, 2, 5, 20))):
            place = rng.randrange(len(data) + 1)
            match rng.randrange(6):
                case 0:
                    data[place : place + 1] = bytes([rng.randrange(256)])
                case 1:
                    del data[place : place + rng.choice((1, 1, 8, 200))]
                case 2:
                    data[place:place] = rng.randbytes(rng.choice((1, 1, 3, 40)))
                case 3:
                    data = data[:place]
                case 4:
                    data[place : place + 1] = rng.choice(_ODD)
                case _:
                    other = rng.choice(samples)
                    data[place:] = other[place:]
        yield bytes(data)


def texts(samples: Sequence[str], count: int, seed: int = 11) -> Iterator[str]:
    """Yield `count` mutants of texts, as files and scanners give them: what is no UTF-8 has become something else."""
    how = ("replace", "ignore", "surrogateescape")
    for number, data in enumerate(mutants([sample.encode() for sample in samples], count, seed)):
        yield data.decode("utf-8", how[number % len(how)])


def is_sentence(text: str) -> bool:
    """Return whether a refusal is one line for a person: printable, short, no traceback, no empty text."""
    return 0 < len(text) <= SENTENCE_CHARS_MAX and text.isprintable() and "Traceback" not in text


def tried(call: Callable[[], T], *refusals: type[Exception]) -> T | None:
    """Return what a call returns, or None if it is refused, which has to be with a sentence."""
    try:
        return call()
    except refusals as error:
        said = str(error)
    assert is_sentence(said), said
    return None
