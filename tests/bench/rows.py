"""One measured figure: an object of the JSON."""

import statistics


def percentile(samples: list[float], share: float) -> float:
    ordered = sorted(samples)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def row(name: str, unit: str, samples: list[float], must: float | None = None, aim: float | None = None, *,
        peer: str | None = None, peer_samples: list[float] | None = None, more_is_better: bool = False,
        judge: str | None = None, must_ratio: float | None = None, aim_ratio: float | None = None, **extra) -> dict:
    """`must` and `aim` bound the ratio to the peer where one is given, else p50; judge="p50" has them bound p50.
    Beside them the ratio, where there is one, has to reach `must_ratio` and `aim_ratio`.

    A ratio above 1 means better than the peer. Without bounds a row only reports; nothing is missed then.
    """
    p50 = statistics.median(samples)
    peer_p50 = statistics.median(peer_samples) if peer_samples else None
    ratio = None
    if peer_p50 is not None and p50:
        ratio = p50 / peer_p50 if more_is_better else peer_p50 / p50
    judge = judge or ("p50" if ratio is None else "ratio")
    judged = ratio if judge == "ratio" else p50
    upwards = more_is_better or judge == "ratio"

    def reaches(bound: float | None, least: float | None) -> bool:
        if least is not None and ratio is not None and ratio < least:
            return False
        return bound is None or (judged >= bound if upwards else judged <= bound)

    met = "no" if not reaches(must, must_ratio) else "aim" if reaches(aim, aim_ratio) else "must"
    return {"name": name, "unit": unit, "p50": p50, "p99": percentile(samples, 0.99), "n": len(samples),
            "peer": peer if peer_p50 is not None else None, "peer_p50": peer_p50, "ratio": ratio, "must": must,
            "aim": aim, "met": met, "judge": judge, "more_is_better": upwards, "must_ratio": must_ratio,
            "aim_ratio": aim_ratio, **extra}
