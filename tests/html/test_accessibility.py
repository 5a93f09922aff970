"""No violations of the rules of axe-core, in both themes, at two widths, and with the help open."""

from __future__ import annotations

import pathlib

import axe_playwright_python
from pages import PageTest
from playwright.sync_api import Page

AXE = pathlib.Path(axe_playwright_python.__file__).with_name("axe.min.js").read_text()
# With "best-practice", landmarks and headings are checked too.
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


class Accessibility(PageTest):
    def check(self, page: Page, state: str) -> None:
        # The page's policy forbids scripts of others; the debugger's are not subject to it.
        page.evaluate(AXE + "; null")
        found = page.evaluate("rules => axe.run({ runOnly: rules })", RULES)
        violations = [
            f"{violation['id']}: {violation['help']}: {node['html'][:150]} {node['failureSummary']}"
            for violation in found["violations"]
            for node in violation["nodes"]
        ]
        self.assertEqual(violations, [], state)
        self.assertGreater(len(found["passes"]), 20)

    def test_axe(self) -> None:
        page = self.show_meeting("#t=8.6")
        for theme in ("light", "dark"):
            for width in (1280, 400):
                page.emulate_media(color_scheme=theme)
                page.set_viewport_size({"width": width, "height": 800})
                self.check(page, f"{theme} at {width}")
            page.keyboard.press("?")
            self.check(page, f"{theme}, help")
            page.keyboard.press("Escape")

    def test_colours_of_speakers_can_be_read(self) -> None:
        """The page of the meeting has two; each of the eight must stand out from paper and panel by 4.5 to 1."""
        page = self.show_meeting()
        for theme in ("light", "dark"):
            page.emulate_media(color_scheme=theme)
            ratios = page.evaluate(
                """() => {
                    const linear = (c) => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
                    const luminance = (colour) => {
                        const [r, g, b] = colour.match(/\\d+/g).map(Number).map(linear);
                        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
                    };
                    const ratio = (a, b) => (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
                    const paper = luminance(getComputedStyle(document.documentElement).backgroundColor);
                    const name = document.querySelector('#transcript .paragraph');
                    return Array.from({ length: 8 }, (_, index) => {
                        name.className = 'paragraph c' + index;
                        return ratio(paper, luminance(getComputedStyle(name.querySelector('.name')).color));
                    });
                }"""
            )
            self.assertEqual(len(ratios), 8)
            self.assertGreaterEqual(min(ratios), 4.5, f"{theme}: {ratios}")
