"""Trees of a volume that others make as they like: deep ones, many names, names that come and go."""

import os
import subprocess
import threading
import unittest

from test_live_mounts import LiveCase


class Trees(LiveCase):
    def setUp(self):
        super().setUp()
        self.data = self.volume("data")
        self.serve("a", 8081, self.mount("data", "/data"))

    def make_deep(self, depth: int) -> int:
        """A directory below one below one ...; a descriptor of the last."""
        at = os.open(self.data, os.O_PATH | os.O_DIRECTORY)
        for _ in range(depth):
            os.mkdir("d", dir_fd=at)
            below = os.open("d", os.O_PATH | os.O_DIRECTORY, dir_fd=at)
            os.close(at)
            at = below
        return at

    def test_deep(self):
        self.addCleanup(subprocess.run, ["rm", "-rf", self.data / "d"], check=True)  # too deep for Python
        os.close(self.make_deep(1900))
        self.a("for i in range(1900):\n os.chdir('d' if i else '/data/d')\nresult = os.listdir('.')")
        self.assertEqual(self.a("os.chdir('/function')\nresult = os.listdir('/data'), os.path.exists('/data/d/d/d')"),
                         [["d"], True])
        self.a("for i in range(1100):\n open(f'/data/n{i}', 'w').close()")
        self.assertEqual(self.a("result = len(os.listdir('/data'))"), 1101)

    def test_many_names_come_and_go(self):
        self.assertEqual(self.a("for i in range(20000):\n name = '/data/' + f'{i:0250}'\n os.mkdir(name)\n os.rmdir(name)\n"
                                "result = os.listdir('/data')"), [])

    def test_renamed_onto_itself_while_it_comes_and_goes(self):
        stop = threading.Event()

        def flicker():
            while not stop.is_set():
                (self.data / "p").touch()
                (self.data / "p").unlink(missing_ok=True)

        thread = threading.Thread(target=flicker)
        thread.start()
        try:
            self.a("for _ in range(2000):\n try:\n  os.rename('/data/p', '/data/p')\n except FileNotFoundError:\n  pass")
        finally:
            stop.set()
            thread.join()
        self.assertEqual(self.a("result = 1"), 1)


if __name__ == "__main__":
    unittest.main()
