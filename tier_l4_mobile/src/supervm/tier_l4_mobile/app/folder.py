"""The phone's folder: what is in it already, and how a first run fills it. Whoever calls waits for the disk.

Theory of operation. A folder becomes a wallet in two steps, each of which is done or not: the network (genesis file,
node key, configuration, which is written last), then the wallet's file. So an app that is ended in between goes on
where it was.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final, Literal

from supervm.common.contract.options import OptionValue
from supervm.common.errors import InputError
from supervm.common.host.config import CONFIG_FILE, NodeConfig, load_config, parse_peer
from supervm.common.host.config_writer import write_config
from supervm.common.host.genesis_file import load_chain
from supervm.common.host.keyfile import NODE_KEY_FILE, create_file, make_key_file
from supervm.common.wallet import WALLET_FILE, Stretching, create_wallet, is_guarded
from supervm.common.wallet.first_run import NewWords, check_secret
from supervm.common.wallet.keystore import Keystore
from supervm.common.wallet.passphrase import INTERACTIVE
from supervm.common.wallet.tries import read_tries, rest_us
from supervm.protocol.base.codec import encode
from supervm.protocol.base.errors import LocalProtocolError
from supervm.protocol.base.keys import SEED_BYTES
from supervm.protocol.chain.genesis import GENESIS_BYTES_MAX, load_genesis

from ..errors import MobileError
from ..options import OPTIONS
from .anchor_given import anchor_given
from .files import NoFile, read_given

GENESIS_FILE: Final = "genesis.cbor"
"""Name of the network's file in the folder."""
ANCHOR_FILE: Final = "anchor.cbor"
"""Name of a newer trusted start in the folder, where the owner was given one."""
ENTROPY_BYTES: Final = 32
"""Of a new wallet: 24 words."""
EDGES_MAX: Final = 16
"""Most edges that are typed in."""

Lacks = Literal["network", "wallet", ""]
"""What a folder has not yet; empty: it is whole."""


class PhoneFolder:
    """One phone's folder.

    Args:
        directory: the folder; it need not exist.
        new_bytes: returns so many random bytes.
        keystore: the platform's; None where there is none, so that a PIN is not enough.
        cost: what guessing one passphrase costs.

    Attributes:
        directory: likewise.
        has_keystore: whether a PIN will do.
    """

    def __init__(
        self,
        directory: Path,
        new_bytes: Callable[[int], bytes],
        *,
        keystore: Keystore | None = None,
        cost: Stretching = INTERACTIVE,
    ) -> None:
        self.directory = directory
        self._new_bytes = new_bytes
        self._keystore = keystore
        self._cost = cost

    @property
    def has_keystore(self) -> bool:
        """Whether the platform's keystore guards new wallets."""
        return self._keystore is not None

    def lacks(self) -> Lacks:
        """Return what it has not yet."""
        if not self.directory.joinpath(CONFIG_FILE).exists():
            return "network"
        return "" if self.directory.joinpath(WALLET_FILE).exists() else "wallet"

    def take_network(self, genesis: Path, edges: str, anchor: str = "") -> None:
        """Join a network: keep its file, make a key for this node, and write the configuration.

        Args:
            genesis: the network's file.
            edges: addresses of edges, parted by blanks or commas; there may be none yet.
            anchor: a newer trusted start than the network's first: its text, or the path of its file or picture;
                empty: there is none.

        Raises:
            InputError: it is no such file, an address is none, or the folder cannot be written.
        """
        peers = tuple(parse_peer(text) for text in edges.replace(",", " ").split()[:EDGES_MAX])
        try:
            data = read_given(genesis, GENESIS_BYTES_MAX)
            load_genesis(data)
        except NoFile as error:
            raise InputError(f"the genesis file cannot be read: {error}") from error
        except OSError as error:
            raise InputError(f"{genesis}: the genesis file cannot be read: {error.strerror}") from error
        except LocalProtocolError as error:
            raise InputError(f"{genesis}: this is not a genesis file: {error}") from error
        try:
            self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise InputError(f"{self.directory} cannot be made: {error.strerror}") from error
        kept = self.directory.joinpath(GENESIS_FILE)
        if genesis.absolute() != kept.absolute():
            kept.unlink(missing_ok=True)  # of a first run that was ended in between
            create_file(kept, data)
        if not self.directory.joinpath(NODE_KEY_FILE).exists():
            make_key_file(self.directory.joinpath(NODE_KEY_FILE), self._new_bytes(SEED_BYTES))
        options: dict[str, OptionValue] = {}
        if anchor.strip():
            self._keep_anchor(anchor, kept)
            options["anchor"] = ANCHOR_FILE
        config = NodeConfig(tier=4, directory=self.directory, genesis=kept, peers=peers, tier_options=options)
        write_config(self.directory.joinpath(CONFIG_FILE), config, OPTIONS)

    def _keep_anchor(self, given: str, genesis: Path) -> None:
        try:
            anchor = anchor_given(given, load_chain(genesis))
        except (InputError, MobileError) as error:
            raise InputError(f"the anchor: {error}") from error
        path = self.directory.joinpath(ANCHOR_FILE)
        path.unlink(missing_ok=True)
        create_file(path, encode(anchor))

    def new_words(self) -> NewWords:
        """Return words for a new wallet."""
        return NewWords(self._new_bytes(ENTROPY_BYTES), self._new_bytes(ENTROPY_BYTES))

    def write_new(self, words: NewWords, secret: str) -> None:
        """Write a wallet of confirmed words.

        Raises:
            CommonError: as `NewWords.write`.
        """
        words.write(self.directory.joinpath(WALLET_FILE), secret, keystore=self._keystore, cost=self._cost)

    def write_imported(self, words: str, secret: str) -> None:
        """Write a wallet of words that its owner has.

        Raises:
            CommonError: as `create_wallet`, or the passphrase or PIN will not do.
        """
        check_secret(secret, guarded=self.has_keystore)
        path = self.directory.joinpath(WALLET_FILE)
        create_wallet(path, secret, words=words, entropy=None, cost=self._cost, keystore=self._keystore)

    def config(self) -> NodeConfig:
        """Return the configuration.

        Raises:
            InputError: it cannot be used; where and why.
        """
        return load_config(self.directory.joinpath(CONFIG_FILE), tier=4, options=OPTIONS)

    def is_guarded(self) -> bool:
        """Return whether a keystore guards the wallet, so that a PIN may open it.

        Raises:
            InputError: there is no wallet, or its file is damaged.
        """
        return is_guarded(self.directory.joinpath(WALLET_FILE))

    def wait(self, now_us: int) -> tuple[int, int]:
        """Return how many wrong passphrases there were, and the microseconds until the next may be tried.

        Raises:
            InputError: the count cannot be read.
        """
        tries = read_tries(self.directory.joinpath(WALLET_FILE), now_us)
        return tries.wrong, rest_us(tries, now_us)
