# SPDX-License-Identifier: Apache-2.0
"""Who may use whom: read by sluice_library (deps) and by tests/headers/lint.py (includes).

A plain literal: the lint parses it.
"""

# Folder: the other folders whose headers it may use. An include points down. A folder that is not
# named here (tests, bench, examples, ...) may use everything, and nothing that is named here may
# use it.
MAY_USE = {
    "sync": [],
    "lockfree": ["sync"],
    "ipc": ["sync", "lockfree"],
    "pool": ["sync", "lockfree", "ipc"],
    "testkit": ["sync"],
}
