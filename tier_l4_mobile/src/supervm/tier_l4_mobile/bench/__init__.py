"""Benchmarks of the phone: what its app costs."""
