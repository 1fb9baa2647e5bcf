"""usetl run --pod that is told to end before its containers have started."""

import contextlib
import pathlib
import re
import signal
import subprocess
import tempfile
import unittest

from cri import Client
from image_file import add_image
from node import BUILD, Node, wait_until
from processes import status_of
from registry import FakeImage, FakeRegistry, tar

STAYS = ("import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nprint('staying', flush=True)\n"
         "time.sleep(1000)\n")
NEVER_LOADED = STAYS + "def handler(event, context):\n    return event\n"
POD = """
apiVersion: v1
kind: Pod
metadata: {name: told}
spec:
  terminationGracePeriodSeconds: 1
  initContainers: [{name: first, image: localhost/web:1, command: [python3, COMMAND]}]
  containers: [{name: web, image: IMAGE}]
"""


class Interrupts(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.node = Node("--cri", "--no-network", pool=2)
        cls.addClassCleanup(cls.node.close)
        files = {"function/main.py": NEVER_LOADED, "function/ends.py": "print(1)\n", "function/stays.py": STAYS}
        add_image(f"{cls.node.directory}/images", "localhost/web:1", files, "--config.workingdir", "/function")

    def setUp(self):
        self.client = Client(f"{self.node.directory}/usetl.sock")
        self.addCleanup(self.client.close)
        self.addCleanup(self.remove_all)

    def remove_all(self):
        for item in self.client.ListPodSandbox().items:
            self.client.RemovePodSandbox(pod_sandbox_id=item.id)

    def start(self, command: str = "ends.py", image: str = "localhost/web:1", grace: int = 1) -> subprocess.Popen:
        self.logs = pathlib.Path(tempfile.mkdtemp(prefix="logs-", dir=self.node.directory))
        process = subprocess.Popen([BUILD / "usetl", "run", "--pod", "-", "--node", self.node.directory,
                                    "--logs", self.logs], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
                                   stderr=subprocess.PIPE, text=True)
        self.addCleanup(process.stderr.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        process.stdin.write(POD.replace("COMMAND", command).replace("IMAGE", image).replace(": 1\n", f": {grace}\n"))
        process.stdin.close()
        return process

    def wait_for_log(self, container: str) -> None:
        wait_until(lambda: any("staying" in path.read_text() for path in self.logs.glob(f"*/{container}/0.log")))

    @staticmethod
    def rest_of(process: subprocess.Popen) -> str:
        """What it said; it may have waited long where all is slow, and told so."""
        return re.sub(r"(?m)^waiting (for init container|up to 1000 s for) first( to end)?\n", "", process.stderr.read())

    def ends(self, process: subprocess.Popen, number: int, *said: str) -> None:
        process.send_signal(number)
        self.assertEqual((process.wait(60), self.rest_of(process)), (128 + number, "".join(said)))
        self.assertEqual(list(self.client.ListPodSandbox().items), [])
        self.assertEqual(list(self.client.ListContainers().containers), [])

    def test_while_an_image_is_pulled(self):
        def hang(*_):
            wait_until(lambda: self.over)
            return True
        self.over = False
        registry = FakeRegistry(FakeImage(tar(("a", b"x"))), hang)
        self.addCleanup(registry.close)
        self.addCleanup(setattr, self, "over", True)
        image = f"127.0.0.1:{registry.port}/a/b:1"
        process = self.start(image=image)
        wait_until(lambda: registry.requests)
        self.ends(process, signal.SIGINT, f"pulling {image} ...\n")

    def test_while_an_init_container_runs(self):
        for number in (signal.SIGTERM, signal.SIGHUP):
            process = self.start("stays.py")
            self.wait_for_log("first")
            self.ends(process, number)

    def test_waits_are_said(self):
        process = self.start("stays.py", grace=2)
        self.assertEqual(process.stderr.readline(), "waiting for init container first\n")
        process.send_signal(signal.SIGTERM)
        self.assertEqual((process.wait(60), process.stderr.read()), (143, "waiting up to 2 s for first to end\n"))

    def test_while_a_function_is_loaded(self):
        process = self.start()
        self.wait_for_log("web")
        self.ends(process, signal.SIGINT)

    def test_who_will_not_wait_is_told_what_is_left(self):
        process = self.start("stays.py", grace=1000)
        self.wait_for_log("first")
        process.send_signal(signal.SIGINT)
        wait_until(lambda: int(status_of(process.pid)["ShdPnd"], 16) == 0)  # else the two would be one
        process.send_signal(signal.SIGINT)
        self.assertEqual((process.wait(60), self.rest_of(process)),
                         (130, "usetl: pod default/told may be left; this removes it: usetl run --pod POD.yaml --node "
                               f"{self.node.directory} --remove\n"))
        with contextlib.closing(Client(f"{self.node.directory}/usetl.sock")) as client:
            self.assertEqual([item.metadata.name for item in client.ListPodSandbox().items], ["told"])


if __name__ == "__main__":
    unittest.main()
