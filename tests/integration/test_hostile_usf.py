"""A USF's process that was taken over, played by a script, against the real usetl-vmmd."""

import json
import os
import pathlib
import shutil
import socket
import struct
import tempfile
import unittest

from node import BUILD, start_daemon, wait_until

VERSION_1, VERSION_2 = "/sys/fs/cgroup/pids", "/sys/fs/cgroup/unified"
CLAIM, INSPECT, LEAVE, ENTER = 1, 3, 5, 6  # requests
CLAIMED, RELEASED, STATE, ENDED = 1, 2, 3, 4  # replies

# What every USF does: READY, its user, and then `serve`.
USF = """#!/usr/bin/python3.11
import fcntl, os, signal, socket, struct, termios, time
READY, ROLLED_BACK, MOVED = 1, 3, 8
ENTER, LEAVE = 1, 2
ORDER = 8  # bytes of an order
signal.signal(signal.SIGUSR1, signal.SIG_IGN)
vmmd = socket.socket(fileno=3)
def receive(flags=0):
    data, files, _, _ = socket.recv_fds(vmmd, 65536, 64, flags)
    if not data: raise SystemExit
    return data, files
def say(event, order=0):
    vmmd.send(struct.pack("<IiIIII6Q", event, 0, order, 0, 1, 0, *[0] * 6))
def go(files):
    for file in files:
        os.write(file, b"0")
        os.close(file)
def wait_for_orders(count):
    while struct.unpack("i", fcntl.ioctl(vmmd, termios.FIONREAD, bytes(4)))[0] < count * ORDER:
        time.sleep(.01)
start, files = receive()
for file in files: os.close(file)
user = struct.unpack_from("<I", start, 4)[0]
os.setgroups([])
os.setresgid(user, user, user)
os.setresuid(user, user, user)
say(READY)
"""

HONEST = """
go(receive()[1])
say(MOVED, ENTER)
go(receive()[1])
say(MOVED, LEAVE)
receive()
say(ROLLED_BACK)
receive()
"""

# The order to leave stays in the socket, with the way out of the next pod's cgroup.
LEAVES_UNREAD = """
go(receive()[1])
say(MOVED, ENTER)
wait_for_orders(2)
go(receive(socket.MSG_PEEK)[1])
say(MOVED, LEAVE)
say(ROLLED_BACK)
time.sleep(1000)
"""

# It never was in there, and has all descriptors still to come.
NEVER_ENTERS = """
wait_for_orders(3)
say(MOVED, LEAVE)
say(ROLLED_BACK)
time.sleep(1000)
"""


class Claim:
    """One connection to usetl-vmmd."""

    def __init__(self, path: str):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.socket.settimeout(60)
        self.socket.connect(path)

    def claim(self, cgroup: int) -> None:
        request = struct.pack("<IIQII64s128s", CLAIM, 30_000, 0, 0, 0, b"python3.11", b"tenant")
        socket.send_fds(self.socket, [request], [cgroup])

    def ask(self, request: int) -> None:
        self.socket.send(struct.pack("<II", request, 0))

    def receive(self) -> dict:
        data, files, _, _ = socket.recv_fds(self.socket, 65536, 16)
        for file in files:
            os.close(file)
        if not data:
            return {"reply": 0}
        reply, error, _, lost, size = struct.unpack_from("<IiiII", data)
        return {"reply": reply, "error": error, "lost": lost, "text": data[len(data) - size:].decode()}


