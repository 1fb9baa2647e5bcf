"""What a container is given: files and memory."""

import tempfile
import unittest

from container_case import COMPLETED, ERROR, OUT_OF_MEMORY, Container, ContainerCase


class Contents(ContainerCase):
    def test_files_directories_and_links(self):
        code = ("import os, stat\n"
                "print(open('/data/deep/file').read(), open('/current').read(), os.readlink('/current'))\n"
                "print(oct(os.stat('/var/cache/mine').st_mode), os.listdir('/var/cache/mine'))\n"
                "print(open('/lib/mine/token').read(), os.path.realpath('/lib/mine/token'))\n")
        container, end = self.ended(
            code, files={"/data/deep/file": "inside", "/lib/mine/token": "secret"},
            directories=[{"path": "/var/cache/mine", "mode": 0o1777}], links=[{"path": "/current", "target": "data/deep/file"}])
        self.assertEqual(end["code"], 0, container.text("stderr"))
        self.assertEqual(container.text("stdout"), "inside inside data/deep/file\n0o41777 []\n"
                                                   "secret /usr/lib/mine/token\n")

    def test_too_many_files(self):
        message = self.container("", files={f"/d/{i}": "x" for i in range(1000)}).receive()
        self.assertIn("are 1001 files, a USF takes 896", message["text"])

    def test_too_much(self):
        message = self.container("", files={"/big": "x" * (60 << 20)}).receive()
        self.assertIn("the host region has 4", message["text"])


class Memory(ContainerCase):
    options = ("--memory", "256M")

    def test_out_of_memory(self):
        # Promised as programs with allocators of their own have it: reserved first, then opened.
        code = ("import ctypes\nlibc = ctypes.CDLL(None)\nlibc.mmap.restype = ctypes.c_void_p\n"
                "size = ctypes.c_size_t(1 << 30)\nat = ctypes.c_void_p(libc.mmap(None, size, 0, 0x22, -1, 0))\n"
                "assert libc.mprotect(at, size, 3) == 0\nprint('promised', flush=True)\n"
                "libc.memset(at, 1, size)\n")
        container, end = self.ended(code)
        self.assertEqual((end["code"], end["reason"]), (137, OUT_OF_MEMORY), container.text("stderr"))
        self.assertIn("out of memory", end["text"])
        self.assertEqual(container.text("stdout"), "promised\n")

    def run_to_its_end(self, code: str) -> tuple[dict, str]:
        """How a script ended, and its standard error."""
        with tempfile.TemporaryDirectory(prefix="usetl-pod-") as directory:
            container = Container(self.node, self.pod, directory, code + "\n")
            with container.connection:
                container.started()
                return container.end(), container.text("stderr")

    def test_memory_error_that_nobody_caught(self):
        for asked in ("[bytearray(b'x' * (1 << 20)) for _ in range(512)]", "bytearray(1 << 31)",
                      "class Mine(MemoryError):\n    pass\ntry:\n    bytearray(1 << 31)\nexcept MemoryError:\n"
                      "    raise Mine from None"):
            with self.subTest(asked):
                end, error = self.run_to_its_end(asked)
                self.assertEqual((end["code"], end["reason"]), (137, OUT_OF_MEMORY), error)
                said = "out of memory: the function came to its memory limit of 256 MB; it gets more by resources.limits.memory"
                self.assertEqual(end["text"], said)
                self.assertRegex(error, rf"(MemoryError|Mine)\nusetl: {said}\n$")

    def test_memory_error_in_groups_deeper_than_calls(self):
        code = ("try:\n    bytearray(1 << 31)\nexcept MemoryError as error:\n    for _ in range(2000):\n"
                "        error = BaseExceptionGroup('deep', [error])\n    raise error from None")
        end, error = self.run_to_its_end(code)
        self.assertEqual((end["code"], end["reason"]), (137, OUT_OF_MEMORY), error)

    def test_memory_error_is_the_functions(self):
        caught = "try:\n    bytearray(1 << 31)\nexcept MemoryError:\n    print('went on')\n"
        for code, exit_code in ((caught, 0), (caught + "raise SystemExit(3)", 3), (caught + "1 / 0", 1),
                                # What no limit would allow, and what is no refusal at all.
                                ("'x' * 2 ** 60", 1), ("raise MemoryError", 1)):
            with self.subTest(code):
                end, error = self.run_to_its_end(code)
                self.assertEqual((end["code"], end["reason"]), (exit_code, ERROR if exit_code else COMPLETED), error)


if __name__ == "__main__":
    unittest.main()
