"""Who owns how many Ethernet address blocks: the IEEE registry, grouped by organisation.

GETs the registry (CSV, 3 MB), POSTs a ranking and one JSON line per organisation to a sink.
Event: {"source": URL of oui.csv, "sink": URL to POST below, "top": length of the ranking}
"""

import csv
import io
import json
from collections import defaultdict

import usetl


def group(registry: str) -> dict[str, list[str]]:
    """Address blocks by organisation, both sorted."""
    blocks: defaultdict[str, list[str]] = defaultdict(list)
    for row in csv.DictReader(io.StringIO(registry)):
        # The registry spells names with stray blanks; that must not split an organisation.
        blocks[" ".join(row["Organization Name"].split())].append(row["Assignment"])
    return {name: sorted(blocks[name]) for name in sorted(blocks)}


def handler(event, context):
    source = usetl.get(event["source"]).raise_for_status()
    groups = group(source.text)

    ranking = sorted(groups, key=lambda name: (-len(groups[name]), name))[: event.get("top", 20)]
    top = [{"organization": name, "blocks": len(groups[name])} for name in ranking]
    lines = "".join(
        json.dumps({"organization": name, "blocks": blocks}) + "\n"
        for name, blocks in groups.items()
    )

    sink = event["sink"].rstrip("/")
    top_json = json.dumps(top, indent=1).encode()
    usetl.post(f"{sink}/top.json", top_json).raise_for_status()
    usetl.post(f"{sink}/organizations.jsonl", lines.encode()).raise_for_status()
    return {
        "bytes_in": len(source.body),
        "bytes_out": len(top_json) + len(lines),
        "assignments": sum(map(len, groups.values())),
        "organizations": len(groups),
        "top": top[:3],
    }