class HostileUsf(unittest.TestCase):
    def vmmd(self, behaviour: str) -> None:
        directory = tempfile.mkdtemp(prefix="usetl-test-")
        self.addCleanup(shutil.rmtree, directory)
        for name in ("usetl-vmmd", "usetl-kernel.elf"):  # what is beside it is its USF
            shutil.copy(BUILD / name, directory)
        usf = pathlib.Path(directory) / "usetl-usf"
        usf.write_text(USF + behaviour)
        usf.chmod(0o755)
        self.path = directory + "/vmmd.sock"
        _, said = start_daemon(self, directory + "/usetl-vmmd", "--socket", self.path, "--runtimes",
                               os.environ["USETL_RUNTIMES"], "--pool", "1")
        self.assertEqual(said, "ready\n")

    def connect(self) -> Claim:
        claim = Claim(self.path)
        self.addCleanup(claim.socket.close)
        return claim

    def state(self) -> dict:
        inspection = self.connect()
        inspection.ask(INSPECT)
        answer = inspection.receive()
        inspection.socket.close()
        return json.loads(answer["text"])

    def claimed(self, cgroup: pathlib.Path) -> Claim:
        claim = self.connect()
        file = os.open(cgroup, os.O_WRONLY)
        claim.claim(file)
        os.close(file)
        answer = claim.receive()
        self.assertEqual((answer["reply"], answer["error"]), (CLAIMED, 0), answer)
        return claim

    def group(self, hierarchy: str) -> pathlib.Path:
        group = pathlib.Path(hierarchy) / f"usetl-test-{os.getpid()}"
        group.mkdir()
        return group

    def released(self, behaviour: str) -> dict:
        self.vmmd(behaviour)
        group = self.group(VERSION_1)
        self.addCleanup(lambda: wait_until(lambda: self.removed(group)))
        claim = self.claimed(group / "tasks")
        claim.ask(ENTER)
        if behaviour != NEVER_ENTERS:
            wait_until(lambda: (group / "tasks").read_text())
        claim.ask(LEAVE)
        self.assertEqual(claim.receive()["reply"], RELEASED)
        wait_until(lambda: self.state()["rolling"] == 0)
        state = self.state()
        return {key: state[key] for key in ("lost", "rolled_back")}

    @unittest.skipUnless(os.path.isdir(VERSION_1), "no hierarchy of version 1")
    def test_that_does_as_it_is_told(self):
        self.assertEqual(self.released(HONEST), {"lost": 0, "rolled_back": 1})

    @unittest.skipUnless(os.path.isdir(VERSION_1), "no hierarchy of version 1")
    def test_that_leaves_an_order_unread(self):
        self.assertEqual(self.released(LEAVES_UNREAD), {"lost": 1, "rolled_back": 0})

    @unittest.skipUnless(os.path.isdir(VERSION_1), "no hierarchy of version 1")
    def test_that_leaves_before_it_has_entered(self):
        self.assertEqual(self.released(NEVER_ENTERS), {"lost": 1, "rolled_back": 0})

    @unittest.skipUnless(os.path.isdir(VERSION_1), "no hierarchy of version 1")
    def test_that_is_lost_is_waited_for(self):
        self.vmmd("go(receive()[1])\nsay(MOVED, ENTER)\n")
        group = self.group(VERSION_1)
        self.addCleanup(lambda: wait_until(lambda: self.removed(group)))
        claim = self.claimed(group / "tasks")
        claim.ask(ENTER)
        self.assertEqual(claim.receive()["reply"], ENDED)
        claim.ask(LEAVE)
        self.assertEqual(claim.receive()["reply"], RELEASED)
        self.assertEqual((group / "tasks").read_text(), "")

    @unittest.skipUnless(os.path.isdir(VERSION_2), "no hierarchy of version 2")
    def test_that_cannot_be_moved_ends(self):
        self.vmmd("receive()")
        group = self.group(VERSION_2)
        claim = self.connect()
        file = os.open(group / "cgroup.procs", os.O_WRONLY)
        group.rmdir()
        claim.claim(file)
        os.close(file)
        self.assertEqual(claim.receive()["reply"], CLAIMED)
        claim.ask(ENTER)
        answer = claim.receive()
        self.assertEqual((answer["reply"], answer["lost"]), (ENDED, 1), answer)
        self.assertRegex(answer["text"], "^the pod's cgroup: moving a USF into it: ")

    @staticmethod
    def removed(group: pathlib.Path) -> bool:
        try:
            group.rmdir()
        except OSError:
            return False
        return True


if __name__ == "__main__":
    unittest.main()
