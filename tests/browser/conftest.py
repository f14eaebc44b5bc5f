# SPDX-License-Identifier: Apache-2.0
"""The end-to-end tests' fixtures; these tests have a directory of their own because chromium is no package that every `make test` should need."""

import importlib.util
import os
import sys

E2E = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "e2e")
sys.path[:0] = [E2E]
_spec = importlib.util.spec_from_file_location("e2e_conftest", os.path.join(E2E, "conftest.py"))
_e2e = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_e2e)
certs, proxy = _e2e.certs, _e2e.proxy
