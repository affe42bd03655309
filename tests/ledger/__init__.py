"""The ledger under test. Outside these modules and the ledger's own tests nothing knows how Redis keys are named.

raw         the ledger's connection and its keys: for this package and the ledger's own tests alone
surgery     changes what is stored, as time or an accident would; each function is named by what happens
inspection  reads what is stored, where the ledger has no method for it
audit       reads every key, and says what contradicts the invariants
scene       a ledger with short verbs, as a worker would use it
planting    a backlog, made quickly

A test asks the ledger's public methods first; `tests/unit/test_layout_of_tests.py` finds keys anywhere else.
"""
