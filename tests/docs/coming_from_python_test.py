#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Holds docs/coming_from_python.md to the names that Python itself lists, and all of docs/ to the tree.

  name     a public name of Python is in no first column of its section
  counter  a row with a Python name has an empty second column
  header   a header that a page names is not there, or no library of its folder has it; a page for users names one
           that users can't depend on by its name
  call     a page's second column calls, or qualifies, what no header declares
  link     a link leads nowhere

Usage: coming_from_python_test.py FILE-IN-THE-ROOT-DIRECTORY
"""

import collections
import concurrent.futures
import multiprocessing
import multiprocessing.connection
import multiprocessing.managers
import multiprocessing.pool
import multiprocessing.queues
import multiprocessing.shared_memory
import multiprocessing.sharedctypes
import multiprocessing.synchronize
import pathlib
import queue
import re
import sys
import threading
import unittest

ROOT = pathlib.Path(sys.argv.pop()).resolve().parent if len(sys.argv) > 1 else pathlib.Path()
PAGE = "docs/coming_from_python.md"
LAYERS = ("sync", "lockfree", "ipc", "pool", "testkit")
FOR_USERS = ("coming_from_python.md", "coming_from_boost_interprocess.md", "choosing.md", "embedding.md",
             "troubleshooting.md")


def members(*classes):
    return {name for one in classes for name in dir(one) if not name.startswith("_")}


def listed(*modules):
    return {name for module in modules for name in module.__all__}


mp = multiprocessing
# Heading of the section: the names that it must have.
WANTED = {
    "The module multiprocessing": listed(mp),
    "Process": members(mp.Process),
    "Queue": members(mp.queues.Queue),
    "JoinableQueue": members(mp.queues.JoinableQueue),
    "SimpleQueue": members(mp.queues.SimpleQueue),
    "Connection": members(mp.connection.Connection),
    "connection.wait": {"wait", "Pipe"},
    "Listener and Client": (listed(mp.connection) - {"wait", "Pipe"}) | members(mp.connection.Listener),
    "sharedctypes": listed(mp.sharedctypes) | members(mp.sharedctypes.Synchronized,
                                                      mp.sharedctypes.SynchronizedArray,
                                                      mp.sharedctypes.SynchronizedString),
    "shared_memory": listed(mp.shared_memory) | members(mp.shared_memory.SharedMemory,
                                                        mp.shared_memory.ShareableList),
    "Locks": members(mp.synchronize.Lock, mp.synchronize.RLock, mp.synchronize.Semaphore,
                     mp.synchronize.BoundedSemaphore, type(threading.Lock()), type(threading.RLock()),
                     threading.Semaphore, threading.BoundedSemaphore),
    "Event": members(mp.synchronize.Event, threading.Event),
    "Condition": members(mp.synchronize.Condition, threading.Condition),
    "Barrier": members(mp.synchronize.Barrier, threading.Barrier),
    "Pool": members(mp.pool.Pool),
    "AsyncResult": members(mp.pool.AsyncResult, mp.pool.MapResult, mp.pool.IMapIterator),
    "ThreadPool": members(mp.pool.ThreadPool) | {"ThreadPool"},
    "Managers": listed(mp.managers) | members(mp.managers.SyncManager, mp.managers.SharedMemoryManager),
    "The module threading": listed(threading),
    "Thread": members(threading.Thread),
    "Timer": members(threading.Timer),
    "The module queue": listed(queue) | members(queue.Queue, queue.SimpleQueue),
    "collections.deque": members(collections.deque),
    "The module concurrent.futures": set(concurrent.futures.__all__)
                                     | members(concurrent.futures.ThreadPoolExecutor,
                                               concurrent.futures.ProcessPoolExecutor),
    "Future": members(concurrent.futures.Future),
}

# In its tables the second column is Python's.
NOT_CALLS = {"False friends"}

# Names that the page leaves out, each with its reason.
LEFT_OUT = {
    "acquire_lock": "old spelling of acquire",
    "release_lock": "old spelling of release",
    "locked_lock": "old spelling of locked",
    "isSet": "old spelling of is_set",
    "notifyAll": "old spelling of notify_all",
}

# What second columns call or qualify and is not ours: the standard's, the system's, other libraries'.
NOT_OURS = set("subspan listener init".split())


def sections(text):
    """Heading -> the rows of its tables, as lists of cells."""
    found, rows = {}, None
    for line in text.splitlines():
        if line.startswith("#"):
            rows = found.setdefault(line.lstrip("# "), [])
        elif line.startswith("|") and rows is not None and not set(line) <= set("|- "):
            rows.append([cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip()[1:-1])])
    return found


def spans(text):
    return re.findall(r"`([^`]+)`", text)


def words(text):
    return {word for span in spans(text) for word in re.findall(r"\w+", span)}


def missing(page, wanted):
    """What `page` lacks, as texts."""
    rows_of = sections(page)
    lacks = []
    for heading, names in wanted.items():
        if heading not in rows_of:
            lacks.append(f"name: there is no section {heading!r}")
            continue
        there = set()
        for row in rows_of[heading]:
            there |= words(row[0])
            if words(row[0]) and (len(row) < 3 or not row[1]):
                lacks.append(f"counter: {heading}: nothing beside {row[0]}")
        lacks += [f"name: {heading}: {name}" for name in sorted(names - there - LEFT_OUT.keys())]
    return lacks


def declared(root):
    """Every word of the headers of the layers, without their comments."""
    found = set()
    for layer in LAYERS:
        for header in (root / layer).glob("*.h"):
            found |= set(re.findall(r"\w+", re.sub(r"//.*", "", header.read_text(encoding="utf-8"))))
    return found


def unknown_calls(page, known):
    lacks = []
    for heading, rows in sections(page).items():
        for row in rows if heading not in NOT_CALLS else []:
            for span in spans(" ".join(row[1:2])):
                # Without texts, manual pages, and what other libraries have.
                ours = re.sub(r'"[^"]*"|\b\w+\(\d\)|\b(?:std|boost)(?:::\w+)+', "", span)
                used = re.findall(r"(?:\.|->|::)\s*(\w+)|(\w+)(?=\(|::|<)", ours)
                for name in {a or b for a, b in used}:
                    if not name[0].isdigit() and name not in known and name not in NOT_OURS:
                        lacks.append(f"call: {heading}: {name} in `{span}`")
    return lacks


HEADER = re.compile(r"(?<![\w/.])(?:sluice/)?((?:%s)/\w+\.h)\b" % "|".join(LAYERS))


def unknown_headers(page, root):
    lacks = []
    for path in set(HEADER.findall(page)):
        build = (root / path).parent / "BUILD"
        if not (root / path).is_file():
            lacks.append(f"header: {path} is not there")
        elif f'"{pathlib.Path(path).name}"' not in build.read_text(encoding="utf-8"):
            lacks.append(f"header: no target has {path}")
    for layer, name in set(re.findall(r"(?:@sluice)?//(%s):(\w+)" % "|".join(LAYERS), page)):
        if f'name = "{name}"' not in (root / layer / "BUILD").read_text(encoding="utf-8") and name != "all":
            lacks.append(f"header: there is no target //{layer}:{name}")
    for folder, name in set(re.findall(r"//(examples/\w+):(\w+)", page)):
        if not (root / folder / f"{name}.cc").is_file():  # BUILD files make several in one go
            lacks.append(f"header: there is no target //{folder}:{name}")
    return lacks


def public_headers(root):
    """Those whose target has their name and is everybody's."""
    found = set()
    for layer in LAYERS:
        build = (root / layer / "BUILD").read_text(encoding="utf-8")
        for rule in re.findall(r"^\w+\(\n.*?^\)", build, re.MULTILINE | re.DOTALL):
            name = re.search(r'name = "(\w+)"', rule)
            if name and "//visibility:public" in rule and f'hdrs = ["{name[1]}.h"]' in rule:
                found.add(f"{layer}/{name[1]}.h")
    return found


