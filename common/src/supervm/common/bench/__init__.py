"""Benchmarks against this machine's own limits, each measured in the same run (``supervm bench``)."""
