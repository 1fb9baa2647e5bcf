"""What a container loses: its USF, usetl-vmmd, its log's disk."""

import ctypes
import os
import pathlib
import signal
import unittest

from container_case import LOST, Container, ContainerCase
from node import Node, wait_until


class Losses(ContainerCase):
    def test_usf_killed(self):
        container = self.container("while True: pass\n")
        os.kill(container.started()["usf"], signal.SIGKILL)
        end = container.end()
        self.assertEqual((end["code"], end["reason"]), (137, LOST))

    def test_vmmd_killed(self):
        node = Node()
        self.addCleanup(node.close)
        container = Container(node, self.pod, self.directory, "while True: pass\n")
        self.addCleanup(container.connection.close)
        container.started()
        vmmd = next(p for p in map(int, filter(str.isdigit, os.listdir("/proc")))
                    if self.is_vmmd_of(p, node.directory))
        # `usetl up` ends with any of its daemons, and takes the workers along.
        node.process.send_signal(signal.SIGSTOP)
        self.addCleanup(node.process.send_signal, signal.SIGCONT)
        os.kill(vmmd, signal.SIGKILL)
        message = container.receive()
        self.assertEqual((message["code"], message["reason"]), (255, LOST))

    @staticmethod
    def is_vmmd_of(process: int, directory: str) -> bool:
        try:
            words = pathlib.Path(f"/proc/{process}/cmdline").read_bytes().split(b"\0")
        except OSError:
            return False
        return words[0].endswith(b"usetl-vmmd") and (directory + "/vmmd.sock").encode() in words


class FullDisk(ContainerCase):
    def setUp(self):
        super().setUp()
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.mount(b"tmpfs", self.directory.encode(), b"tmpfs", 0, b"size=256k") != 0:
            raise OSError(ctypes.get_errno(), "mount")
        self.addCleanup(libc.umount2, self.directory.encode(), 2)

    def test_lines_are_lost_and_told(self):
        (pathlib.Path(self.directory) / "ballast").write_bytes(b"x" * (200 << 10))
        code = ("import time\nfor i in range(1000): print(i, 'x' * 90)\nprint('full', flush=True)\n"
                "while True:\n  time.sleep(.05)\n  print('again', flush=True)\n")
        container = self.container(code)
        container.started()
        wait_until(lambda: os.statvfs(self.directory).f_bavail == 0)
        (pathlib.Path(self.directory) / "ballast").unlink()
        wait_until(lambda: "lines were lost: no space left on the log's disk" in container.log_path.read_text())
        wait_until(lambda: container.log_path.read_text().endswith("again\n"))
        container.stop(0)
        end = container.end()
        told = [int(text.split()[1]) for _, _, text in container.lines() if text.startswith("usetl: ")]
        self.assertEqual(sum(told), end["lost"])
        self.assertGreater(end["lost"], 0)


if __name__ == "__main__":
    unittest.main()
