"""Small exhaustive models of the shipped rules (consensus.md 6, method 2).

`checker` walks every reachable state of a model and returns the shortest way to a violation; `mirror` copies the
shipped objects and tells whether two of them are in the same state; `automaton` runs them once per (state, event) and
remembers the result. `simplex_model` is Simplex over two views, `payment_model` certificate-only mode; the `*_faults`
modules break one rule at a time, so that a test can see that the models would notice.
"""
