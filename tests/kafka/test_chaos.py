"""The chaos harness, short: two processes, killed a few times, write what one would have written
that nothing happened to. `make chaos` runs all scenarios.
"""

from __future__ import annotations

import pytest

from tests.chaos.members import RESUMED
from tests.chaos.outcome import Plan
from tests.chaos.scenarios import SCENARIOS
from tests.chaos.settings import DELIVERIES, Delivery
from tests.chaos.trial import Trial
from tests.kafka.broker import Node

pytestmark = pytest.mark.kafka


@pytest.mark.parametrize("delivery", DELIVERIES)
def test_processes_that_are_killed_write_what_one_quiet_process_writes(
    broker: Node, delivery: Delivery
) -> None:
    plan = Plan("kill", SCENARIOS["kill"], delivery, seconds=10.0, seed=1, members=2)
    outcome = Trial(plan, [broker.address], None).run()
    assert outcome.is_good, outcome
    assert sum(outcome.kills.values()) >= 2
    assert outcome.told[RESUMED] > 0
    assert outcome.scores > 1000
    assert outcome.alerts
    assert outcome.dead_letters
