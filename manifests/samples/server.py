"""A web server for the samples: files of a directory by GET, and a sink for POST and PUT.

    server.py DIRECTORY SINK [--port N]

Prints its port when it listens (on 127.0.0.1 only). The body of a POST to /sink/NAME is stored as
SINK/NAME; the answer says how many bytes arrived.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

_PIECE = 256 << 10


class Handler(SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    sink: Path

    def do_POST(self) -> None:
        name = self.path.split("?")[0].removeprefix("/sink").strip("/")
        if not name or "/" in name or name.startswith("."):
            self.send_error(404, "POST to /sink/NAME")
            return
        # Written beside and renamed: a reader sees the whole body or none.
        handle, temporary = tempfile.mkstemp(dir=self.sink, prefix=".")
        size = 0
        with open(handle, "wb") as file:
            for piece in self._body():
                size += file.write(piece)
        os.replace(temporary, self.sink / name)
        answer = json.dumps({"stored": name, "size": size}).encode()
        self.send_response(201)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    do_PUT = do_POST

    def _body(self) -> Iterator[bytes]:
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            while size := int(self.rfile.readline().split(b";")[0], 16):
                yield self.rfile.read(size)
                self.rfile.readline()
            while self.rfile.readline().strip():
                pass
            return
        left = int(self.headers.get("Content-Length", 0))
        while left:
            piece = self.rfile.read(min(left, _PIECE))
            if not piece:
                raise ConnectionError("the body ended early")
            left -= len(piece)
            yield piece

    def copyfile(self, source, outputfile) -> None:
        shutil.copyfileobj(source, outputfile, _PIECE)

    def log_message(self, *_: object) -> None:
        """Quiet: the port is the only line of output."""


def main() -> None:
    parser = argparse.ArgumentParser(description="files by GET, a sink for POST, on 127.0.0.1")
    parser.add_argument("directory", type=Path)
    parser.add_argument("sink", type=Path)
    parser.add_argument("--port", type=int, default=0, help="default: any free one")
    options = parser.parse_args()
    options.sink.mkdir(parents=True, exist_ok=True)
    Handler.sink = options.sink
    directory = str(options.directory)
    server = ThreadingHTTPServer(
        ("127.0.0.1", options.port), lambda *rest: Handler(*rest, directory=directory)
    )
    print(server.server_port, flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()
