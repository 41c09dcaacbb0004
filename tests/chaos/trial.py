"""One scenario, once: a group under load and in trouble, then the same records undisturbed."""

from __future__ import annotations

import itertools
import random
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from deploy.broker.cluster import Cluster
from tests.chaos.compare import Written, judge
from tests.chaos.expected import Expected, expect
from tests.chaos.feed import STREAMS, Fleet, Stream
from tests.chaos.logs import Log
from tests.chaos.members import Crew
from tests.chaos.outcome import Outcome, Plan
from tests.chaos.producer import Producer
from tests.chaos.settings import OUTPUTS, Place, Topics
from tests.chaos.training import learn
from tests.chaos.troubles import Scene
from tests.chaos.undisturbed import Undisturbed
from tests.chaos.watch import Watch
from tests.kafka.processes import wait_for, write_config

Tell = Callable[[str], None]
JOIN, DRAIN = 90.0, 120.0
AT_ONCE = 0.005  # each tenth of a second: about once in 20 s without any progress
_NUMBERS = itertools.count(1)


class Trial:
    """Carries out a plan on the log at some addresses; `cluster` where its brokers may be killed.

    The folder with configurations, logs and state is kept where anything went wrong.
    """

    def __init__(self, plan: Plan, bootstrap: Sequence[str], cluster: Cluster | None) -> None:
        self.plan, self.cluster = plan, cluster
        name = f"chaos-{plan.name.replace(' ', '-')}-{next(_NUMBERS)}"
        self.folder = Path(tempfile.mkdtemp(prefix=f"{name}-"))
        self.topics = Topics(self.folder.name)
        self.fleet = Fleet(plan.seed)
        self.log = Log(bootstrap, copies=plan.scenario.nodes)
        self._bootstrap = tuple(bootstrap)
        self._random = random.Random(plan.seed)
        self._told: Tell = lambda what: None
        self.outcome = Outcome(plan.name, plan.delivery, plan.seed, str(self.folder))

    def run(self, tell: Tell | None = None) -> Outcome:
        """From the topics to the verdict; AssertionError where it does not come to one."""
        self._told = tell or self._told
        began = time.monotonic()
        try:
            with ExitStack() as stack:
                stack.callback(self.log.close)
                self._run(stack)
        finally:
            self.outcome.seconds = round(time.monotonic() - began, 1)
            self._keep_brokers_logs()
        if self.outcome.is_good:
            shutil.rmtree(self.folder)
        return self.outcome

    def _keep_brokers_logs(self) -> None:
        for number, node in self.cluster.nodes.items() if self.cluster else ():
            shutil.copy(node.log, self.folder / f"broker-{number}.log")

    def _run(self, stack: ExitStack) -> None:
        self._told("training")
        config = self._config("undisturbed")
        learn(config, self.fleet)
        self.log.make_topics(self.topics, self.fleet.partitions)
        crew = self._crew()
        stack.callback(crew.end)
        producer = Producer(self._bootstrap, self.topics, self.fleet, self.plan.speed)
        with self._watching(producer) as watch:
            with _flowing(producer):
                self._trouble(crew, watch)
            alone = Undisturbed(config, self.folder / "undisturbed.yaml")
            stack.callback(alone.member.end)
            self._drain(crew, watch, producer)
            self.outcome.recovery_seconds = watch.recovery()
        self._compare(producer, alone)

    def _config(self, run: str, **kafka: Any) -> dict[str, Any]:
        scenario = self.plan.scenario
        delivery = self.plan.delivery if run == "chaos" else "at_least_once"
        place = Place(self.folder, self._bootstrap, self.topics, delivery, scenario.detector)
        return place.config(run, scenario.changes(self.topics, run), **kafka)

    def _crew(self) -> Crew:
        scenario = self.plan.scenario
        configs, clocks = [], []
        for number in range(self.plan.members):
            polls = scenario.polls[number % len(scenario.polls)]
            name = {"client_id": f"member-{number}"}
            if scenario.named:
                name["instance"] = f"member-{number}"
            config = self._config("chaos", max_poll_records=polls, **name)
            file = self.folder / f"member-{number}.yaml"
            configs.append(write_config(file, config))
            clocks.append(file.with_suffix(".clock") if scenario.own_clocks else None)
        return Crew(configs, clocks)

    @contextmanager
    def _watching(self, producer: Producer) -> Iterator[Watch]:
        watch = Watch(self.log, f"{self.topics.name}.chaos", producer.ends)
        try:
            yield watch
        finally:
            watch.stop()

    def _trouble(self, crew: Crew, watch: Watch) -> None:
        self._told("joining")
        wait_for("a member is in the group", lambda: any(m.joined for m in crew.members), JOIN)
        state = self.folder / "chaos-state"
        scene = Scene(crew, self._random, state, self.topics.read("windows"), self.cluster)
        try:
            self._strike_again_and_again(scene, watch)
            scene.put_right()
        finally:
            scene.close()
        self.outcome.kills, self.outcome.troubles = dict(scene.kills), dict(scene.struck)

    def _strike_again_and_again(self, scene: Scene, watch: Watch) -> None:
        weights, troubles = zip(*self.plan.scenario.troubles, strict=True)
        first = list(troubles)  # each of them comes, however short the time
        until = time.monotonic() + self.plan.seconds
        due, progress = time.monotonic(), 0
        while (now := time.monotonic()) < until:
            scene.tick()
            scene.crew.refill()
            # Mostly there has to be something new to lose: a group that is killed while it is still
            # starting only starts again.
            if now >= due and (watch.progress > progress or self._random.random() < AT_ONCE):
                trouble = first[0] if first else self._random.choices(troubles, weights)[0]
                if trouble.strike(scene):
                    scene.struck[type(trouble).__name__] += 1
                    first = first[1:]
                    watch.struck()
                    due = now + self.plan.scenario.pause * self._random.uniform(0.5, 1.5)
                    progress = watch.progress
                self._told(f"{until - now:.0f} s, {sum(scene.kills.values())} kills")
            time.sleep(0.1)

    def _drain(self, crew: Crew, watch: Watch, producer: Producer) -> None:
        """All that was sent is read to its end; then everybody may go."""
        ends = self.log.ends(self.topics.read(stream) for stream in STREAMS)
        until = time.monotonic() + DRAIN
        while not watch.reached(ends) and time.monotonic() < until:
            if not crew.alive:
                crew.refill()
            self._told(f"draining, {watch.behind(ends)} records behind")
            time.sleep(0.2)
        if behind := watch.behind(ends):
            self.outcome.verdict.add("differences", [f"{behind} records behind after {DRAIN:g} s"])
        crew.dismiss()
        self.outcome.hear(crew.past, self.plan.scenario)

    def _compare(self, producer: Producer, alone: Undisturbed) -> None:
        self._told("comparing")
        entries = [e for stream in STREAMS for e in self.log.read(self.topics.read(stream))]
        expected = expect(entries, producer.sent, producer.acknowledged, self._detectors())
        ignored = alone.ignored(expected.records)
        alone.member.terminate()
        alone.member.wait()
        exactly = self.plan.delivery == "exactly_once"
        chaos = self._written("chaos", committed_only=exactly)
        undisturbed = self._written("undisturbed", committed_only=False)
        verdict = self.outcome.verdict
        judge(verdict, chaos, undisturbed, expected, exactly=exactly)
        for key in ignored | expected.ignored:
            if ignored[key] != expected.ignored[key]:
                verdict.add("uncounted", [f"{key}: {ignored[key]}, not {expected.ignored[key]}"])
        self._count(producer, expected, undisturbed)

    def _detectors(self) -> dict[Stream, tuple[str, ...]]:
        return {
            "windows": (self.plan.scenario.detector, "online_iforest"),
            "samples": ("online_iforest",),
        }

    def _written(self, run: str, *, committed_only: bool) -> Written:
        names = {output: self.topics.written(run, output) for output in OUTPUTS}
        if committed_only and not self.log.wait_until_closed(names.values(), 30.0):
            self.outcome.verdict.add("differences", ["a transaction is open for over 30 s"])
        return {
            output: self.log.read(name, committed_only=committed_only)
            for output, name in names.items()
        }

    def _count(self, producer: Producer, expected: Expected, undisturbed: Written) -> None:
        told = self.outcome
        told.records, told.acknowledged = expected.records, len(producer.acknowledged)
        told.refused, told.ignored = len(producer.refused), sum(expected.ignored.values())
        told.scores, told.alerts = len(undisturbed["scores"]), len(undisturbed["alerts"])
        told.dead_letters = len(undisturbed["dead_letters"])


@contextmanager
def _flowing(producer: Producer) -> Iterator[None]:
    producer.start()
    try:
        yield
    except BaseException:
        producer.abandon()
        raise
    producer.stop()
