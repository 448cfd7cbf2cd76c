"""Which offers and answers (SDP, RFC 8866) are taken, and which key they name.

A description comes from a stranger or through one. So before aiortc sees it, it is cut down to what one data channel
needs: one section ``application``; one fingerprint, of SHA-256, which both ends put into Noise's prologue, so that who
changed it on its way is found out by the handshake; few candidates, or none: an end that can be reached needs no
candidates of the other, which will show itself, and so nobody's words make it send to an address that he chose.
"""

from __future__ import annotations

import re
from typing import Final

from supervm.protocol.base.errors import RemoteProtocolError

DESCRIPTION_CHARS_MAX: Final = 16_384
CANDIDATES_MAX: Final = 16
_REACHED: Final = "a=candidate:"
_FINGERPRINT: Final = re.compile(r"a=fingerprint:sha-256 ((?:[0-9a-f]{2}:){31}[0-9a-f]{2})", re.IGNORECASE)
_CANDIDATE: Final = re.compile(
    r"a=candidate:\S{1,64} \d{1,5} udp \d{1,10} ([0-9a-f.:]{2,45}) \d{1,5} typ .{1,256}", re.I
)


def fingerprint_of(text: str) -> bytes:
    """Return the 32 bytes of the one SHA-256 fingerprint in a description.

    Raises:
        RemoteProtocolError: there is none, or several.
    """
    found = {match[1].upper() for line in text.splitlines() if (match := _FINGERPRINT.fullmatch(line))}
    if len(found) != 1:
        raise _malformed(f"it has {len(found)} fingerprints of SHA-256; one is wanted")
    return bytes.fromhex(found.pop().replace(":", ""))


def cut_down(text: str, *, candidates: bool) -> str:
    """Return a description with nothing in it that is not wanted; one that lacks something is refused.

    Args:
        text: as it came.
        candidates: whether to keep where the other end says it may be reached.

    Raises:
        RemoteProtocolError: too long, not of one data channel, or of no or several keys.
    """
    if len(text) > DESCRIPTION_CHARS_MAX or not text.isascii() or not text.startswith("v=0"):
        raise _malformed(f"it has to begin with v=0 and to have at most {DESCRIPTION_CHARS_MAX} plain characters")
    fingerprint_of(text)
    lines = text.splitlines()
    sections = [line for line in lines if line.startswith("m=")]
    if len(sections) != 1:
        raise _malformed(f"it has {len(sections)} sections; one is wanted")
    if not sections[0].startswith("m=application "):
        raise _malformed("its section is none of data channels; no media are taken")
    kept = [line for line in lines if _is_wanted(line, candidates)]
    surplus = [line for line in kept if line.startswith(_REACHED)][CANDIDATES_MAX:]
    return "\r\n".join(line for line in kept if line not in surplus) + "\r\n"


def _is_wanted(line: str, candidates: bool) -> bool:
    if line.startswith("a=fingerprint:"):
        return _FINGERPRINT.fullmatch(line) is not None
    if line.startswith(_REACHED):
        return candidates and _CANDIDATE.fullmatch(line) is not None
    return candidates or not line.startswith("a=end-of-candidates")


def _malformed(problem: str) -> RemoteProtocolError:
    return RemoteProtocolError(f"the session description cannot be taken: {problem}", penalty=0, code="malformed")
