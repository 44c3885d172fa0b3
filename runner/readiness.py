"""What this node needs to work, each "ok" or what is wrong with it."""

from __future__ import annotations

from runner.clock import Clock
from runner.errors import DatabaseLost, StoreUnavailable
from runner.machine import Machine
from runner.store import Store
from runner.stores.runs import RunRows
from runner.supervisor import Supervisor

_BEAT_SECONDS = 10.0


def readiness(store: Store, supervisor: Supervisor, machine: Machine, node: str, clock: Clock) -> dict[str, str]:
    """Asks the store by a write; waits for nothing else."""
    beat = clock.boot_seconds() - supervisor.beat_at
    stands = _stands(store, node)
    return {
        "store": stands if isinstance(stands, str) else str(stands),
        "supervisor": "ok" if beat < _BEAT_SECONDS else f"no sign of life for {beat:.0f} s",
        "progress": supervisor.live.state(),
        "births": machine.births(),
        "database": str(stands) if isinstance(stands, DatabaseLost) else "ok",
    } | ({"server": "draining"} if supervisor.draining else {})


def _stands(store: Store, node: str) -> str | StoreUnavailable:
    try:
        with store.write() as tx:
            RunRows(tx).renew_leases(node)
    except StoreUnavailable as error:
        return error
    return "ok"
