#!/usr/bin/env python3
"""Tries the HTML page of a transcript in Chromium. run.sh calls this."""

from __future__ import annotations

import pathlib
import sys
import unittest

import pictures


def main() -> None:
    if sys.argv[1:2] == ["--pictures"]:
        pictures.take(pathlib.Path(sys.argv[2]))
        return
    unittest.main(
        module=None,
        argv=[sys.argv[0], "discover", "-s", str(pathlib.Path(__file__).parent), "-p", "test_*.py", *sys.argv[1:]],
    )


if __name__ == "__main__":
    main()
