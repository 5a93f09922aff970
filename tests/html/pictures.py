"""Takes the pictures of the page that the docs show."""

from __future__ import annotations

import pathlib

from pages import PageTest


def take(directory: pathlib.Path) -> None:
    """Writes `html-light.png`, `html-dark.png` and `html-narrow.png`."""
    test = PageTest()
    PageTest.setUpClass()
    try:
        test.setUp()
        page = test.show_meeting("#t=9.5")
        page.get_by_label("Name of Speaker 1").fill("Anna")
        page.get_by_label("Name of Speaker 2").fill("Bert")
        page.get_by_label("Name of Speaker 2").blur()
        for theme, width, height in (("light", 1280, 800), ("dark", 1280, 800), ("narrow", 400, 800)):
            page.set_viewport_size({"width": width, "height": height})
            page.emulate_media(color_scheme="dark" if theme == "dark" else "light")
            page.evaluate("scrollTo({ top: 0, behavior: 'instant' })")
            page.wait_for_timeout(300)
            page.screenshot(path=directory / f"html-{theme}.png")
        test.doCleanups()
    finally:
        PageTest.doClassCleanups()
