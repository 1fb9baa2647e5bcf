"""What a container is given: files and memory."""

import unittest

from container_case import ERROR, OUT_OF_MEMORY, ContainerCase


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

    def test_memory_error_is_the_functions(self):
        _, end = self.ended("bytearray(1 << 31)\n")
        self.assertEqual((end["code"], end["reason"]), (1, ERROR))


if __name__ == "__main__":
    unittest.main()
