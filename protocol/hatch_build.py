"""Build hook of the wheel: compiles the state tree's C module where there is a C compiler.

Without a compiler, or without Python's headers, the wheel has no module of C and the state tree works in Python: more
slowly and in more memory, with the same results (`supervm.protocol.state.trie`). Nothing beyond a compiler is needed.
The module is of the stable ABI, so one serves every CPython from 3.11 on. In a checkout it lies beside the sources,
where git does not see it.

SUPERVM_NO_COMPILER=1 builds without it.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

MODULE = Path("src/supervm/protocol/state/_quad.abi3.so")


class NativeHook(BuildHookInterface):  # type: ignore[type-arg]
    """Compile before the wheel is put together, and name the platform on it if that worked."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Put the module into the wheel if it can be made."""
        root = Path(self.root)
        problem = compile_module(root)
        if problem:
            (root / MODULE).unlink(missing_ok=True)
            self.app.display_warning(f"the state tree is built without C: {problem}")
            return
        build_data["artifacts"].append(f"/{MODULE.as_posix()}")
        build_data["pure_python"] = False
        platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
        build_data["tag"] = f"cp311-abi3-{platform}"


def compile_module(root: Path) -> str:
    """Make the module; return why it cannot be made, empty if it was."""
    if os.environ.get("SUPERVM_NO_COMPILER"):
        return "SUPERVM_NO_COMPILER is set"
    if sys.implementation.name != "cpython" or os.name != "posix" or sysconfig.get_config_var("Py_GIL_DISABLED"):
        return "it is written for CPython with its lock, on Linux, macOS and other systems of their kind"
    headers = sysconfig.get_paths()["include"]
    if not (Path(headers) / "Python.h").is_file():
        return f"there are no headers of Python in {headers}"
    compiler = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")
    shared = ["-bundle", "-undefined", "dynamic_lookup"] if sys.platform == "darwin" else ["-shared"]
    target = root / MODULE
    made = target.with_name(f"{target.name}.{os.getpid()}")
    command = [*compiler, "-O3", "-std=c11", "-fPIC", "-fvisibility=hidden", *shared, f"-I{headers}", "-o", str(made)]
    try:
        done = subprocess.run([*command, str(root / "native" / "quad.c")], capture_output=True, text=True, check=False)
    except OSError as error:
        return f"{compiler[0]}: {error.strerror}"
    if done.returncode:
        made.unlink(missing_ok=True)
        return f"{compiler[0]} failed: {done.stderr.strip()[-300:]}"
    made.replace(target)  # a process that has the old one goes on with it
    return ""
