"""Whom usetl-vmmd gives a USF that somebody has used."""

import os

from node import wait_until
from vmmd_case import OBEDIENT, RELEASE, RELEASED, VmmdCase

# A rollback after which too little of it is left for another function.
WORN = """
while True:
    data, files = receive()
    for file in files: os.close(file)
    command, order = struct.unpack_from("<II", data)
    vmmd.send(struct.pack("<IiIIII6Q", ROLLED_BACK, 0, order, 0, 0, 0, *[0] * 6))
"""
KEPT = 4  # idle ones of a tenant


class Tenants(VmmdCase):
    def used(self, tenant: bytes) -> tuple[int, int]:
        """The number and the process of the USF that served a function of the tenant's."""
        claim = self.claimed(tenant=tenant)
        [pid] = [usf["pid"] for usf in self.state()["usfs"] if usf["usf"] == claim.usf]
        self.assertEqual(claim.answer(RELEASE), RELEASED)
        claim.socket.close()
        return claim.usf, pid

    def test_another_tenants_is_never_given(self):
        self.vmmd(OBEDIENT)
        owners: dict[tuple[int, int], bytes] = {}
        for tenant in (b"a", b"b", b"c", b"b", b"a", b"aa", b"c") * 3:
            self.assertEqual(owners.setdefault(self.used(tenant), tenant), tenant)
        self.assertEqual(len(owners), 4)  # each its own, again and again
        self.assertEqual(len({pid for _, pid in owners}), 4)

    def test_another_tenants_is_not_given_to_those_who_wait(self):
        self.vmmd(OBEDIENT)
        of_a, _ = self.used(b"a")
        # All that are ready, and more, while one of a's lies idle.
        of_b = [self.claimed(tenant=b"b").usf for _ in range(5)]
        self.assertNotIn(of_a, of_b)
        self.assertEqual(self.used(b"a")[0], of_a)

    def test_a_connection_is_of_one_tenant(self):
        self.vmmd(OBEDIENT)
        claim = self.claimed(tenant=b"a")
        self.assertEqual(claim.answer(RELEASE), RELEASED)
        claim.claim(tenant=b"b")
        self.assertEqual(self.receive(claim)["files"], [])

    def test_a_tenant_keeps_a_few(self):
        self.vmmd(OBEDIENT)
        claims = [self.claimed(tenant=b"a") for _ in range(KEPT + 2)]
        numbers = [claim.usf for claim in claims]
        for claim in claims:
            self.assertEqual(claim.answer(RELEASE), RELEASED)
        self.assertEqual(self.state()["retired"], 2)
        again = [self.claimed(tenant=b"a").usf for _ in range(KEPT + 1)]
        self.assertEqual(sorted(again[:KEPT]), sorted(numbers[:KEPT]))
        self.assertNotIn(again[KEPT], numbers)

    def test_a_worn_one_serves_nobody(self):
        self.vmmd(WORN)
        seen = [self.used(b"a") for _ in range(3)]
        self.assertEqual(len(set(seen)), 3)
        self.assertEqual(self.state()["retired"], 3)
        for _, pid in seen:
            wait_until(lambda pid=pid: not os.path.exists(f"/proc/{pid}"))
