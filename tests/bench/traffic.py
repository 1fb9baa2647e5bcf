"""HTTP clients: the first answer of a pod, and load by http_load."""

import ctypes
import http.client
import json
import subprocess
import threading
import time

from environment import BUILD
from pods import Target

_BODY = json.dumps({"n": 1})
_CLONE_NEWNET = 0x40000000
_PATIENCE = 30.0  # seconds


def _post(target: Target) -> None:
    connection = http.client.HTTPConnection(target.address, target.port, timeout=_PATIENCE)
    try:
        connection.request("POST", "/", _BODY, {"content-type": "application/json"})
        answer = connection.getresponse()
        if answer.status != 200 or json.loads(answer.read())["n"] != 1:
            raise RuntimeError(f"unexpected answer: {answer.status}")
    finally:
        connection.close()


def _first_answer(target: Target) -> None:
    end = time.monotonic() + _PATIENCE
    while True:
        try:
            return _post(target)
        except ConnectionRefusedError:  # it does not listen yet
            if time.monotonic() > end:
                raise
            time.sleep(0.0005)


def first_answer(target: Target) -> None:
    """Returns once the target has answered."""
    if target.namespace is None:
        return _first_answer(target)
    failed: list[BaseException] = []

    def enter() -> None:
        try:
            with open(target.namespace, "rb") as file:
                if ctypes.CDLL(None, use_errno=True).setns(file.fileno(), _CLONE_NEWNET) != 0:
                    raise OSError(ctypes.get_errno(), "setns")
            _first_answer(target)
        except BaseException as error:  # noqa: BLE001  (goes on in the thread that waits)
            failed.append(error)

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    if failed:
        raise failed[0]


def load(targets: list[Target], seconds: float, connections: int) -> tuple[float, list[float]]:
    """So many connections to each target, each asking again when it has its answer: requests a second, and us."""
    done = subprocess.run([BUILD / "http_load", str(seconds), str(connections),
                           *(f"{target.address}:{target.port}" for target in targets)],
                          stdout=subprocess.PIPE, check=True, timeout=seconds + 60)
    result = json.loads(done.stdout)
    return result["requests"] / result["seconds"], result["latencies_us"]
