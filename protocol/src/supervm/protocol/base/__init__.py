"""Bytes, hashes, keys and errors: what everything else stands on."""
