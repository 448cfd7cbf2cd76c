"""Fuzzing the whole network: random faults and lies, then judgement; failures are made small and can be replayed."""
