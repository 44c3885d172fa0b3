"""The whole runner under simulated time: random cancels, kills and restarts, each replayed by its seed.

Shipped and real: manager, dispatcher, supervisor, launcher, ladder, endings, contexts, batches, ledger, workflows,
rows and SQLite. Replaced: the clock, chance, the processes (``machine.py``, ``process.py``) and the gateway.
``turns.py`` lets one thread go on at a time and decides by the seed which; ``oracle.py`` says what must hold.
"""
