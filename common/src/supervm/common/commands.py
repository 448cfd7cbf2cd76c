"""What `common` offers to ``supervm``: names, lines of help and where the code is; nothing heavy is imported here."""

from __future__ import annotations

from .cli.registry import Offer

COMMANDS = (
    Offer("bench", "Measure this machine against its own limits.", "supervm.common.cli.bench:bench"),
    Offer("detect", "Say which tier fits this machine.", "supervm.common.cli.detect:detect"),
    Offer("doctor", "Say what is missing or wrong on this machine, and the mend.", "supervm.common.cli.doctor:doctor"),
    Offer("evidence", "Check a proof of misbehaviour offline.", "supervm.common.cli.evidence:evidence"),
    Offer("fee", "Show who earns which part of a fee.", "supervm.common.cli.fee:fee"),
    Offer("genesis", "Make or show the file that starts a network.", "supervm.common.cli.genesis:genesis"),
    Offer("init", "Make a node's folder: a commented configuration and its keys.", "supervm.common.cli.init:init"),
    Offer("net", "Show who is connected to a node, and look for others.", "supervm.common.cli.net:net"),
    Offer("up", "Run a whole four-tier network on this machine.", "supervm.common.cli.up:up"),
)

BENCHMARKS = (
    Offer(
        "burst", "A file of payments at once through eight processes, CPU per tier.", "supervm.common.bench.burst:run"
    ),
    Offer("codec", "Wire frames: typed msgpack against the bare reader and writer.", "supervm.common.bench.codec:run"),
    Offer("commit", "Group commit against append + fdatasync.", "supervm.common.bench.commit:run"),
    Offer(
        "drain",
        "A phone's queue through one edge: until it is taken, until it is proved.",
        "supervm.common.bench.drain:run",
    ),
    Offer("footprint", "Memory of an idle edge and an idle phone.", "supervm.common.bench.footprint:run"),
    Offer("help", "Wall time of `supervm --help`.", "supervm.common.bench.startup:run"),
    Offer("history", "History of headers on disk: start, proofs, bytes.", "supervm.common.bench.history:run"),
    Offer("link", "Noise link: frames per second against the bare cipher.", "supervm.common.bench.link:run"),
    Offer(
        "sides", "Our link beside plain TCP and py-libp2p, two processes each.", "supervm.common.bench.side_by_side:run"
    ),
    Offer(
        "network",
        "The rate that eight processes bear, latency, CPU per payment, idle cost.",
        "supervm.common.bench.network:run",
    ),
    Offer("receipts", "Receipts tree against its bare hashing.", "supervm.common.bench.receipts:run"),
    Offer("start", "Start of a validator against accounts and age of the chain.", "supervm.common.bench.start:run"),
    Offer("trie", "State tree updates against their bare hashing.", "supervm.common.bench.trie:run"),
    Offer("verify", "Signature checks in worker processes against raw libsodium.", "supervm.common.bench.verify:run"),
)
