"""A subject with an option is one line in any of the four tiers: the shipped programs read, write and heed it.

tests/tools/guestbook_tiers.py has the line; nothing else of the tiers is changed.
"""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path

import pytest
from guestbook import Guestbook
from guestbook_tiers import TIERS, environment

from supervm.common.contract.options import one_table
from supervm.common.parts.shell import Shell
from supervm.protocol.base.errors import LocalProtocolError

OPENED = """
import json, sys
from pathlib import Path
from supervm.common.host.config import load_any_config
from supervm.common.host.prepare import prepared
from supervm.common.host.profile import find_profile
from supervm.common.up.layout import PASSPHRASE_FILE, Counts, open_network

folder = Path(sys.argv[1])
folder.mkdir()
seen = []
for node in open_network(folder, Counts(1, 1, 1, 1), ["alice"]).processes():
    file = node.directory / "config.toml"
    text = file.read_text()
    assert text.count("# notes_max = 100\\n") == 1, text
    file.write_text(text.replace("# notes_max = 100", "notes_max = 7"))
    passphrase = (folder / PASSPHRASE_FILE).read_text().strip() if node.tier == 4 else None
    with prepared(load_any_config(file), find_profile(node.tier), passphrase=passphrase) as made:
        book = made.core.parts[-1]
        tables = [table.name for table in made.profile.tables]
        made.context.store.count("notes")
        seen.append([node.tier, type(book).__name__, book._notes_max, tables[-1], type(made.core).__module__])
print(json.dumps(seen))
"""

COMMANDS = """
import contextlib, sys
from pathlib import Path
from supervm.common.cli.program import main

for tier in ("l1", "l2", "l3", "l4"):
    folder = Path(sys.argv[1]) / tier
    assert main(["init", tier, "--dir", str(folder)]) == 0
    file = folder / "config.toml"
    file.write_text(file.read_text().replace("# notes_max = 100", "notes_max = 0"))
    with folder.with_suffix(".err").open("w") as errors, contextlib.redirect_stderr(errors):
        assert main([tier, "run", "--config", str(file)]) == 2
"""


def run(arguments: list[str], variables: dict[str, str]) -> str:
    done = subprocess.run([sys.executable, *arguments], env=variables, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_line_reaches_the_nodes_of_a_network(tmp_path: Path) -> None:
    """`supervm up`'s layout writes the key; each tier's profile reads it and gives it to the part."""
    variables = environment(tmp_path / "changed")
    seen = json.loads(run(["-c", OPENED, str(tmp_path / "net")], variables))
    assert seen == [[tier, "Guestbook", 7, "notes", f"supervm.{member}.node"] for tier, member in TIERS.items()]


def test_the_line_reaches_init_and_the_strict_reader(tmp_path: Path) -> None:
    run(["-c", COMMANDS, str(tmp_path)], environment(tmp_path / "changed"))
    for tier in TIERS:
        assert "# notes that are kept; the oldest go" in (tmp_path / f"l{tier}" / "config.toml").read_text()
        assert f"key l{tier}.notes_max: it is 0; a whole number" in (tmp_path / f"l{tier}.err").read_text()


@pytest.mark.parametrize(("tier", "member"), TIERS.items())
def test_a_key_that_another_part_has_is_refused(tier: int, member: str) -> None:
    options = importlib.import_module(f"supervm.{member}.options").OPTIONS
    assert [*one_table(options, more=[Guestbook])] == [*options, "notes_max"]
    taken = type("Taken", (Guestbook,), {"options": dict(list(options.items())[:1])})
    with pytest.raises(LocalProtocolError, match="two parts declare the option"):
        one_table(options, more=[taken])
    node = next(
        kind
        for kind in vars(importlib.import_module(f"supervm.{member}.node")).values()
        if isinstance(kind, type) and issubclass(kind, Shell) and tier == kind.TIER
    )
    with pytest.raises(LocalProtocolError, match="two parts declare the option"):
        type("Node", (node,), {"MORE": (taken,)}).declared_options()
