"""Reading: keys, search, names of speakers, doubtful words, colours, print, and no script."""

from __future__ import annotations

import shlex

from pages import PageTest, long_transcript, meeting, transcript_of, words_of


class Keys(PageTest):
    def test_keys(self) -> None:
        page = self.show_meeting()
        starts = [segment["start"] for segment in meeting()["segments"]]
        press = page.keyboard.press

        press("l")
        self.assertAlmostEqual(self.position(page), 5, delta=0.01)
        press("ArrowRight")
        press("j")
        press("ArrowLeft")
        press("ArrowLeft")
        self.assertAlmostEqual(self.position(page), 0, delta=0.01)
        for start in starts[:3]:
            press("ArrowDown")
            self.assertAlmostEqual(self.position(page), start, delta=0.01)
        press("ArrowUp")
        self.assertAlmostEqual(self.position(page), starts[1], delta=0.01)
        press(" ")
        self.wait(page, "!document.querySelector('#media').paused")
        press("k")
        self.assertTrue(self.is_paused(page))
        press(">")
        press(">")
        press("<")
        self.assertEqual(page.get_by_label("Speed").input_value(), "1.25")
        self.assertEqual(page.evaluate("document.querySelector('#media').playbackRate"), 1.25)
        press("?")
        self.assertTrue(page.get_by_role("dialog").is_visible())
        press("Escape")
        self.assertFalse(page.get_by_role("dialog").is_visible())
        press("/")
        page.keyboard.type("k ?")
        self.assertEqual(page.get_by_role("searchbox").input_value(), "k ?")
        self.assertTrue(self.is_paused(page))

    def test_keys_can_be_switched_off(self) -> None:
        page = self.show_meeting()
        page.keyboard.press("?")
        page.get_by_label("Use these keys").uncheck()
        page.get_by_role("button", name="Close").click()
        page.keyboard.press("l")
        self.assertEqual(self.position(page), 0)
        page.reload()
        page.keyboard.press("l")
        self.assertEqual(self.position(page), 0)

    def test_a_button_keeps_its_space(self) -> None:
        page = self.show_meeting()
        page.get_by_role("button", name="Help and keys").focus()
        page.keyboard.press(" ")
        self.assertTrue(page.get_by_role("dialog").is_visible())
        self.assertTrue(self.is_paused(page))

    def test_the_text_is_one_stop_of_the_tab_key(self) -> None:
        url = self.write(long_transcript(1, 10_000))
        self.allowed_complaints = ("ERR_FILE_NOT_FOUND",)
        self.allowed_requests.add((self.directory / "other.ogg").as_uri())
        page = self.show(url)
        stops = page.evaluate(
            "Array.from(document.querySelectorAll('#transcript *')).filter((element) => element.tabIndex >= 0).length"
        )
        self.assertEqual(stops, 1)
        page.locator("#transcript .time[tabindex='0']").focus()
        for _ in range(12):
            page.keyboard.press("ArrowDown")
        focused = page.evaluate("document.activeElement.closest('.paragraph') === document.querySelector('[aria-current]')")
        self.assertTrue(focused, "the focus goes along with the arrows")


class Search(PageTest):
    def search(self, query: str) -> None:
        self.page.get_by_role("searchbox").fill(query)
        self.page.wait_for_timeout(300)

    def hits(self) -> str:
        return self.page.locator("#hits").inner_text()

    def setUp(self) -> None:
        super().setUp()
        self.page = self.show_meeting()

    def test_hits_are_counted_and_visited(self) -> None:
        text = " ".join(segment["text"] for segment in meeting()["segments"])
        count = text.lower().count("username")
        self.assertEqual(count, 3)
        self.search("USERNAME")
        self.assertEqual(self.hits(), "1 of 3")
        self.assertEqual(self.marked(self.page, "hit"), ["username"] * 3)
        self.page.keyboard.press("Enter")
        self.assertEqual(self.hits(), "2 of 3")
        self.page.keyboard.press("Shift+Enter")
        self.page.get_by_role("button", name="Previous hit").click()
        self.assertEqual(self.hits(), "3 of 3")
        self.assertEqual(self.marked(self.page, "hit-now"), ["username"])
        self.page.get_by_role("button", name="Next hit").click()
        self.assertEqual(self.hits(), "1 of 3")

    def test_what_is_sought_is_text(self) -> None:
        self.search(".*")
        self.assertEqual(self.hits(), "no hits")
        self.search("[")
        self.assertEqual(self.hits(), "no hits")
        self.search("in there.")
        self.assertEqual(self.hits(), "1 of 1")

    def test_hits_cross_segments(self) -> None:
        self.search("yeah.  yeah,")
        self.assertEqual(self.hits(), "1 of 1")
        self.assertEqual(self.marked(self.page, "hit-now"), ["yeah. Yeah,"])

    def test_escape_ends_the_search(self) -> None:
        self.search("username")
        self.page.keyboard.press("Escape")
        self.assertEqual((self.hits(), self.marked(self.page, "hit")), ("", []))
        self.page.keyboard.press("l")
        self.assertAlmostEqual(self.position(self.page), 5, delta=0.01)


