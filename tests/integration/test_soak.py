"""A thousand pods come and go: nothing grows with them."""

import concurrent.futures
import os
import pathlib
import unittest

from cri import container_config, cri, pod_config
from daemons import Daemons
from node import SANITIZED, wait_until

FUNCTION = "def handler(event, context):\n    return 1\n"
PODS, WARM_UP, AT_A_TIME = 1000, 100, 8
STARTED = 10  # one pod in so many runs a container


def resident_kilobytes(pid: int) -> int:
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    raise AssertionError("a daemon is gone")


class Soak(unittest.TestCase):
    def setUp(self):
        self.daemons = Daemons(bridge="usetl-soak", pool=4)
        self.addCleanup(self.daemons.close)
        self.daemons.add_image("localhost/soak:1", {"function/main.py": FUNCTION}, "--config.workingdir", "/function")
        for path in self.daemons.make_cgroup():
            self.addCleanup(path.rmdir)
        self.daemons.start_all()

    def live(self, number: int) -> None:
        """One pod's whole life."""
        client = self.daemons.client
        config = pod_config(f"soak-{number}", self.daemons.directory,
                            linux=cri.LinuxPodSandboxConfig(cgroup_parent=self.daemons.cgroup))
        pod = client.RunPodSandbox(config=config, runtime_handler="usetl").pod_sandbox_id
        container = client.CreateContainer(pod_sandbox_id=pod, sandbox_config=config,
                                           config=container_config("function", "localhost/soak:1")).container_id
        if number % STARTED == 0:
            client.StartContainer(container_id=container)
            client.StopContainer(container_id=container, timeout=30)
            self.assertEqual(client.ContainerStatus(container_id=container).status.exit_code, 0)
        if number % 3 == 0:
            client.RemoveContainer(container_id=container)
        if number % 2 == 0:
            client.StopPodSandbox(pod_sandbox_id=pod)
        client.RemovePodSandbox(pod_sandbox_id=pod)

    def live_all(self, first: int, last: int) -> None:
        with concurrent.futures.ThreadPoolExecutor(AT_A_TIME) as threads:
            list(threads.map(self.live, range(first, last)))
        wait_until(self.daemons.all_usfs_idle)

    def figures(self) -> dict[str, int]:
        figures = {}
        for program, daemon in self.daemons.running.items():
            if program != "usetl-vmmd":  # it has as many as it has USFs
                figures[f"descriptors of {program}"] = self.daemons.descriptors(program)
            figures[f"threads of {program}"] = len(os.listdir(f"/proc/{daemon.pid}/task"))
        figures["USFs"] = len(self.daemons.inspect()["usfs"])
        directory = self.daemons.directory
        figures["files"] = sum(len(files) for path, _, files in os.walk(directory) if "logs" not in path)
        return figures

    def grown(self, before: dict[str, int], slack: dict[str, int]) -> dict[str, tuple[int, int]]:
        now = self.figures()
        return {name: (before[name], now[name]) for name in now if now[name] > before[name] + slack.get(name, 0)}

    def test_nothing_grows(self):
        self.live_all(0, WARM_UP)
        before = self.figures()
        memory = {program: resident_kilobytes(daemon.pid) for program, daemon in self.daemons.running.items()}
        self.live_all(WARM_UP, WARM_UP + PODS)
        self.assertEqual(list(self.daemons.client.ListPodSandbox().items), [])
        self.assertEqual({name: some for name, some in self.daemons.holdings().items() if some}, {})
        # gRPC keeps a few threads and their descriptors as long as it likes; the pool a USF or two.
        slack = {"threads of usetld": 16, "descriptors of usetld": 4, "USFs": AT_A_TIME}
        wait_until(lambda: not self.grown(before, slack))
        if SANITIZED:
            return  # LeakSanitizer is there for memory
        for program, daemon in self.daemons.running.items():
            more = resident_kilobytes(daemon.pid) - memory[program]
            self.assertLess(more, 4 << 10, program)  # 4 kB of each pod would be as much


if __name__ == "__main__":
    unittest.main()
