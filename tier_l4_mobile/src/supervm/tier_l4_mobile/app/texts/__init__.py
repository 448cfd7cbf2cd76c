"""The words of the app by key, in each language; both catalogues have the same keys with the same placeholders.

A text of two forms is a `Forms`: which one is taken is decided by the value `n`, by the rules of the language.
"""

from __future__ import annotations

from .catalogue import Catalogue, Forms
from .en import EN
from .zh import ZH

CATALOGUES: dict[str, Catalogue] = {"en": EN, "zh": ZH}
"""Language -> its texts."""

__all__ = ["CATALOGUES", "Catalogue", "Forms"]