def internal_headers(page, public):
    return sorted(f"header: {path} is internal" for path in set(HEADER.findall(page)) - public)


def anchors(text):
    found = set()
    for line in text.splitlines():
        if line.startswith("#"):
            plain = re.sub(r"[^\w\- ]", "", line.lstrip("# ").lower())
            found.add(plain.replace(" ", "-"))
    return found


def broken_links(path, root):
    text = path.read_text(encoding="utf-8")
    lacks = []
    for target in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"`[^`]*`", "", text)):
        if "://" in target:
            continue
        file, _, anchor = target.partition("#")
        to = (path.parent / file).resolve() if file else path
        if not to.exists():
            lacks.append(f"link: {path.relative_to(root)}: {target}")
        elif anchor and anchor not in anchors(to.read_text(encoding="utf-8")):
            lacks.append(f"link: {path.relative_to(root)}: {target}: no such heading")
    for image in re.findall(r'src="([^"]+)"', text):
        if "://" not in image and not (path.parent / image).is_file():
            lacks.append(f"link: {path.relative_to(root)}: {image}")
    return lacks


class Page(unittest.TestCase):
    def setUp(self):
        self.page = (ROOT / PAGE).read_text(encoding="utf-8")

    def test_has_each_name_of_python(self):
        self.assertEqual(missing(self.page, WANTED), [])


