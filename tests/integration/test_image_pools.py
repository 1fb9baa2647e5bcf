"""Pools of images' runtimes: what a node does about one that cannot be opened."""

import os
import pathlib
import shutil
import socket
import struct
import unittest

from node import Node

REPLY = struct.Struct("=IiiII")
NAME = "image-" + "0" * 32


class ImagePools(unittest.TestCase):
    def setUp(self):
        self.node = Node()
        self.addCleanup(self.node.close)
        runtime = pathlib.Path(self.node.directory) / "images/runtimes" / NAME
        shutil.copytree(pathlib.Path(os.environ["USETL_RUNTIMES"]) / "python3.11", runtime)
        self.snapshot = runtime / "snapshot"

    def claim(self) -> tuple[int, str]:
        """The error of a claim, and its text."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as peer:
            peer.settimeout(30)
            peer.connect(f"{self.node.directory}/vmmd.sock")
            peer.send(struct.pack("=IIQII64s128s", 1, 20_000, 0, 0, 0, NAME.encode(), b"a"))
            answer, fds, _, _ = socket.recv_fds(peer, 1000, 16)
            for fd in fds:
                os.close(fd)
            _, error, _, _, size = REPLY.unpack_from(answer)
            return error, answer[len(answer) - size:].decode()

    def change(self) -> None:
        """Another last byte, as of the same time."""
        before = self.snapshot.stat()
        with self.snapshot.open("r+b") as file:
            file.seek(-1, os.SEEK_END)
            last = file.read(1)[0]
            file.seek(-1, os.SEEK_END)
            file.write(bytes([last ^ 1]))
        os.utime(self.snapshot, ns=(before.st_atime_ns, before.st_mtime_ns))

    def test_runtime_of_an_image(self):
        self.assertEqual(self.claim(), (0, ""))

    def test_damaged_snapshot_is_not_read_for_each_claim(self):
        self.change()
        error, text = self.claim()
        self.assertIn("the snapshot is damaged", text)
        self.change()
        self.assertEqual(self.claim(), (error, text))  # remembered
        os.utime(self.snapshot)
        self.assertEqual(self.claim(), (0, ""))  # another file, for all that is known


if __name__ == "__main__":
    unittest.main()
