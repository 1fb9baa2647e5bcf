"""A client of usetl-proxy in this process: what `usetl run` says to it, without the start of a command."""

import json
import os
import pathlib
import socket
import struct

HEADER = struct.Struct("II")  # vmm/proxy/worker/run_protocol.h
OUTPUT, RESULT, FAILED = 1, 2, 3
MAX_MESSAGE = 64 << 10


def run_script(node: pathlib.Path, script: pathlib.Path) -> bytes:
    """Runs it to its end in a USF of the node; what it printed."""
    request = {"runtime": "python3.11", "tenant": f"uid-{os.getuid()}", "file": script.name, "mode": "script",
               "event_text": "null", "argv": [], "env": {}, "allow": [], "stdin": False, "timings": False,
               "memory": 512 << 20, "timeout_ms": 60_000}
    output = result = b""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as proxy, open(script, "rb") as file:
        proxy.connect(str(node / "proxy.sock"))
        socket.send_fds(proxy, [json.dumps(request).encode()], [file.fileno()])
        while message := proxy.recv(MAX_MESSAGE):
            kind, detail = HEADER.unpack_from(message)
            if kind == OUTPUT:
                output += message[HEADER.size:]
            elif kind == FAILED:
                raise RuntimeError(message[HEADER.size:].decode())
            elif kind == RESULT:
                result += message[HEADER.size:]
                if detail == 1:
                    break
    if json.loads(result).get("ok") is not True:
        raise RuntimeError(result.decode())
    return output
