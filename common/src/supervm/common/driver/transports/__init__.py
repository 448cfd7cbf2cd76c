"""What carries links (network.md 4): the contract, TCP, and a transport in memory for tests."""

from .contract import Admit, Pipe, Traits, Transport
from .registry import Transports, installed
from .tcp import TcpTransport

__all__ = ["Admit", "Pipe", "TcpTransport", "Traits", "Transport", "Transports", "installed"]
