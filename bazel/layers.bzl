# SPDX-License-Identifier: Apache-2.0
"""Who may use whom: read by sluice_library (deps) and by tests/headers/lint.py (includes).

A plain literal: the lint parses it.
"""

# Folder: the other folders whose headers it may use. An include points down. A folder that is not
# named here (tests, bench, examples, ...) may use everything, and nothing that is named here may
# use it, but for the benchmark of the test kit. A folder within one is named if it may use more; its
# own headers are that one's.
MAY_USE = {
    "sync": [],
    "lockfree": ["sync"],
    "ipc": ["sync", "lockfree"],
    "pool": ["sync", "lockfree", "ipc"],
    "testkit": ["sync", "bench"],  # bench: queue_bench.h alone
    "testkit/subjects": ["testkit", "sync", "lockfree", "ipc"],
}
