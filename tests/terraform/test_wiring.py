"""The root modules fit together: what aws gives is what addons takes and passes on."""

from __future__ import annotations

import re
import unittest
from pathlib import Path

TERRAFORM = Path(__file__).parents[2] / "infra/terraform"

# Blocks as `terraform fmt` writes them: they end with a brace in the first column.
VARIABLE = re.compile(r'^variable "(\w+)" \{\n(.*?)^\}', re.MULTILINE | re.DOTALL)


def variables(folder: str) -> dict[str, bool]:
    """Returns the variables of a module, and whether each has a default."""
    found = VARIABLE.findall((TERRAFORM / folder / "variables.tf").read_text())
    return {name: bool(re.search(r"^  default\s+=", body, re.MULTILINE)) for name, body in found}


def arguments(text: str, indent: int) -> set[str]:
    return set(re.findall(rf"^ {{{indent}}}(\w+)\s+=", text, re.MULTILINE))


class Wiring(unittest.TestCase):
    def test_aws_gives_what_addons_takes(self) -> None:
        outputs = (TERRAFORM / "aws/outputs.tf").read_text()
        given = arguments(outputs[outputs.index('output "addons"') :], 4)
        taken = variables("addons")
        self.assertLessEqual(given, set(taken), "a value that addons does not declare is an error")
        chosen = {"kubeconfig_context"}
        self.assertEqual({name for name, has_default in taken.items() if not has_default} - given, chosen)

    def test_addons_passes_all_values_on(self) -> None:
        main = (TERRAFORM / "addons/main.tf").read_text()
        block = main[main.index('module "values"') : main.index("\n}\n")]
        self.assertEqual(arguments(block, 2) - {"source"}, set(variables("modules/values")))

    def test_variables_are_described(self) -> None:
        for file in TERRAFORM.rglob("variables.tf"):
            for name, body in VARIABLE.findall(file.read_text()):
                self.assertRegex(body, r'description = ".{5,}\."', f"{file}: {name}")

    def test_defaults_of_both_are_the_same(self) -> None:
        def defaults(folder: str) -> dict[str, str]:
            found = VARIABLE.findall((TERRAFORM / folder / "variables.tf").read_text())
            return {name: re.sub(r"\n  validation \{.*", "", body, flags=re.DOTALL).strip() for name, body in found}

        ours, passed = defaults("addons"), defaults("modules/values")
        self.assertEqual({name: ours[name] for name in passed}, passed)


if __name__ == "__main__":
    unittest.main()
