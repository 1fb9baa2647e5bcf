"""Private memory of an idle USF: its process and its share of the kernel's memory (part of the suite usf)."""

import json
import statistics
import time

import memory
from environment import Node, wait_until
from rows import row

FEW, MANY, ROUNDS = 50, 100, 5


def state(node: Node) -> dict:
    return json.loads(node.usetl("inspect").stdout)


def wait_for_idle(node: Node, count: int) -> None:
    wait_until(lambda: state(node)["idle"] >= count, 120)


def settled() -> dict[str, float]:
    """meminfo once the memory of what has ended is back and what was made has come to rest."""
    time.sleep(2)
    return memory.meminfo()


def node_of(count: int) -> tuple[dict[str, float], list[dict[str, float]]]:
    """meminfo with `count` idle USFs, and the process memory of each of them that inspect lists."""
    node = Node(pool=count)
    try:
        wait_for_idle(node, count)
        info = settled()
        processes = [memory.of_process(usf["pid"]) for usf in state(node)["usfs"] if usf["state"] == "idle"]
    finally:
        node.close()
    return info, processes


def run() -> list[dict]:
    processes, kernel, files, available, lines = [], [], [], [], []
    for _ in range(ROUNDS):
        few, _ = node_of(FEW)
        many, measured = node_of(MANY)
        processes += measured
        kernel.append((memory.of_kernel(many) - memory.of_kernel(few)) / (MANY - FEW))
        mapped = statistics.median(process["in_files"] for process in measured)
        files.append(max(0.0, (many["Shmem"] - few["Shmem"]) / (MANY - FEW) - mapped))
        available.append((few["MemAvailable"] - many["MemAvailable"]) / (MANY - FEW))
        lines.append({name: (many[name] - few[name]) / (MANY - FEW) for name in memory.KERNEL_LINES if name in many})
    share = statistics.median(kernel) + statistics.median(files)
    private = [process["private"] for process in processes]
    tables = [process["page_tables"] for process in processes]
    total = [process["private"] + process["page_tables"] + share for process in processes]
    by_line = {name: round(statistics.median(line[name] for line in lines), 4) for name in lines[0]}
    return [
        row("idle USF: guest pages and process (smaps, private)", "MB", private),
        row("idle USF: page tables of the process", "MB", tables),
        row("idle USF: pages of its regions that it does not map", "MB", files),
        row("idle USF: share of KVM and the kernel", "MB", kernel, by_line=by_line),
        row("private memory of an idle USF, all of it", "MB", total, 4, 2),
        row("cross-check: MemAvailable that an idle USF takes", "MB", available),
    ]
