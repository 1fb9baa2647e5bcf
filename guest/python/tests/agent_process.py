"""Runs the real agent with a fake host around it: `agent_process MAILBOX STATE HOSTS [full]`."""

from __future__ import annotations

import json
import sys

from tests.fake_host import FakeProxy, Region
from usetl import agent


def main() -> None:
    mailbox, state, hosts = int(sys.argv[1]), int(sys.argv[2]), json.loads(sys.argv[3])
    FakeProxy(Region(), hosts).install(mailbox, state)
    if "full" not in sys.argv:
        agent.preload = lambda: []  # most tests need no long list of imports
    agent.main()


if __name__ == "__main__":
    main()
