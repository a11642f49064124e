"""Whatever three clients do at once, the caches that they keep by /changes and /queryChanges are the server's truth."""

from __future__ import annotations

import os
import random

from tests.conformance.jmap.conftest import JmapServer
from tests.conformance.jmap_histories import play

HISTORIES = 40 if os.environ.get("PETITBLEU_SOAK") else 2
STEPS = 60 if os.environ.get("PETITBLEU_SOAK") else 25


def test_rfc8620_5_2_caches_of_three_clients_become_the_truth(server: JmapServer) -> None:
    told = 0
    for _ in range(HISTORIES):
        number = random.randrange(1 << 32)
        person = server.newcomer()
        try:
            actors = play(person, number, STEPS)
        except BaseException as error:
            error.add_note(f"history {number} of {person.login}")
            raise
        told += sum(one.answered for actor in actors for one in actor.lists)
        person.http.close()
    assert told  # /queryChanges had something to say
