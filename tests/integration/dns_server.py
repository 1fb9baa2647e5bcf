"""A name server for tests: answers A questions for the names it is given, and counts what it is asked.

    dns_server.py ADDRESS LOG NAME=IPV4 ...      NAME=silent: no answer at all
"""

import socket
import struct
import sys


def name_of(packet: bytes) -> tuple[str, int]:
    labels, at = [], 12
    while packet[at]:
        labels.append(packet[at + 1:at + 1 + packet[at]].decode().lower())
        at += 1 + packet[at]
    return ".".join(labels), at + 1


def answer(packet: bytes, names: dict[str, str], log) -> bytes | None:
    name, end = name_of(packet)
    kind = struct.unpack("!H", packet[end:end + 2])[0]
    print(name, {1: "A", 28: "AAAA"}.get(kind, kind), file=log, flush=True)
    known = names.get(name)
    if known == "silent":
        return None
    found = known is not None and kind == 1
    head = packet[:2] + struct.pack("!HHHHH", 0x8180 if known else 0x8183, 1, int(found), 0, 0)
    record = b"\xc0\x0c" + struct.pack("!HHIH", 1, 1, 30, 4) + socket.inet_aton(known) if found else b""
    return head + packet[12:end + 4] + record


def main() -> None:
    address, log, *pairs = sys.argv[1:]
    names = dict(pair.split("=") for pair in pairs)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server, open(log, "a", encoding="utf-8") as lines:
        server.bind((address, 53))
        print("serving", file=lines, flush=True)
        while True:
            packet, peer = server.recvfrom(4096)
            reply = answer(packet, names, lines)
            if reply is not None:
                server.sendto(reply, peer)


if __name__ == "__main__":
    main()
