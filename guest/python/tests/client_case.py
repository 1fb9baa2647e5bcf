"""A test in whose process usetl talks to a fake host."""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
import unittest
from unittest import mock

from tests.fake_host import FakeProxy, Region
from tests.web import WebServer
from usetl import _abi, _device, _region


class ClientTest(unittest.TestCase):
    def setUp(self) -> None:
        self.web = WebServer()
        self.addCleanup(self.web.close)
        self.folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.folder)
        self.mailbox, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.addCleanup(self.mailbox.close)
        self.addCleanup(theirs.close)
        self.mailbox.settimeout(10)
        region = Region()
        self.addCleanup(os.close, region.fd)
        self.proxy = FakeProxy(region, {"secure.test": self.web.port}, self.folder)
        for name in ("mailbox", "state", "host", "transaction", "BODIES", "RESULTS"):
            patch = mock.patch.object(_device, name, getattr(_device, name))
            patch.start()
            self.addCleanup(patch.stop)
        window = mock.patch.object(_region, "_window", memoryview(b""))
        window.start()
        self.addCleanup(window.stop)
        self.proxy.install(theirs.fileno(), -1)

    def released(self) -> list[int]:
        """Entries that the guest has given back so far."""
        entries = []
        self.mailbox.setblocking(False)
        try:
            while True:
                message = self.mailbox.recv(64)
                self.assertEqual(_abi.RECORD.unpack_from(message)[1], _abi.RELEASE)
                entries.append(_abi.ENTRY.unpack_from(message, _abi.HEADER_SIZE)[0])
        except BlockingIOError:
            return entries
