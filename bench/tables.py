#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The tables of README.md and docs/benchmarking.md, in Markdown, from the JSON of //bench:compare.

Usage: tables.py {front|measured|rivals|goals|safety} RESULTS.json...

Several files are one run each of different cases; of a case that is in two, the later file counts.
tests/docs/tables_test.py holds the pages to it.
"""

import json
import sys

YARDSTICKS = {"L": "pingpong", "R": "reference_ring", "M": "memcpy4k", "F": "futex_pingpong"}

# What is asked, case, relation, bound. A relation is a yardstick ("x R"), "rivals" (the best of
# them), the name of a subject or of another case ("x ..."), "p50", or "" for the figure itself.
# ">=": at least that many times; "<=": at most.
GOALS = [
    ("typed ring, 8 B", "spsc/oneway/8", ">=", 1.8, "R"),
    ("", "spsc/oneway/8", ">=", 1.05, "rivals"),
    ("typed ring, 8 B there and back", "spsc/rtt/8", "<=", 0.60, "L"),
    ("", "spsc/rtt/8", "<=", 1.0, "rivals"),
    ("typed ring, batches of 64", "spsc/batch64/8", ">=", 8, "R"),
    ("pipe, 8 B", "pipe/oneway/8", ">=", 1.0, "R"),
    ("pipe, 64 B", "pipe/oneway/64", ">=", 0.3, "R"),
    ("", "pipe/oneway/64", ">=", 8, "pipe"),
    ("pipe, 1 KiB", "pipe/oneway/1024", ">=", 0.95, "spsc/oneway/1024"),
    ("pipe, 4 KiB", "pipe/oneway/4096", ">=", 0.95, "spsc/oneway/4096"),
    ("pipe, 64 KiB", "pipe/oneway/65536", ">=", 0.95, "spsc/oneway/65536"),
    ("pipe, 8 B there and back", "pipe/rtt/8", "<=", 0.8, "L"),
    ("", "pipe/rtt/8/p99", "<=", 2, "p50"),
    ("pipe, 64 B there and back", "pipe/rtt/64", "<=", 0.95, "L"),
    ("pipe, to a sleeper and back", "pipe/rtt_asleep/8", "<=", 1.05, "F"),
    ("pipe, 64 KiB in place", "pipe/oneway_zero_copy/65536", ">=", 0.75, "M"),
    ("pipe, 64 KiB untouched, million/s", "pipe/oneway_zero_copy_untouched/65536", ">=", 20, ""),
    ("value, load 8 B", "value/load/8", "<=", 2, "memcpy_unsafe"),
    ("value, load 64 B", "value/load/64", "<=", 2, "memcpy_unsafe"),
    ("value, `fetch_add` of two", "value/fetch_add/two", "<=", 1.0, "std_atomic"),
    ("`MpmcRing` 1x1, 8 B", "mpmc/1x1/8", ">=", 0.25, "R"),
    ("`MpmcRing` 2x2, 8 B", "mpmc/2x2/8", ">=", 0.75, "vyukov_unsafe"),
    ("", "mpmc/2x2/8", ">=", 5, "boost_lockfree"),
    ("`MpmcRing` 2x2, 64 B", "mpmc/2x2/64", ">=", 0.85, "vyukov_unsafe"),
    ("`MpmcRing` 2x2, 1 KiB", "mpmc/2x2/1024", ">=", 0.85, "vyukov_unsafe"),
    ("`MpmcRing` 2x2, batches of 32", "mpmc_batch/2x2/8", ">=", 0.7, "moodycamel"),
    ("`MpmcRing` 16x16, 8 B", "mpmc/16x16/8", ">=", 0.8, "mpmc/2x2/8"),
    ("`Queue`, 8 B", "queue/oneway/8", ">=", 0.85, "sluice_mpmc_ring"),
    ("", "queue/oneway/8", ">=", 30, "python"),
    ("`Queue`, 64 B", "queue/oneway/64", ">=", 0.85, "sluice_mpmc_ring"),
    ("`Queue`, 1 KiB", "queue/oneway/1024", ">=", 0.85, "sluice_mpmc_ring"),
    ("`Queue`, 64 KiB", "queue/oneway/65536", ">=", 20, "python"),
    ("`Queue` of texts of 100 B", "queue/string/100", ">=", 0.05, "R"),
    ("`Queue`, to a sleeper and back", "queue/rtt_asleep/8", "<=", 1.05, "F"),
    ("`Mutex` alone", "mutex/uncontended", "<=", 1.15, "pthread"),
    ("", "mutex/uncontended", "<=", 0.95, "pthread_robust"),
    ("`Mutex`, two at once", "mutex/contended", ">=", 1.3, "pthread"),
    ("`ConditionVariable`, asleep", "condvar/pingpong_asleep", "<=", 1.05, "F"),
    ("`ConditionVariable`, awake", "condvar/pingpong_awake", "<=", 2.5, "L"),
    ("`Semaphore`, asleep", "semaphore/pingpong_asleep", "<=", 1.05, "F"),
    ("`Semaphore`, awake", "semaphore/pingpong_awake", "<=", 0.9, "L"),
    ("`Event`, asleep", "event/pingpong_asleep", "<=", 1.05, "F"),
    ("`Event`, awake", "event/pingpong_awake", "<=", 0.9, "L"),
    ("`SharedMutex`, read alone", "shared_mutex/read", "<=", 1.1, "pthread"),
    ("`SharedMutex`, two readers", "shared_mutex/read2", ">=", 4, "pthread"),
    ("pool, there and back, awake, µs", "pool/roundtrip_awake", "<=", 0.8, ""),
    ("pool, there and back, asleep", "pool/roundtrip_asleep", "<=", 1.3, "F"),
    ("pool, `submit`, million/s", "pool/submit", ">=", 2, ""),
    ("pool, `map`, million/s", "pool/map", ">=", 20, ""),
    ("pool, `imap_unordered`, million/s", "pool/imap_unordered", ">=", 0.7, ""),
    ("pool, 1 MiB there and back", "pool/arg_1mib", "<=", 0.1, "python"),
    ("pool, start of 2, µs", "pool/startup2", "<=", 2500, ""),
    ("pool, start of 8, µs", "pool/startup8", "<=", 6000, ""),
]

# What survives a kill, case, and who does the same and does not.
SAFETY = [
    ("`SpscRing`", "spsc/oneway/8", ["limit"]),
    ("`SpscRing`", "spsc/rtt/8", ["limit"]),
    ("`Pipe`, in place", "pipe/oneway_zero_copy/65536", ["bare_buffers"]),
    ("`MpmcRing`", "mpmc/1x1/8", ["vyukov_unsafe", "turn_ring_unsafe"]),
    ("`MpmcRing`", "mpmc/2x2/8", ["vyukov_unsafe", "turn_ring_unsafe"]),
    ("`MpmcRing`", "mpmc/2x2/64", ["vyukov_unsafe", "turn_ring_unsafe"]),
    ("`MpmcRing`", "mpmc/2x2/1024", ["vyukov_unsafe", "turn_ring_unsafe"]),
    ("`MpmcRing`", "mpmc/16x16/8", ["vyukov_unsafe", "turn_ring_unsafe"]),
    ("`Latest`", "value/load/8", ["seqlock_unsafe", "memcpy_unsafe"]),
    ("`Latest`", "value/load/64", ["seqlock_unsafe", "memcpy_unsafe"]),
    ("`Latest`", "value/store/8", ["seqlock_unsafe", "memcpy_unsafe"]),
    ("`Latest`", "value/store/64", ["seqlock_unsafe", "memcpy_unsafe"]),
    ("`Mutex`", "mutex/uncontended", ["pthread"]),
    ("`Mutex`", "mutex/contended", ["pthread"]),
    ("`Event`", "event/pingpong_asleep", ["futex"]),
    ("`Event`", "event/pingpong_awake", ["futex"]),
    ("`Semaphore`", "semaphore/pingpong_asleep", ["sem_t"]),
    ("`SharedMutex`", "shared_mutex/read", ["pthread"]),
]


def number(value):
    if value is None:
        return "?"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


# Rows and columns of the first table of README.md.
FRONT = [("64 B one way, million/s", "pipe/oneway/64"), ("1 KiB one way, million/s", "pipe/oneway/1024"),
         ("64 KiB one way, million/s", "pipe/oneway/65536"), ("64 B there and back, ns", "pipe/rtt/64"),
         ("1 KiB there and back, ns", "pipe/rtt/1024")]
BESIDE = [("pipe", "`pipe(2)`"), ("socketpair", "socket pair"), ("boost_interprocess", "Boost message queue"),
          ("iceoryx", "iceoryx"), ("zeromq", "ZeroMQ")]

# What README.md shows of the rest.
MEASURED = ["spsc/oneway/8", "spsc/oneway/64", "spsc/oneway/1024", "spsc/rtt/8", "mpmc/1x1/8", "mpmc/2x2/8", "mpmc/2x2/64",
            "mpmc_batch/2x2/8", "queue/oneway/8", "queue/oneway/65536", "queue/rtt/8", "queue/rtt_asleep/8", "mutex/uncontended",
            "mutex/contended", "shared_mutex/read2", "condvar/pingpong_asleep", "condvar/pingpong_awake",
            "semaphore/pingpong_awake", "event/pingpong_awake", "value/load/64", "value/store/64", "array/locked_write",
            "pool/roundtrip_awake", "pool/roundtrip_asleep", "pool/submit", "pool/map", "pool/arg_1mib", "pool/startup2",
            "process/start_join"]


class Results:
    def __init__(self, rows):
        self.rows = {(row["case"], row["subject"]): row for row in rows}

    def row(self, case, subject="sluice"):
        return self.rows.get((case, subject), {})

    def rivals(self, case):
        return [row for (name, subject), row in self.rows.items()
                if name == case and "sluice_is" in row and row["sluice_is"] is not None
                and not subject.startswith("sluice") and not subject.endswith("_unsafe") and subject != "bare_buffers"]

    def best_rival(self, case):
        return min(self.rivals(case), key=lambda row: row["sluice_is"], default=None)

    def is_as_good(self, case, subject):
        """How many times as good sluice is: above 1 is ahead."""
        if subject == "limit":
            return better(self.row(case), self.row(case).get("ratio"))
        return self.row(case, subject).get("sluice_is")

    def reached(self, goal):
        """The figure to be compared with the bound, or None."""
        _, case, _, _, relation = goal
        row = self.row(case)
        if not row:
            return None
        if not relation:
            return row["median"]
        if relation in YARDSTICKS:
            assert row["yardstick"] == YARDSTICKS[relation], goal
            return row["ratio"]
        if relation == "p50":
            return quotient(row["median"], self.row(case.rsplit("/", 1)[0] + "/p50").get("median"))
        if "/" in relation:
            return quotient(row["median"], self.row(relation).get("median"))
        if relation == "rivals":
            best = self.best_rival(case)
            return best and better(row, best["sluice_is"])
        return better(row, self.is_as_good(case, relation))


def quotient(a, b):
    return a / b if a is not None and b else None


def better(row, times):
    """Times as good, as times as much: a time that is half as long is twice as good."""
    if times is None:
        return None
    return times if row["better"] == "higher" else 1 / times


def goals(results):
    yield "| goal | asked | reached | | best rival | sluice is |"
    yield "|---|---|---|---|---|---|"
    for goal in GOALS:
        text, case, compares, bound, relation = goal
        reached = results.reached(goal)
        met = reached is not None and (reached >= bound if compares == ">=" else reached <= bound)
        sign = {">=": "≥", "<=": "≤"}[compares]
        unit = f" × {relation.replace('rivals', 'best rival')}" if relation else ""
        best = results.best_rival(case)
        rival = f"`{best['subject']}` | {number(best['sluice_is'])}×" if best and text else " | "
        yield (f"| {text} | {sign} {number(bound)}{unit} | {number(reached)} | "
               f"{'yes' if met else 'not measured' if reached is None else '**no**'} | {rival} |")


def safety(results):
    yield "| what outlives a kill | case | sluice | without that | sluice is |"
    yield "|---|---|---|---|---|"
    for text, case, others in SAFETY:
        row = results.row(case)
        if not row:
            continue
        for other in others:
            rival = results.row(case, other)
            if not rival:
                continue
            times = results.is_as_good(case, other)
            name = {"limit": row["yardstick"]}.get(other, other)
            yield (f"| {text} | `{case}` | {number(row['median'])} {row['unit']} | "
                   f"`{name}` {number(rival['median'])} | {number(times)}× |")


def front(results):
    yield "| messages between two processes | sluice | " + " | ".join(title for _, title in BESIDE) + " |"
    yield "|---" * (2 + len(BESIDE)) + "|"
    for text, case in FRONT:
        cells = [number(results.row(case).get("median"))]
        for rival, _ in BESIDE:
            row = results.row(case, rival)
            cells.append(f"{number(row.get('median'))} ({number(row.get('sluice_is'))}×)" if row.get("sluice_is") else "")
        yield f"| {text} | " + " | ".join(cells) + " |"


def beside_best(results, cases):
    yield "| case | unit | sluice | best rival | its figure | sluice is |"
    yield "|---|---|---|---|---|---|"
    for case in cases:
        row, best = results.row(case), results.best_rival(case)
        if row and best:
            yield (f"| `{case}` | {row['unit']} | {number(row['median'])} | `{best['subject']}` | {number(best['median'])} | "
                   f"{number(best['sluice_is'])}× |")


def measured(results):
    return beside_best(results, MEASURED)


def rivals(results):
    return beside_best(results, [case for case in dict.fromkeys(case for case, _ in results.rows)
                                 if not case.rsplit("/", 1)[1].startswith("p")])


TABLES = {"front": front, "measured": measured, "rivals": rivals, "goals": goals, "safety": safety}


def main(arguments):
    if len(arguments) < 2 or arguments[0] not in TABLES:
        sys.exit(__doc__)
    rows = []
    for path in arguments[1:]:
        with open(path, encoding="utf-8") as file:
            rows += json.load(file)
    print("\n".join(TABLES[arguments[0]](Results(rows))))


if __name__ == "__main__":
    main(sys.argv[1:])