class Names(PageTest):
    HOSTILE = "<img src=x onerror=alert(1)> O'Brien $(id)"

    def setUp(self) -> None:
        super().setUp()
        self.context.grant_permissions(["clipboard-read", "clipboard-write"])

    def test_a_name_stays_and_is_text(self) -> None:
        page = self.show_meeting()
        page.get_by_label("Name of Speaker 1").fill(self.HOSTILE)
        page.get_by_label("Name of Speaker 2").fill("Bert")
        names = page.locator("#transcript .name")
        self.assertEqual(names.first.inner_text(), self.HOSTILE)
        page.reload()
        self.assertEqual(names.first.inner_text(), self.HOSTILE)
        self.assertEqual(set(names.all_inner_texts()), {self.HOSTILE, "Bert"})
        self.assertEqual(page.locator("img").count(), 0)
        # Another transcript has its own names.
        other = meeting()
        other["pipeline"]["fingerprint"] = "1"
        page.goto(self.write(other, "other.html"))
        self.assertEqual(set(names.all_inner_texts()), {"Speaker 1", "Speaker 2"})

    def test_an_empty_name_is_the_label(self) -> None:
        page = self.show_meeting()
        field = page.get_by_label("Name of Speaker 1")
        field.fill("Anna")
        field.fill("  ")
        field.blur()
        self.assertEqual(field.input_value(), "Speaker 1")
        self.assertEqual(page.locator("#transcript .name").first.inner_text(), "Speaker 1")
        self.assertEqual(page.evaluate("localStorage.length"), 0)

    def test_names_are_copied_as_a_command(self) -> None:
        page = self.show_meeting()
        page.get_by_label("Name of Speaker 1").fill(self.HOSTILE)
        page.get_by_label("Name of Speaker 2").fill("Bert")
        page.get_by_role("button", name="Copy names as a command").click()
        page.get_by_text("Copied the command").wait_for()
        command = page.evaluate("navigator.clipboard.readText()")
        self.assertEqual(
            shlex.split(command),
            ["scriptorium", "convert", "meeting.ogg.json", "--speaker-name", f"0={self.HOSTILE}", "--speaker-name", "1=Bert"]
            + ["--format", "html"],
        )

    def test_the_text_is_copied_with_names(self) -> None:
        page = self.show_meeting()
        page.get_by_label("Name of Speaker 1").fill("Anna")
        page.get_by_role("button", name="Copy text").click()
        page.get_by_text("Copied the text").wait_for()
        text = page.evaluate("navigator.clipboard.readText()")
        self.assertTrue(text.startswith("Anna: Just put it on the desk"), text)
        said = " ".join(line.split(": ", 1)[1] for line in text.splitlines())
        self.assertEqual(said, " ".join(segment["text"] for segment in meeting()["segments"]))

    def test_damaged_storage_is_ignored(self) -> None:
        page = self.show_meeting()
        page.get_by_label("Name of Speaker 1").fill("Anna")
        for damaged in ("{", "[1]", "null", '{"0": {"a": 1}}', '{"7": "x"}'):
            page.evaluate(
                "text => { for (const key of Object.keys(localStorage)) localStorage.setItem(key, text); }", damaged
            )
            page.reload()
            self.assertEqual(page.get_by_label("Name of Speaker 1").input_value(), "Speaker 1")


