"""usetl-vmmd by itself, with USFs that are played by a script."""

import json
import os
import pathlib
import shutil
import socket
import struct
import tempfile
import unittest

from node import BUILD, start_daemon

TENANT = b"tenant"
CLAIM, RELEASE, INSPECT, CLONE, LEAVE, ENTER = range(1, 7)  # requests
NOTHING, CLAIMED, RELEASED, STATE, ENDED, LOG, CLONED = range(7)  # replies; nothing: the connection was closed

# What every USF does: READY, its user, and then as it is to behave.
USF = """#!/usr/bin/python3.11
import fcntl, os, signal, socket, struct, termios, time
READY, ROLLED_BACK, COPIED, BECAME, MOVED = 1, 3, 6, 7, 8
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

# Whatever it is told, at once.
OBEDIENT = """
EVENTS = {2: ROLLED_BACK, 3: COPIED, 4: BECAME, 5: MOVED}
while True:
    data, files = receive()
    command, order = struct.unpack_from("<II", data)
    if command == 5: go(files)
    else:
        for file in files: os.close(file)
    say(EVENTS[command], order)
"""


class Claim:
    """One connection to usetl-vmmd."""

    def __init__(self, connection: socket.socket):
        self.socket = connection
        self.socket.settimeout(60)
        self.usf = 0  # number
        self.files: list[int] = []  # of its memory

    def claim(self, *cgroups: int, wait_ms: int = 30_000, tenant: bytes = TENANT) -> None:
        request = struct.pack("<IIQII64s128s", CLAIM, wait_ms, 0, 0, 0, b"python3.11", tenant)
        socket.send_fds(self.socket, [request], cgroups)

    def ask(self, request: int) -> None:
        self.socket.send(struct.pack("<II", request, 0))

    def receive(self) -> dict:
        """The next reply; `files` are the caller's to close."""
        data, files, _, _ = socket.recv_fds(self.socket, 65536, 16)
        if not data:
            return {"reply": NOTHING, "files": []}
        reply, error, _, lost, size, usf = struct.unpack_from("<IiiIII", data)
        return {"reply": reply, "error": error, "lost": lost, "text": data[len(data) - size:].decode(), "usf": usf,
                "files": files}

    def answer(self, request: int) -> int:
        self.ask(request)
        return self.receive()["reply"]


class VmmdCase(unittest.TestCase):
    def vmmd(self, behaviour: str, *options: str) -> None:
        directory = tempfile.mkdtemp(prefix="usetl-test-")
        self.addCleanup(shutil.rmtree, directory)
        for name in ("usetl-vmmd", "usetl-kernel.elf"):  # what is beside it is its USF
            shutil.copy(BUILD / name, directory)
        usf = pathlib.Path(directory) / "usetl-usf"
        usf.write_text(USF + behaviour)
        usf.chmod(0o755)
        self.path = directory + "/vmmd.sock"
        self.daemon, said = start_daemon(self, directory + "/usetl-vmmd", "--socket", self.path, "--runtimes",
                                         os.environ["USETL_RUNTIMES"], "--pool", "1", *options)
        self.assertEqual(said, "ready\n")

    def connect(self) -> Claim:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.addCleanup(connection.close)
        connection.connect(self.path)
        return Claim(connection)

    def receive(self, claim: Claim) -> dict:
        reply = claim.receive()
        for file in reply["files"]:
            self.addCleanup(os.close, file)
        return reply

    def state(self) -> dict:
        inspection = self.connect()
        inspection.ask(INSPECT)
        answer = inspection.receive()
        inspection.socket.close()
        return json.loads(answer["text"])

    def claimed(self, *cgroups: pathlib.Path, tenant: bytes = TENANT) -> Claim:
        claim = self.connect()
        files = [os.open(cgroup, os.O_WRONLY) for cgroup in cgroups]
        claim.claim(*files, tenant=tenant)
        for file in files:
            os.close(file)
        self.granted(claim)
        return claim

    def granted(self, claim: Claim) -> None:
        answer = self.receive(claim)
        self.assertEqual((answer["reply"], answer["error"]), (CLAIMED, 0), answer)
        claim.usf, claim.files = answer["usf"], answer["files"]

    def clone(self, claim: Claim) -> Claim:
        claim.ask(CLONE)
        answer = claim.receive()
        self.assertEqual((answer["reply"], answer["error"]), (CLONED, 0), answer)
        *memory, own = answer["files"]
        for file in memory:
            os.close(file)
        connection = socket.socket(fileno=own)
        self.addCleanup(connection.close)
        return Claim(connection)

    def group(self, hierarchy: str, name: str = "") -> pathlib.Path:
        group = pathlib.Path(hierarchy) / f"usetl-test-{os.getpid()}{name}"
        group.mkdir()
        return group
