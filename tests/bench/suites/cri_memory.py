"""Memory of an idle pod beside its USF: its worker, and what the daemons keep of it (part of the suite cri)."""

import statistics

import memory
from environment import Node
from rows import row

from processes import children, name

DAEMONS = ("usetld", "usetl-vmmd", "usetl-proxy")


def daemons(node: Node) -> list[int]:
    return [pid for pid in children(node.process.pid) if name(pid) in DAEMONS]


def of_daemons(node: Node) -> float:
    """Private pages and page tables of all three, MB."""
    held = [memory.of_process(pid) for pid in daemons(node)]
    return sum(part["private"] + part["page_tables"] for part in held)


def of_workers(node: Node) -> list[dict[str, float]]:
    """Of each container's; they are users of their own, spares are root."""
    proxy = next(pid for pid in daemons(node) if name(pid) == "usetl-proxy")
    return [memory.of_process(pid) for pid in children(proxy) if memory.uid(pid) != 0]


def rows(workers: list[dict[str, float]], in_daemons: float) -> list[dict]:
    """`in_daemons`: MB that the daemons have more, for each pod."""
    private = [held["private"] * 1024 for held in workers]
    tables = [held["page_tables"] * 1024 for held in workers]
    daemon = in_daemons * 1024
    everything = [a + b + daemon for a, b in zip(private, tables)]
    assert statistics.median(private) > 0
    return [row("memory of an idle pod beside its USF, all of it", "kB", everything, 200, 50),
            row("memory of an idle pod: its worker's private pages", "kB", private),
            row("memory of an idle pod: its worker's page tables", "kB", tables),
            row("memory of an idle pod: in the daemons", "kB", [daemon])]
