"""Functions at their memory limit: OOMKilled, unless they catch the MemoryError and go on."""

import pathlib
import re
import unittest

import grpc
from cri import cri
from cri_case import EXITED, RUNNING, CriCase

LIMIT = 96 << 20
FILL = "kept = []\nprint('fills', flush=True)\nwhile True:\n    kept.append(bytearray(b'x' * (1 << 20)))\n"
CATCH = ("def fill():\n    kept = []\n    while True:\n        kept.append(bytearray(b'x' * (1 << 20)))\n"
         "try:\n    fill()\nexcept MemoryError:\n    print('caught')\n")
LAST = """
kept = []
def fill(size):
    while True:
        kept.append(b"x" * size)
for size in (1 << 20, 1 << 16, 4096, 512, 64):
    try:
        fill(size)
    except MemoryError:
        pass
while True:
    kept.append(kept[-1] + b"x")
"""
HOOK = "import sys\nsys.excepthook = lambda *_: bytearray(b'x' * (1 << 30))\n" + FILL
GROUP = """
kept = []
try:
    while True:
        kept.append(bytearray(b"x" * (1 << 20)))
except MemoryError as error:
    raise ExceptionGroup("several", [ValueError("a"), error])
"""
HANDLER = ("def handler(event, context):\n    kept = []\n    while event.get('fill'):\n"
           "        kept.append(bytearray(b'x' * (1 << 20)))\n    return {'alive': True}\n")


LOAD = FILL + "def handler(event, context):\n    pass\n"
LOAD_ALL = LAST + "def handler(event, context):\n    pass\n"
OTHER = "try:\n    b'x' * 2**60\nexcept MemoryError:\n    raise ImportError('another one')\n"


class OutOfMemory(CriCase):
    FILES = {"function/main.py": HANDLER, "function/fill.py": FILL, "function/catch.py": CATCH,
             "function/last.py": LAST, "function/hook.py": HOOK, "function/group.py": GROUP,
             "load/main.py": LOAD, "all/main.py": LOAD_ALL, "huge/main.py": "b'x' * 2**60\n", "other/main.py": OTHER}

    def limited(self, pod: str, *command: str, start=True, **fields) -> str:
        resources = cri.LinuxContainerResources(memory_limit_in_bytes=LIMIT)
        make = self.run_container if start else self.create
        return make(pod, command=command, linux=cri.LinuxContainerConfig(resources=resources), **fields)

    def end_of(self, name: str) -> "cri.ContainerStatus":
        return self.wait_exited(self.limited(self.run_pod(), "python3", name))

    def test_script_that_catches_nothing(self):
        status = self.end_of("fill.py")
        self.assertEqual((status.exit_code, status.reason), (137, "OOMKilled"))
        said = "out of memory: the function came to its memory limit of 96 MB; it gets more by resources.limits.memory"
        self.assertEqual(status.message, said)
        log = (self.directory / "logs/pod/function.log").read_text()
        self.assertIn("stdout F fills\n", log)
        self.assertRegex(log, rf"stderr F MemoryError\n\S+ stderr F usetl: {said}\n\Z")

    def test_script_that_has_used_the_last_byte(self):
        status = self.end_of("last.py")
        self.assertEqual((status.exit_code, status.reason), (137, "OOMKilled"))
        log = (self.directory / "logs/pod/function.log").read_text()
        self.assertIn("stderr F MemoryError\n", log)
        self.assertNotIn("lost sys.stderr", log)

    def test_script_with_a_hook_that_lacks_memory(self):
        status = self.end_of("hook.py")
        self.assertEqual((status.exit_code, status.reason), (137, "OOMKilled"))
        self.assertIn("Error in sys.excepthook:", (self.directory / "logs/pod/function.log").read_text())

    def test_script_that_ends_by_a_group(self):
        status = self.end_of("group.py")
        self.assertEqual((status.exit_code, status.reason), (137, "OOMKilled"))

    def test_script_that_catches_it(self):
        status = self.end_of("catch.py")
        self.assertEqual((status.exit_code, status.reason), (0, "Completed"))

    def end_of_load(self, folder: str) -> "cri.ContainerStatus":
        container = self.limited(self.run_pod(folder), start=False, working_dir=f"/{folder}")
        with self.assertRaises(grpc.RpcError) as raised:
            self.client.StartContainer(container_id=container)
        status = self.status(container)
        self.assertEqual(status.state, EXITED)
        self.assertIn(status.message, raised.exception.details())
        return status

    def test_function_that_cannot_be_loaded(self):
        for folder in ("load", "all"):
            status = self.end_of_load(folder)
            self.assertEqual((status.exit_code, status.reason), (137, "OOMKilled"), folder)
            self.assertIn("out of memory", status.message)
            self.assertIn("stderr F MemoryError\n", pathlib.Path(status.log_path).read_text())

    def test_function_that_fails_otherwise_while_it_is_loaded(self):
        for folder, message in {"huge": "MemoryError", "other": "ImportError: another one"}.items():
            status = self.end_of_load(folder)
            self.assertEqual((status.exit_code, status.reason), (128, "StartError"), folder)
            self.assertIn(message, status.message)

    def test_request_that_is_too_large(self):
        pod = self.run_pod()
        container = self.limited(pod)
        for _ in range(2):
            self.assertIn("the function failed", self.post(pod, {"fill": True}))
            self.assertEqual(self.post(pod, {}), '{"alive":true}')
        log = (self.directory / "logs/pod/function.log").read_text()
        self.assertEqual(len(re.findall(r"stderr F MemoryError\n\S+ stderr F usetl: the function came to its memory "
                                        r"limit of 96 MB; it gets more by resources\.limits\.memory\n", log)), 2)
        self.assertEqual(self.status(container).state, RUNNING)


if __name__ == "__main__":
    unittest.main()
