"""A node that is full says so when a pod or a container is made, not when it starts."""

import unittest

import grpc
from cri import container_config, cri, pod_config
from daemons import Daemons
from node import wait_until

MAIN = "def handler(event, context):\n    return 'well'\n"
FULL = grpc.StatusCode.RESOURCE_EXHAUSTED


class Capacity(unittest.TestCase):
    def setUp(self):
        self.daemons = Daemons(bridge="usetl-full")
        self.addCleanup(self.daemons.close)
        self.daemons.add_image("localhost/function:1", {"function/main.py": MAIN}, "--config.workingdir", "/function")
        # Room for one function: when it runs, its region holds something.
        self.daemons.start("usetl-vmmd", "--regions", "64M")
        self.daemons.start("usetl-proxy")
        self.daemons.start("usetld")
        self.addCleanup(self.remove_all)

    @property
    def client(self):
        return self.daemons.client

    def remove_all(self):
        for item in self.client.ListPodSandbox().items:
            self.client.RemovePodSandbox(pod_sandbox_id=item.id)

    def run_pod(self, name: str) -> str:
        config = pod_config(name, self.daemons.directory)
        return self.client.RunPodSandbox(config=config, runtime_handler="usetl").pod_sandbox_id

    def create(self, pod: str, name: str = "function") -> str:
        config = container_config(name, "localhost/function:1", envs=[cri.KeyValue(key="PORT", value=b"8080")])
        return self.client.CreateContainer(pod_sandbox_id=pod, config=config).container_id

    def start(self, container: str) -> None:
        self.client.StartContainer(container_id=container)

    def assert_full(self, message: str, call, *arguments) -> None:
        with self.assertRaises(grpc.RpcError) as raised:
            call(*arguments)
        self.assertEqual(raised.exception.code(), FULL, raised.exception.details())
        self.assertRegex(raised.exception.details(), f"^usetl: the node is full: {message}; end some functions, or [^\n]*$")

    def has_room(self, call, *arguments):
        """What the call answers, once what has ended has given back what it had."""
        answers = []

        def ask() -> bool:
            try:
                answers.append(call(*arguments))
            except grpc.RpcError as error:
                self.assertEqual(error.code(), FULL, error.details())
            return bool(answers)

        wait_until(ask)
        return answers[0]

    def test_what_runs_counts(self):
        pod, other = self.run_pod("a"), self.run_pod("b")  # a pod by itself takes nothing
        container = self.create(pod)
        self.start(container)
        holds = r"running functions hold \d+ of 64 MB of host regions, and another one wants 64 MB"
        self.assert_full(holds, self.run_pod, "c")
        self.assert_full(holds, self.create, other)
        self.assertEqual([item.id for item in self.client.ListContainers().containers], [container])
        self.assertEqual({item.id for item in self.client.ListPodSandbox().items}, {pod, other})

        # A name that was refused is free, and so is the place of what has ended.
        self.client.StopContainer(container_id=container, timeout=0)
        self.start(self.has_room(self.create, other))

    def test_what_is_created_counts(self):
        pod = self.run_pod("a")
        container = self.create(pod)
        waits = r"running functions hold 0 of 64 MB of host regions \(and containers yet to start: 1\), .*"
        self.assert_full(waits, self.create, pod, "second")
        self.assert_full(waits, self.run_pod, "b")
        self.client.RemoveContainer(container_id=container)
        self.create(pod, "second")
        self.assert_full(waits, self.run_pod, "b")
        self.client.StopPodSandbox(pod_sandbox_id=pod)  # it cannot start any more
        self.start(self.create(self.run_pod("b")))

    def test_without_vmmd_nothing_is_refused(self):
        self.daemons.kill("usetl-vmmd")
        self.create(self.run_pod("a"))
        self.create(self.run_pod("b"))


if __name__ == "__main__":
    unittest.main()
