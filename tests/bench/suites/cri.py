"""Pods over the CRI, beside containerd and runc: start, first answer, bursts, lists, stop, memory.

Here pods have no network plugin; suites/cri_network.py has what wants addresses.
"""

import contextlib
import json
import pathlib
import subprocess
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor

import containerd
import memory
import networks
from environment import BUILD, Node, in_network_namespace, wait_until
from parent_cgroup import Cgroup
from pods import FUNCTION, Containers, Functions, Pods
from rows import percentile, row
from suites import cri_network
from suites import cri_memory
from suites.usf_memory import settled
from traffic import first_answer

PODS, BURST, THREADS, LISTED = 60, 200, 32, 1000
PEER_EVERY = 3  # pods of ours to one of containerd's, which takes so much longer
PEER_BURST = 20
PEER = "containerd + runc"


def measure(pods: Pods, *arguments) -> dict:
    """What cri_bench says: a client in C++, where one in Python would take the processors from usetld."""
    done = subprocess.run([BUILD / "cri_bench", f"{pods.directory}/usetl.sock", *map(str, arguments)], check=True,
                          capture_output=True, text=True, timeout=300)
    return json.loads(done.stdout)


def milliseconds(begin: float) -> float:
    return (time.perf_counter() - begin) * 1e3


class Lives:
    """What pods of one side took from the cradle to the grave, in ms."""

    def __init__(self):
        self.started, self.answered, self.stopped = [], [], []

    def live(self, pods: Pods, name: str) -> None:
        pod, run = pods.timed_run(name)
        target = pods.target(pod)  # asks the CRI: not counted
        self.started.append(run + pods.timed_start(pod, name))
        begin = time.perf_counter()
        first_answer(target)
        self.answered.append(milliseconds(begin))
        self.stopped.append(pods.timed_remove(pod))


def lives_of_pods(functions: Functions, containers: Containers | None) -> list[dict]:
    """All ways turn and turn about."""
    bare = functions.without_cgroups()
    ours, ours_bare, theirs = Lives(), Lives(), Lives()
    for number in range(PODS):
        for pods, lives in ((functions, ours), (bare, ours_bare)):
            time.sleep(0.05)  # the pool fills again, off the path
            lives.live(pods, f"pod{number}")
        if containers is not None and number % PEER_EVERY == 0:
            theirs.live(containers, f"pod{number}")
    rows = []
    for lives, suffix in ((ours, ""), (ours_bare, "; no cgroup")):
        rows += [row(f"RunPodSandbox + Create + StartContainer{suffix}", "ms", lives.started, 10, 3, must_ratio=20,
                     aim_ratio=60, judge="p50", peer=PEER, peer_samples=theirs.started),
                 row(f"StartContainer to first HTTP answer{suffix}", "ms", lives.answered, 5, 1, judge="p50",
                     peer=PEER, peer_samples=theirs.answered),
                 row(f"StopPodSandbox + RemovePodSandbox{suffix}", "ms", lives.stopped, 10, 3, judge="p50",
                     peer=PEER, peer_samples=theirs.stopped)]
    return rows


def burst_of(pods: Pods, count: int) -> tuple[float, float]:
    """Seconds until so many pods that are started at once have answered; the MB that each gives back."""
    begin = time.perf_counter()
    with ThreadPoolExecutor(32) as executor:
        made = list(executor.map(lambda number: pods.start(f"burst{number}"), range(count)))
    for pod in made:
        first_answer(pods.target(pod))
    seconds = milliseconds(begin) / 1e3
    before = settled()
    pods.remove_all()
    after = settled()
    return seconds, (memory.in_use(before) - memory.in_use(after)) / count


def burst(node: Node, functions: Functions, containers: Containers | None, refilled) -> list[dict]:
    """`refilled`: waits until the pool is full again."""
    beside, beside_memory = {}, {}
    if containers is not None:
        took, held = burst_of(containers, PEER_BURST)
        beside = {"peer": f"{PEER}, {PEER_BURST} pods, times {BURST // PEER_BURST}", "peer_pods": PEER_BURST,
                  "peer_seconds": took, "peer_samples": [took * BURST / PEER_BURST]}
        beside_memory = {"peer": PEER, "peer_pods": PEER_BURST, "peer_samples": [held]}
    refilled()
    daemons = cri_memory.of_daemons(node)
    seconds = measure(functions, "burst", BURST, THREADS, "localhost/bench:1", functions.directory / "logs",
                      functions.cgroup)["seconds"]
    before = settled()
    idle = cri_memory.rows(cri_memory.of_workers(node), (cri_memory.of_daemons(node) - daemons) / BURST)
    functions.remove_all()
    held = (memory.in_use(before) - memory.in_use(settled())) / BURST
    return [row(f"burst: {BURST} pods started at once, all answer", "s", [seconds], 2, 0.5, judge="p50", **beside),
            *idle, row("memory that a pod gives back", "MB", [held], **beside_memory)]


def lists(pods: Functions) -> list[dict]:
    samples = measure(pods, "list", LISTED, 300)["ms"]
    return [row(f"ListPodSandbox with {LISTED} pods, 20 a second come and go, p99", "ms",
                [percentile(samples, 0.99)], 5, 2)]


def without_network(peer: containerd.Containerd | None, cgroup: Cgroup) -> list[dict]:
    node = Node("--cri", "--no-network", pool=BURST)
    try:
        def refilled() -> None:
            wait_until(lambda: node.usetl("ps").stdout.count(" idle ") >= BURST, 120)

        refilled()
        with contextlib.ExitStack() as stack:
            functions = stack.enter_context(contextlib.closing(Functions(node, cgroup.name)))
            containers = None
            if peer:
                containers = stack.enter_context(contextlib.closing(Containers(peer, cgroup.name)))
            return lives_of_pods(functions, containers) + burst(node, functions, containers, refilled) \
                + lists(functions.without_cgroups())
    finally:
        node.close()


def run(_options) -> list[dict]:
    in_network_namespace()
    with contextlib.ExitStack() as stack:
        directory = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="usetl-bench-")))
        bridge = networks.Bridge(directory)
        cgroup = stack.enter_context(contextlib.closing(Cgroup()))
        peer = None
        if absent := containerd.missing():
            print(f"cri: no peer, it wants packages that are not installed: apt-get install {' '.join(absent)}")
        else:
            peer = stack.enter_context(contextlib.closing(
                containerd.Containerd(FUNCTION, bridge.configuration, networks.PLUGINS)))
        return without_network(peer, cgroup) + cri_network.rows_of(bridge, peer, cgroup)