class Doubt(PageTest):
    def test_doubtful_words_are_marked(self) -> None:
        page = self.show_meeting()
        doubtful = [word["text"].strip() for word in words_of(meeting()) if word["confidence"] < 0.495]
        self.assertGreater(len(doubtful), 3)
        self.wait(page, "CSS.highlights.get('doubt').size > 0")
        marked = self.marked(page, "doubt") + self.marked(page, "doubtful")
        self.assertEqual(sorted(marked), sorted(doubtful))
        page.get_by_label("Mark words below").fill("95")
        self.assertGreater(len(self.marked(page, "doubt")), len(doubtful))
        page.get_by_role("checkbox", name="Doubtful words").uncheck()
        self.assertEqual(self.marked(page, "doubt") + self.marked(page, "doubtful"), [])
        page.reload()
        self.assertFalse(page.get_by_role("checkbox", name="Doubtful words").is_checked())

    def test_not_by_colour_alone(self) -> None:
        page = self.show_meeting()
        self.wait(page, "CSS.highlights.get('doubt').size > 0")
        style = page.evaluate("getComputedStyle(document.querySelector('.s'), '::highlight(doubt)').textDecorationStyle")
        self.assertEqual(style, "dotted")


class Presentation(PageTest):
    def background(self) -> str:
        return str(self.page.evaluate("getComputedStyle(document.documentElement).backgroundColor"))

    def test_colours_follow_the_system_and_the_switch(self) -> None:
        self.page = self.show_meeting()
        light = self.background()
        self.page.emulate_media(color_scheme="dark")
        dark = self.background()
        self.assertEqual((light, dark), ("rgb(252, 251, 248)", "rgb(23, 24, 26)"))
        switch = self.page.get_by_role("button", name="Colours")
        switch.click()
        self.assertEqual(self.background(), light)
        self.page.reload()
        self.assertEqual(self.background(), light)
        switch.click()
        self.page.emulate_media(color_scheme="light")
        self.assertEqual(self.background(), dark)
        switch.click()
        self.assertEqual(self.background(), light)

    def test_print_has_text_and_names_only(self) -> None:
        self.page = self.show_meeting()
        self.page.get_by_label("Name of Speaker 1").fill("Anna")
        self.page.emulate_media(color_scheme="dark", media="print")
        self.assertEqual(self.background(), "rgb(255, 255, 255)")
        for hidden in ("#player", "#tools", "#people-tools", "#doubt-tools", "#media"):
            self.assertFalse(self.page.locator(hidden).is_visible(), hidden)
        self.assertEqual(self.page.locator("#transcript .name").first.inner_text(), "Anna")
        self.assertTrue(self.page.get_by_text("If you dump it in there.").is_visible())

    def test_all_of_a_long_transcript_is_printed(self) -> None:
        self.allowed_complaints = ("ERR_FILE_NOT_FOUND",)
        self.allowed_requests.add((self.directory / "other.ogg").as_uri())
        page = self.show(self.write(long_transcript(1, 5_000)))
        pages = page.pdf().count(b"/Type /Page\n")
        self.assertGreater(pages, 8)
        self.assertLess(pages, 60)

    def test_languages_have_their_tags_and_directions(self) -> None:
        self.allowed_complaints = ("ERR_FILE_NOT_FOUND",)
        self.allowed_requests.add((self.directory / "other.ogg").as_uri())
        page = self.show(
            self.write(
                transcript_of(
                    [
                        {"start": 0.0, "end": 1.0, "language": "ar", "text": "مرحبا بكم."},
                        {"start": 1.0, "end": 2.0, "language": "de", "text": "Guten Tag."},
                    ]
                )
            )
        )
        found = page.evaluate(
            "Array.from(document.querySelectorAll('#transcript p'), (p) => [p.lang, getComputedStyle(p).direction])"
        )
        self.assertEqual(found, [["ar", "rtl"], ["de", "ltr"]])
        self.assertIn("Arabic, German", page.locator(".facts").inner_text())

    def test_without_script_the_text_can_be_read(self) -> None:
        self.lay_recording()
        page = self.show(self.write(meeting()), self.new_context(java_script_enabled=False))
        shown = " ".join(page.locator("#transcript p").all_inner_texts())
        self.assertEqual(shown, " ".join(segment["text"] for segment in meeting()["segments"]))
        self.assertTrue(page.locator("audio[controls]").is_visible())
        self.assertFalse(page.locator("#player").is_visible())
        self.assertFalse(page.locator("#tools").is_visible())

    def test_nothing_is_wider_than_the_screen(self) -> None:
        page = self.show_meeting()
        for width in (320, 400, 800, 1280):
            page.set_viewport_size({"width": width, "height": 800})
            self.assertLessEqual(page.evaluate("document.documentElement.scrollWidth"), width)
