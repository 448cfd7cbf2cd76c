"""What holds for four tiers in the hand-stepped world holds in the exact one: the same tests over `Deployment`."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

from supervm.sim.exact import Deployment

_PATH = Path(__file__).with_name("test_four_tiers.py")
_SPEC = importlib.util.spec_from_file_location("four_tiers_on_exact_world", _PATH)
assert _SPEC is not None
assert _SPEC.loader is not None
_MODULE = importlib.util.module_from_spec(_SPEC)
sys.modules[_SPEC.name] = _MODULE
_SPEC.loader.exec_module(_MODULE)
_MODULE.FourTiers = Deployment  # type: ignore[attr-defined]

globals().update({name: test for name, test in vars(_MODULE).items() if name.startswith("test_")})
