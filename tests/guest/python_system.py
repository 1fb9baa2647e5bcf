"""The side of the standard library that leans on the kernel; prints lines as the C tests do."""

import asyncio
import concurrent.futures
import contextvars
import ctypes
import faulthandler
import gc
import mmap
import os
import queue
import resource
import select
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

import check
from check import test


@test
def threads_and_locks():
    total, lock = 0, threading.Lock()

    def add():
        nonlocal total
        for _ in range(500):
            with lock:
                total += 1

    threads = [threading.Thread(target=add) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert total == 10_000 and threading.active_count() == 1


@test
def waiting_with_a_timeout():
    start = time.monotonic()
    assert not threading.Event().wait(0.02) and time.monotonic() - start >= 0.02
    assert not threading.Semaphore(0).acquire(timeout=0.01)
    try:
        queue.Queue().get(timeout=0.01)
        raise AssertionError("something came")
    except queue.Empty:
        pass


@test
def computing_thread_does_not_starve_others():
    stop = threading.Event()

    def spin():
        while not stop.is_set():
            sum(range(100))

    thread = threading.Thread(target=spin)
    thread.start()
    for _ in range(5):
        time.sleep(0.005)
    stop.set()
    thread.join()


@test
def executors():
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda n: n * n, range(100))) == [n * n for n in range(100)]


@test
def event_loop():
    async def main():
        loop = asyncio.get_running_loop()
        variable = contextvars.ContextVar("v", default=0)
        results = await asyncio.gather(
            asyncio.sleep(0.01, "slept"),
            loop.run_in_executor(None, time.sleep, 0.01),
            asyncio.to_thread(lambda: variable.get() + 1),
        )
        future = loop.create_future()
        threading.Thread(target=loop.call_soon_threadsafe, args=(future.set_result, 7)).start()
        results.append(await future)
        try:
            await asyncio.wait_for(asyncio.Event().wait(), 0.01)
        except asyncio.TimeoutError:
            results.append("timeout")
        return results

    assert asyncio.run(main()) == ["slept", None, 1, 7, "timeout"]


@test
def asyncio_streams_over_a_socket_pair():
    async def main():
        left, right = socket.socketpair()
        reader, writer = await asyncio.open_connection(sock=left)
        _, other = await asyncio.open_connection(sock=right)
        other.write(b"x" * 300_000 + b"\n")
        line = await reader.readexactly(300_001)
        writer.close()
        other.close()
        return len(line)

    assert asyncio.run(main()) == 300_001


def succeeds(start):
    try:
        return start() == 0
    except OSError:
        return False


def fork_and_wait():
    child = os.fork()
    if child == 0:
        os._exit(0)
    return os.waitpid(child, 0)[1]


@test
def second_process():
    """Works on Linux; a USF has one process and must say so by an error that can be caught."""
    possible = os.environ.get("USETL_GUEST") != "1"
    assert succeeds(lambda: subprocess.run(["/bin/true"]).returncode) == possible
    assert succeeds(fork_and_wait) == possible
    assert succeeds(lambda: os.system("true")) == possible


@test
def sockets():
    left, right = socket.socketpair()
    left.sendall(b"ping")
    assert right.recv(10) == b"ping"
    right.settimeout(0.01)
    try:
        right.recv(1)
        raise AssertionError("something came")
    except TimeoutError:
        pass
    left.close()
    assert right.recv(1) == b""
    right.close()


@test
def waiting_for_descriptors():
    read, write = os.pipe()
    assert select.select([read], [write], [], 0) == ([], [write], [])
    os.write(write, b"x")
    assert select.select([read], [], [], None)[0] == [read]
    with selectors.DefaultSelector() as selector:
        selector.register(read, selectors.EVENT_READ, "data")
        assert [key.data for key, _ in selector.select()] == ["data"]
    poll = select.poll()
    poll.register(read, select.POLLIN)
    assert poll.poll(0) == [(read, select.POLLIN)]
    os.close(read)
    os.close(write)


@test
def signals():
    seen = []
    old = signal.signal(signal.SIGUSR1, lambda number, frame: seen.append(number))
    signal.raise_signal(signal.SIGUSR1)
    os.kill(os.getpid(), signal.SIGUSR1)
    signal.signal(signal.SIGUSR1, old)
    assert seen == [signal.SIGUSR1] * 2
    try:
        signal.raise_signal(signal.SIGINT)
        raise AssertionError("not interrupted")
    except KeyboardInterrupt:
        pass
    signal.signal(signal.SIGALRM, lambda *_: seen.append("alarm"))
    signal.setitimer(signal.ITIMER_REAL, 0.01)
    while seen[-1] != "alarm":
        time.sleep(0.001)


@test
def fault_handler():
    with tempfile.TemporaryFile("w+") as file:
        faulthandler.dump_traceback(file)
        file.seek(0)
        assert "fault_handler" in file.read()
        faulthandler.enable(file)
        assert faulthandler.is_enabled()
        faulthandler.disable()


@test
def deep_recursion():
    def down(n):
        return down(n + 1)

    try:
        down(0)
        raise AssertionError("no end")
    except RecursionError:
        pass


@test
def mappings():
    with mmap.mmap(-1, 1 << 20) as area:
        area[4096:4100] = b"anon"
        assert area.find(b"anon") == 4096
    with tempfile.TemporaryFile() as file:
        file.write(b"0" * 10_000)
        file.flush()
        with mmap.mmap(file.fileno(), 0) as area:
            area[9000:9004] = b"here"
            area.flush()
        assert os.pread(file.fileno(), 4, 9000) == b"here"
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as area:
            assert area[9000:9004] == b"here" and bytes(memoryview(area)[:2]) == b"00"
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY) as area:
            area[:2] = b"no"
        assert os.pread(file.fileno(), 2, 0) == b"00"


@test
def foreign_functions():
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.getpid() == os.getpid()
    assert libc.open(b"/no/such/file", 0) == -1 and ctypes.get_errno() == 2
    compare = ctypes.CFUNCTYPE(
        ctypes.c_int, ctypes.POINTER(ctypes.c_int), ctypes.POINTER(ctypes.c_int)
    )
    if os.environ.get("USETL_GUEST"):
        # A callback is code made at run time in memory that is writable elsewhere: W^X forbids it.
        try:
            compare(lambda a, b: 0)
            raise AssertionError("a callback was made")
        except MemoryError:
            return
    numbers = (ctypes.c_int * 5)(3, 1, 5, 2, 4)
    libc.qsort(numbers, 5, 4, compare(lambda a, b: a[0] - b[0]))
    assert list(numbers) == [1, 2, 3, 4, 5]


@test
def memory():
    blocks = [bytearray(1 << 20) for _ in range(40)]
    assert not any(block[12345] for block in blocks)
    del blocks
    assert gc.collect() >= 0 and resource.getrusage(resource.RUSAGE_SELF).ru_maxrss > 0
    try:
        bytearray(1 << 60)
        raise AssertionError("got it")
    except MemoryError:
        pass


if __name__ == "__main__":
    sys.exit(check.main())
