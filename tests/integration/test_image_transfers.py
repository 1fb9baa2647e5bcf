"""Transfers of layers that break off, hang or are interrupted."""

import os
import signal
import unittest

from image_store_case import UNAVAILABLE, RegistryCase, Store
from node import wait_until
from registry import FakeImage, tar


class Transfers(RegistryCase):
    def breaking(self, image, after: int):
        """Breaks off the first transfer of the layer."""
        broken = []

        def answer(handler, _, name):
            if name != image.layers[0] or broken:
                return False
            broken.append(name)
            data = image.blobs[name]
            handler.reply(200, data[:after], length=len(data))
            handler.close_connection = True
            return True
        return answer

    def test_broken_transfer_is_resumed(self):
        image = FakeImage(tar(("a", os.urandom(2 << 20))))
        server, name = self.serve(image, self.breaking(image, 1 << 20))
        Store(self).pull(name)
        self.assertEqual([headers.get("Range") for headers in server.asked(image.layers[0])],
                         [None, f"bytes={1 << 20}-"])

    def test_next_pull_resumes(self):
        image = FakeImage(tar(("a", os.urandom(2 << 20))))
        server, name = self.serve(image, self.breaking(image, 1 << 20))
        store = Store(self)
        store.run("pull", name, "--retries", "0", status=UNAVAILABLE)
        self.assertEqual(store.files("ingest"), {image.layers[0][7:]})
        # What was left may have suffered: that is found out and mended.
        left = store.path / "ingest" / image.layers[0][7:]
        left.write_bytes(b"?" + left.read_bytes()[1:])
        store.pull(name)
        self.assertEqual([headers.get("Range") for headers in server.asked(image.layers[0])],
                         [None, f"bytes={1 << 20}-", None])

    def test_server_without_ranges(self):
        image = FakeImage(tar(("a", os.urandom(2 << 20))))
        breaking = self.breaking(image, 1 << 20)

        def answer(handler, kind, name):
            if breaking(handler, kind, name):
                return True
            if name == image.layers[0]:
                handler.reply(200, image.blobs[name])
            return name == image.layers[0]
        _, name = self.serve(image, answer)
        Store(self).pull(name)

    def hanging(self, image):
        def answer(handler, _, name):
            if name != image.layers[0]:
                return False
            handler.reply(200, image.blobs[name][:100], length=len(image.blobs[name]))
            wait_until(lambda: self.over)
            return True
        self.over = False
        self.addCleanup(setattr, self, "over", True)
        return self.serve(image, answer)

    def test_hanging_server(self):
        _, name = self.hanging(FakeImage(tar(("a", os.urandom(10000)))))
        store = Store(self)
        store.run("pull", name, "--stall", "1", "--retries", "0", status=UNAVAILABLE)

    def test_retries_are_told(self):
        _, name = self.serve(FakeImage(tar(("a", b"x"))), lambda handler, *_: handler.reply(503, b"busy") or True)
        said = Store(self).run("pull", name, "--retries", "3", status=UNAVAILABLE).splitlines()
        self.assertRegex(said[-2], r"^usetl: 127\.0\.0\.1:\d+/.*: .*answered 503.*; again in 1\.2 s, 3 of 3 times$")
        self.assertNotIn("1 of 3 times", said[0])  # half a second is nothing to speak of

    def test_refused_connections_are_not_waited_for(self):
        # Fifty retries would take minutes, and be told from the second second on.
        said = Store(self).run("pull", "127.0.0.1:1/a/b:1", "--retries", "50", status=UNAVAILABLE).splitlines()
        self.assertEqual(len(said), 1, said)
        self.assertRegex(said[0], r"^usetl: .*127\.0\.0\.1:1: .*connect.*; is the name right, and the registry up\?")

    def test_interrupted(self):
        image = FakeImage(tar(("a", os.urandom(10000))))
        server, name = self.hanging(image)
        store = Store(self)
        process = store.start("pull", name)
        wait_until(lambda: server.asked(image.layers[0]))
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
        self.assertEqual((process.returncode, store.files("leases")), (130, set()))


if __name__ == "__main__":
    unittest.main()
