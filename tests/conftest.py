"""How Hypothesis chooses its examples: the same ones in every run of the test command, others where it explores.

A check that everybody's work has to pass must not fail one day for what it passed the day before. New examples are
looked for by `./run test long`, which sets SUPERVM_HYPOTHESIS=explore; what it finds becomes an `@example`.
"""

import os

from hypothesis import settings

settings.register_profile("same", derandomize=True)
settings.register_profile("explore", print_blob=True)
settings.load_profile(os.environ.get("SUPERVM_HYPOTHESIS", "same"))
