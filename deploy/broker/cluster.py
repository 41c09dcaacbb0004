"""Several nodes of Apache Kafka on loopback that keep copies of each other's topics.

Each is broker and controller. With three nodes any one may be killed: what was acknowledged is on
two at least (`min.insync.replicas`), and two controllers are a majority. Three are up in about 4 s
and take 450 MB each.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from kafka import KafkaAdminClient
from kafka.errors import KafkaError

from deploy.broker.broker import Broker, Place, free_ports, new_cluster


class Cluster:
    """`nodes` brokers, numbered from 1, with their data below `directory`.

    They keep their ports and their data over `kill` and `restart`. Raises BrokerError where one
    cannot start.
    """

    def __init__(self, directory: Path, nodes: int = 3) -> None:
        numbers = range(1, nodes + 1)
        controllers = dict(zip(numbers, free_ports(nodes), strict=True))
        name = new_cluster()
        self.nodes = {
            number: Broker(directory / f"node-{number}", place=Place(number, controllers, name))
            for number in numbers
        }

    @property
    def addresses(self) -> list[str]:
        """`host:port` of every node, of those that are down too."""
        return [node.address for node in self.nodes.values()]

    @property
    def running(self) -> list[int]:
        """The numbers of the nodes that run."""
        return [number for number, node in self.nodes.items() if node.pid is not None]

    def start(self) -> None:
        """Start all nodes and wait until they answer; they need each other for it."""
        with ThreadPoolExecutor(len(self.nodes)) as pool:
            list(pool.map(Broker.start, self.nodes.values()))

    def stop(self) -> None:
        """End all nodes, by force: in good order the last ones would wait for a majority."""
        for node in self.nodes.values():
            node.kill()

    def kill(self, number: int) -> None:
        """End one node as a power cut would."""
        self.nodes[number].kill()

    def restart(self, number: int) -> None:
        """Start one again on its log and wait until it answers."""
        self.nodes[number].start()

    def leader_of(self, topic: str, partition: int) -> int:
        """The number of the node that clients write a partition to; -1 while nobody can say."""
        asked = [self.nodes[number].address for number in self.running]
        try:
            admin = KafkaAdminClient(bootstrap_servers=asked)
        except KafkaError:
            return -1
        try:
            (found,) = admin.describe_topics([topic])
        except KafkaError:
            return -1
        finally:
            admin.close()
        leaders = {p["partition_index"]: int(p["leader_id"]) for p in found["partitions"]}
        return leaders.get(partition, -1)
