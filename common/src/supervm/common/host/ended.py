"""What ends a node: it is written to the node's log, and becomes what whoever runs the node is given."""

from __future__ import annotations

from supervm.protocol.base.errors import ProtocolError

from ..driver.failures import Halted
from ..errors import CommonError
from ..storage.errors import DatabaseDamaged, StorageFailed
from . import events as said
from .config import NodeConfig
from .log import Log
from .mend import with_mend


def record_start(error: Exception, config: NodeConfig, log: Log) -> Exception:
    """Write down why a node could not be made; return the error to raise.

    So early a `ProtocolError` is about what was read back from the disk, so the database is damaged. What nobody
    expected goes to the file alone, since it is raised as it is and the program shows it.
    """
    if isinstance(error, ProtocolError):
        damage = DatabaseDamaged(f"the database is damaged, or another network's: {error}")
        damage.__cause__ = error
        return record_end(damage, config, log)
    if isinstance(error, CommonError):
        return record_end(error, config, log)
    log.to_file(said.Crashed(f"{type(error).__name__}: {error}"))
    return error


def record_end(error: Exception, config: NodeConfig, log: Log) -> Exception:
    """Write down what ended a running node; return the error to raise.

    Returns:
        `Halted` and other errors of ours as they are, a `StorageFailed` with what its owner can do about it. Anything
        else is a bug, whatever its type - a `ProtocolError` that gets here is no wrong input of the user's, as it is
        elsewhere - and becomes a `RuntimeError`.
    """
    if isinstance(error, StorageFailed):
        reason = with_mend(error, config)
        log(said.StorageFailed(reason))
        mended = type(error)(reason)
        mended.__cause__ = error
        return mended
    if isinstance(error, Halted):
        log(said.Halted(str(error)))
        return error
    if isinstance(error, CommonError):
        log.to_file(said.Failed(str(error)))
        return error
    log(said.Crashed(f"{type(error).__name__}: {error}"))
    bug = RuntimeError("the node broke off; this is a bug, and what led to it stands above")
    bug.__cause__ = error
    return bug
