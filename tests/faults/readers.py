"""Somebody who asks the views all the while."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date

from results import Results, current_of, night_of
from sqlalchemy import text

from routing_core.settings import Settings
from routing_core.store.database import reading

GLANCE = """
    SELECT n.dt, n.run_id, n.assigned, n.deferred, n.rejected, n.backlog_rows + n.carried_rows AS came,
        (SELECT count(*) FROM assignments a WHERE a.run_id = n.run_id) AS assignments,
        (SELECT count(*) FROM deferred_queries d WHERE d.run_id = n.run_id) AS waiting,
        (SELECT count(*) FROM rejected_queries r WHERE r.run_id = n.run_id) AS refused,
        (SELECT sum(u.assigned) FROM utilisation u WHERE u.dt = n.dt) AS used
    FROM nights n
"""


class Reader:
    """Somebody who asks the views at every instant, and knows the two nights there may be."""

    def __init__(self, settings: Settings, allowed: list[Results]) -> None:
        self._settings = settings
        self._allowed = allowed
        self._known: dict[tuple[date, int], Results] = {}
        self.seen: set[int] = set()

    def look(self) -> None:
        """See whole nights, and each run as it was when it was seen first."""
        with reading(self._settings) as connection:
            for night in connection.execute(text(GLANCE)):
                assert (night.assigned, night.deferred, night.rejected) == (
                    night.assignments,
                    night.waiting,
                    night.refused,
                )
                assert night.used == night.assigned
                assert night.came == night.assigned + night.deferred + night.rejected
                if night.run_id not in self.seen:
                    self.seen.add(night.run_id)
                    dt = date.fromisoformat(str(night.dt))
                    found = night_of(current_of(connection), dt)
                    assert any(found == night_of(one, dt) for one in self._allowed), "neither the old night nor the new"

    def look_again(self) -> None:
        """Nobody has written to what was current."""
        self.seen.clear()
        self.look()


@contextmanager
def looking(reader: Reader) -> Iterator[None]:
    """Let ``reader`` look all the while the block runs, and once after; what it objects to is raised at the end."""
    over, objections = threading.Event(), []

    def look() -> None:
        while not over.wait(0.02):
            try:
                reader.look()
            except BaseException as error:
                objections.append(error)
                return

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
    for error in objections:
        raise error
    reader.look()