class Docs(unittest.TestCase):
    def test_pages_for_newcomers_call_what_headers_declare(self):
        known = declared(ROOT)
        lacks = []
        for path in sorted((ROOT / "docs").glob("coming_from_*.md")):
            lacks += [f"{path.name}: {lack}"
                      for lack in unknown_calls(path.read_text(encoding="utf-8"), known)]
        self.assertEqual(lacks, [])

    def test_headers_and_targets_are_there(self):
        lacks = []
        for path in sorted((ROOT / "docs").glob("*.md")):
            lacks += [f"{path.name}: {lack}"
                      for lack in unknown_headers(path.read_text(encoding="utf-8"), ROOT)]
        self.assertEqual(lacks, [])

    def test_pages_for_users_name_public_headers(self):
        public = public_headers(ROOT)
        self.assertGreater(len(public), 50)
        for name in FOR_USERS:
            page = (ROOT / "docs" / name).read_text(encoding="utf-8")
            self.assertEqual(internal_headers(page, public), [], name)

    def test_links_lead_somewhere(self):
        lacks = []
        for path in [*sorted((ROOT / "docs").glob("*.md")), ROOT / "README.md", ROOT / "examples/README.md"]:
            lacks += broken_links(path, ROOT)
        self.assertEqual(lacks, [])


class Checks(unittest.TestCase):
    """They can fail."""

    PAGE = "## Pool\n| `apply(f)` | `pool.apply(f)` | `pool/pool.h` |\n| `map(f)` | | |\n"

    def test_a_missing_name_is_found(self):
        self.assertEqual(missing(self.PAGE, {"Pool": {"apply", "map", "imap"}}),
                         ["counter: Pool: nothing beside `map(f)`", "name: Pool: imap"])

    def test_a_missing_section_is_found(self):
        self.assertEqual(missing(self.PAGE, {"Queue": {"put"}}), ["name: there is no section 'Queue'"])

    def test_an_unknown_call_is_found(self):
        self.assertEqual(unknown_calls(self.PAGE, {"pool"}), ["call: Pool: apply in `pool.apply(f)`"])

    def test_an_unknown_header_is_found(self):
        self.assertEqual(unknown_headers("see pool/no_such.h and `//ipc:nothing`", ROOT),
                         ["header: pool/no_such.h is not there", "header: there is no target //ipc:nothing"])

    def test_an_internal_header_is_found(self):
        self.assertEqual(internal_headers("pool/pool.h, pool/child.h", {"pool/pool.h"}),
                         ["header: pool/child.h is internal"])


if __name__ == "__main__":
    unittest.main()
