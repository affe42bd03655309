"""Clients that others wrote, as their makers publish them, against `edw dev`: SDKs, a browser, and producers.

`make clients` installs them. Where a runtime is missing, its tests are skipped, which CI does not allow.
"""
