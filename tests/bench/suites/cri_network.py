"""Pods on a bridge, by the same plugins on both sides: start, warm requests, requests a second (suite cri)."""

import contextlib
import time

import containerd
import networks
from environment import Node, spawn_daemon, wait_until
from parent_cgroup import Cgroup
from pods import Containers, Functions, Pods, Target
from rows import row
from traffic import first_answer, load

ROUNDS = 21
COUNTS = (1, 10, 100)
POOL = 100
SECONDS, TURNS = 1.5, 3  # of load, turn and turn about
CONNECTIONS = 4          # to each pod
PLAIN = "uvicorn in a container"
FAST = "uvicorn with uvloop and httptools in a container"


@contextlib.contextmanager
def functions_on(bridge: networks.Bridge, cgroup: Cgroup):
    """A node whose pods are attached to the bridge."""
    node = Node(pool=POOL)
    try:
        directory = node.directory
        daemon, said = spawn_daemon(
            "usetld", "--socket", f"{directory}/usetl.sock", "--state", f"{directory}/pods",
            "--images", f"{directory}/images", "--pods", f"{directory}/pods.sock",
            "--namespaces", f"{directory}/netns", "--cni-conf", str(bridge.configuration),
            "--cni-bin", networks.PLUGINS)
        try:
            if said != "ready\n":
                raise RuntimeError(said)
            wait_until(lambda: node.usetl("ps").stdout.count(" idle ") >= POOL, 120)
            functions = Functions(node, cgroup.name, network=True)
            try:
                yield functions
            finally:
                functions.remove_all()
                functions.close()
        finally:
            daemon.terminate()
            daemon.wait()
    finally:
        node.close()


def timed_start(pods: Pods, name: str) -> float:
    pod, took = pods.timed_run(name)
    took += pods.timed_start(pod, name)
    pods.remove(pod)
    return took


def starts(functions: Functions, containers: Containers | None, bridge: networks.Bridge) -> list[dict]:
    """Each way once a round, in another order each time, for namespaces of the way before are still being taken down.

    What is left of a start is what that round's ADD by hand did not take.
    """
    bare = functions.without_cgroups()
    ours, ours_bare, theirs, plugins = [], [], [], []
    for number in range(ROUNDS):
        plugins.append(bridge.attach_by_hand(f"hand{number}"))
        ways = [(functions, ours), (bare, ours_bare), (containers, theirs)]
        for pods, samples in ways[number % 3:] + ways[:number % 3]:
            time.sleep(0.05)
            if pods is not None:
                samples.append(timed_start(pods, f"net{number}"))

    def own(samples: list[float]) -> list[float]:
        return [whole - part for whole, part in zip(samples, plugins)]

    what = "Run + Create + Start on a CNI bridge"
    peer = {"peer": "containerd + runc", "judge": "p50"}
    return [row(f"{what}, the whole", "ms", ours, peer_samples=theirs, **peer),
            row("ADD of the bridge's plugins, run by hand", "ms", plugins),
            row(f"{what}, without ADD", "ms", own(ours), 10, 3, peer_samples=own(theirs), **peer),
            row(f"{what}, without ADD; no cgroup", "ms", own(ours_bare), 10, 3, peer_samples=own(theirs), **peer)]


def answering(pods: Pods, name: str) -> Target:
    target = pods.target(pods.start(name))
    first_answer(target)
    return target


class Side:
    """Pods of one side that answer, and how they did."""

    def __init__(self, pods: Pods, name: str):
        self.pods, self.name, self.targets = pods, name, []
        self.rates: list[float] = []
        self.latencies: list[float] = []

    def grow(self, count: int) -> None:
        while len(self.targets) < count:
            self.targets.append(answering(self.pods, f"{self.name}{len(self.targets)}"))
        self.rates = []

    def turn(self, connections: int) -> None:
        rate, latencies = load(self.targets, SECONDS, connections)
        self.rates.append(rate)
        self.latencies += latencies[len(latencies) // 10:]


def turns(sides: list[Side], connections: int) -> None:
    for _ in range(TURNS):
        for side in sides:
            side.turn(connections)


def under_load(functions: Functions, containers: Containers | None, fast: Containers | None) -> list[dict]:
    ours = Side(functions, "load")
    plain = [Side(containers, "plain")] if containers else []
    quick = [Side(fast, "fast")] if fast else []
    sides = [ours, *plain, *quick]

    def beside(them: list[Side], name: str, kind: str) -> dict:
        return {"peer": name, "peer_samples": getattr(them[0], kind)} if them else {}

    for side in sides:
        side.grow(1)
    turns(sides, 1)
    warm = "warm HTTP request on the pod's IP, one connection"
    rows = [row(warm, "us", ours.latencies, 500, 200, judge="p50", aim_ratio=1, **beside(plain, PLAIN, "latencies"))]
    if quick:
        rows.append(row(f"{warm}; uvloop", "us", ours.latencies, **beside(quick, FAST, "latencies")))
    for count in COUNTS:
        for side in sides:
            side.grow(count)
        turns(sides, CONNECTIONS)
        name = f"HTTP requests a second, {count} pod{'s' if count > 1 else ''}"
        bounds = (1, 3) if plain else ()
        rows.append(row(name, "1/s", ours.rates, *bounds, more_is_better=True, **beside(plain, PLAIN, "rates")))
        if quick:
            rows.append(row(f"{name}; uvloop", "1/s", ours.rates, more_is_better=True,
                            **beside(quick, FAST, "rates")))
        sides, quick = [ours, *plain], []  # one pod of the fast peer is enough
    return rows


def rows_of(bridge: networks.Bridge, peer: containerd.Containerd | None, cgroup: Cgroup) -> list[dict]:
    with functions_on(bridge, cgroup) as functions:
        if not peer:
            return starts(functions, None, bridge) + under_load(functions, None, None)
        with contextlib.closing(Containers(peer, cgroup.name, network=True)) as containers, \
                contextlib.closing(Containers(peer, cgroup.name, network=True, fast=True)) as fast:
            try:
                return starts(functions, containers, bridge) + under_load(functions, containers, fast)
            finally:
                containers.remove_all()
