"""Tests of what the documentation's test does itself."""

import sys
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import blocks
import check
from blocks import Block

PAGE = """Text.

```
scriptorium status X
```

1. A list:

   ```sh
   echo a \\
       b
   ```

```
 a --> figure
```

```console
$ echo typed
printed
```

```json
{"scriptorium ": 1}
```
"""


class Blocks(unittest.TestCase):
    def test_blocks_of_commands_are_found(self) -> None:
        scripts = [block.script for block in blocks.of_page("page", PAGE)]
        self.assertEqual(scripts, ["scriptorium status X\n", "echo a \\\n    b\n", "echo typed\n"])

    def test_blocks_and_list_must_fit(self) -> None:
        found = [Block("page", 3, "one\n"), Block("page", 9, "two\n")]
        one, two = {"page": "page", "begins": "one"}, {"page": "page", "begins": "two"}
        self.assertEqual(len(check.matched(found, [one, two])), 2)
        for entries, complaint in [
            ([one], "page:9: tests/docs/blocks.toml does not say"),
            ([one, two, {"page": "page", "begins": "three"}], "no block in page that begins with: three"),
            ([one, two, dict(one)], "page:3: 2 entries"),
            ([one, two | {"reason": "x"}], "unknown keys: reason"),
        ]:
            with self.assertRaisesRegex(check.Failed, complaint):
                check.matched(found, entries)

    def test_a_failing_block_fails(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            environment = {"PATH": "/usr/bin:/bin", "HOME": folder}
            for script, entry, complaint in [
                ("false\ntrue\n", {}, "exit status 1"),
                ("false | true\n", {}, "exit status 1"),
                ("echo a\n", {"expect": ["b"]}, "`b` is not in what it prints"),
                ("echo a\n", {"replace": [["x", "y"]]}, "replaces `x`"),
            ]:
                with self.assertRaisesRegex(check.Failed, complaint):
                    check.run(Block("page", 1, script), entry, Path(folder), environment)
            check.run(Block("page", 1, "sleep 1000 &\necho a\n"), {"expect": ["a"]}, Path(folder), environment)


if __name__ == "__main__":
    unittest.main()
