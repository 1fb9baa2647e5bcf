"""A name server for tests: answers A and AAAA questions for the names it is given, and counts what it is asked.

    dns_server.py ADDRESS LOG NAME=VALUE ...

VALUE: an address, of which it answers questions for that family only; `silent`: no answer at all;
`held:ADDRESS`: none before SIGUSR1 comes; `tcp:ADDRESS`: by UDP a truncated answer, all of it by TCP.
"""

import selectors
import signal
import socket
import struct
import sys

KINDS = {1: ("A", socket.AF_INET), 28: ("AAAA", socket.AF_INET6)}


def name_of(packet: bytes) -> tuple[str, int]:
    labels, at = [], 12
    while packet[at]:
        labels.append(packet[at + 1:at + 1 + packet[at]].decode().lower())
        at += 1 + packet[at]
    return ".".join(labels), at + 1


class Server:
    def __init__(self, names: dict[str, str], log) -> None:
        self.names, self.log = names, log
        self.held: list[tuple[bytes, tuple]] = []

    def answer(self, packet: bytes, over: str) -> tuple[str, bytes]:
        """How its value says that the name is served, and the answer to the question."""
        name, end = name_of(packet)
        number = struct.unpack("!H", packet[end:end + 2])[0]
        kind, family = KINDS.get(number, (str(number), None))
        print(name, kind, *[over] if over != "udp" else (), file=self.log, flush=True)
        value = self.names.get(name)
        way, _, address = value.rpartition(":") if value and "." in value else ("", "", value)
        record = b""
        if address and address != "silent" and family == (socket.AF_INET6 if ":" in address else socket.AF_INET):
            data = socket.inet_pton(family, address)
            record = b"\xc0\x0c" + struct.pack("!HHIH", number, 1, 30, len(data)) + data
        flags = 0x8180 if value else 0x8183
        if way == "tcp" and over == "udp":
            flags, record = flags | 0x0200, b""  # TC
        head = packet[:2] + struct.pack("!HHHHH", flags, 1, int(bool(record)), 0, 0)
        return "silent" if value == "silent" else way, head + packet[12:end + 4] + record

    def on_datagram(self, server: socket.socket) -> None:
        packet, peer = server.recvfrom(4096)
        way, reply = self.answer(packet, "udp")
        if way == "held":
            self.held.append((reply, peer))
        elif way != "silent":
            server.sendto(reply, peer)

    def on_connection(self, listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection, connection.makefile("rwb") as stream:
            while head := stream.read(2):
                _, reply = self.answer(stream.read(struct.unpack("!H", head)[0]), "tcp")
                stream.write(struct.pack("!H", len(reply)) + reply)
                stream.flush()

    def release(self, server: socket.socket) -> None:
        for reply, peer in self.held:
            server.sendto(reply, peer)
        self.held.clear()
        print("released", file=self.log, flush=True)


def main() -> None:
    address, log, *pairs = sys.argv[1:]
    names = dict(pair.split("=") for pair in pairs)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp, socket.socket() as tcp, \
            open(log, "a", encoding="utf-8") as lines, selectors.DefaultSelector() as selector:
        server = Server(names, lines)
        udp.bind((address, 53))
        tcp.bind((address, 53))
        tcp.listen()
        signal.signal(signal.SIGUSR1, lambda *_: server.release(udp))
        selector.register(udp, selectors.EVENT_READ, server.on_datagram)
        selector.register(tcp, selectors.EVENT_READ, server.on_connection)
        print("serving", file=lines, flush=True)
        while True:
            for key, _ in selector.select():
                key.data(key.fileobj)


if __name__ == "__main__":
    main()
