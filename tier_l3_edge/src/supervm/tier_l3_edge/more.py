"""Parts that an edge has besides its own: adding a subject to the tier is a line here (docs/adding-a-subject.md).

What they declare reaches the node, its profile and its configuration table from here; nothing else names them. Reading
a configuration imports this module, so a part that stands here must not import the node.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from supervm.common.parts.part import Part
    from supervm.common.parts.shell import Shell

MORE: Final[tuple[Callable[[Shell], Part], ...]] = ()
"""In the order in which they start, tick and settle, after all others."""
