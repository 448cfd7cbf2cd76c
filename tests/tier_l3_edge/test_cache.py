"""The proof cache: bounded in bytes, least recently used out first, honest counters."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from supervm.protocol.chain.checkpoint import CheckpointHeader
from supervm.tier_l3_edge.proofs.cache import ENTRY_OVERHEAD_BYTES, CachedProof, ProofCache, SharedCheckpoint

Z = bytes(32)


def shared(height: int, size: int = 500) -> SharedCheckpoint:
    header = CheckpointHeader(1, Z, 0, height, Z, Z, height * 1000, Z, Z, Z, Z, Z, 0)
    return SharedCheckpoint(header, bytes(size))


def entry(checkpoint: SharedCheckpoint, size: int = 100) -> CachedProof:
    return CachedProof(checkpoint, bytes(size), None)


def key(number: int) -> bytes:
    return number.to_bytes(32, "big")


def test_the_checkpoint_that_proofs_share_is_counted_once() -> None:
    cache, checkpoint = ProofCache(10_000), shared(1)
    cache.put(key(1), entry(checkpoint))
    cache.put(key(2), entry(checkpoint))
    assert cache.bytes_used == 2 * (100 + ENTRY_OVERHEAD_BYTES) + 500
    cache.drop(key(1))
    cache.drop(key(2))
    assert cache.bytes_used == 0


def test_the_least_recently_used_goes_first_and_is_counted() -> None:
    checkpoint = shared(1)
    cache = ProofCache(500 + 2 * (100 + ENTRY_OVERHEAD_BYTES))
    cache.put(key(1), entry(checkpoint))
    cache.put(key(2), entry(checkpoint))
    assert cache.get(key(1)) is not None
    cache.put(key(3), entry(checkpoint))
    assert cache.get(key(2)) is None
    assert cache.get(key(1)) is not None
    assert (cache.hits, cache.misses, cache.evictions) == (2, 1, 1)


def test_a_lower_height_never_replaces_a_higher_one() -> None:
    cache, newer = ProofCache(10_000), entry(shared(2))
    assert cache.put(key(1), newer)
    assert not cache.put(key(1), entry(shared(1)))
    assert cache.peek(key(1)) is newer


def test_too_old_or_too_low_is_a_miss() -> None:
    cache = ProofCache(10_000)
    cache.put(key(1), entry(shared(5)))
    assert cache.get(key(1), oldest_ms=5001) is None
    assert cache.get(key(1), lowest=6) is None
    assert cache.get(key(1), oldest_ms=5000, lowest=5) is not None
    assert (cache.hits, cache.misses) == (1, 2)


def test_what_does_not_fit_alone_is_not_kept() -> None:
    cache = ProofCache(600)
    assert not cache.put(key(1), entry(shared(1)))
    assert len(cache) == cache.bytes_used == 0


OPERATIONS = st.lists(
    st.tuples(st.sampled_from(["put", "get", "drop"]), st.integers(0, 5), st.integers(1, 4), st.integers(0, 900))
)


@given(OPERATIONS, st.integers(900, 6_000))
def test_it_behaves_like_the_plain_model(operations: list[tuple[str, int, int, int]], bytes_max: int) -> None:
    """Model: a list in order of use; size is recomputed from scratch every time."""
    checkpoints = [shared(height, 100 * height) for height in range(5)]
    cache = ProofCache(bytes_max)
    model: list[tuple[int, int, int]] = []  # account, height, size
    hits = misses = evictions = 0

    def total() -> int:
        return sum(size + ENTRY_OVERHEAD_BYTES for _, _, size in model) + sum(
            100 * height for height in dict.fromkeys(height for _, height, _ in model)
        )

    for what, account, height, size in operations:
        found = next((item for item in model if item[0] == account), None)
        if what == "drop":
            cache.drop(key(account))
            model = [item for item in model if item != found]
        elif what == "get":
            got = cache.get(key(account))
            assert (got is None) == (found is None)
            if found is None:
                misses += 1
            else:
                hits += 1
                model = [*(item for item in model if item != found), found]
        else:
            fits = size + ENTRY_OVERHEAD_BYTES + 100 * height <= bytes_max
            kept = cache.put(key(account), entry(checkpoints[height], size))
            assert kept == (fits and (found is None or found[1] <= height))
            if kept:
                model = [*(item for item in model if item != found), (account, height, size)]
                while total() > bytes_max:
                    model.pop(0)
                    evictions += 1
        assert cache.bytes_used == total() <= bytes_max
        assert len(cache) == len(model)
    assert (cache.hits, cache.misses, cache.evictions) == (hits, misses, evictions)
