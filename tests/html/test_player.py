"""Player and text: clicks seek, the word being said is marked, the page scrolls along."""

from __future__ import annotations

import pathlib

from pages import FIXTURES, MEETING, PageTest, long_transcript, meeting, transcript_of, words_of


class Player(PageTest):
    def test_a_click_on_a_word_seeks_and_plays(self) -> None:
        page = self.show_meeting()
        (word,) = [word for word in words_of(meeting()) if word["text"].strip() == "documents"]
        self.click_word(page, "documents")
        self.wait(page, "!document.querySelector('#media').paused")
        self.assertGreaterEqual(self.position(page), word["start"] - 0.02)
        self.assertLess(self.position(page), word["start"] + 1)
        page.get_by_role("button", name="Pause").click()
        self.assertTrue(self.is_paused(page))

    def test_a_click_finds_the_character_at_both_its_ends(self) -> None:
        """Between characters without spaces, the caret belongs to the next one already right of the middle."""
        characters = "今天天气好"
        words = [
            {"start": float(second), "end": second + 1.0, "text": character}
            for second, character in enumerate(characters)
        ]
        transcript = transcript_of([{"start": 0.0, "end": 5.0, "text": characters, "words": words}])
        self.lay_recording("other.ogg")
        page = self.show(self.write(transcript))
        self.wait(page, "document.querySelector('#media').readyState >= 1")
        x, y = self.point(page, "气")
        for offset in (-3, 3):
            page.mouse.click(x + offset, y)
            page.evaluate("document.querySelector('#media').pause()")
            self.assertAlmostEqual(self.position(page), 3, delta=0.4)

    def test_selecting_text_does_not_play(self) -> None:
        page = self.show_meeting()
        x, y = self.point(page, "documents")
        page.mouse.move(x - 30, y)
        page.mouse.down()
        page.mouse.move(x + 60, y)
        page.mouse.up()
        self.assertNotEqual(page.evaluate("String(getSelection())"), "")
        self.assertTrue(self.is_paused(page))

    def test_the_word_being_said_is_marked(self) -> None:
        page = self.show_meeting("#t=7")
        samples = page.evaluate(
            """async () => {
                const media = document.querySelector('#media');
                await media.play();
                const samples = [];
                while (media.currentTime < 11) {
                    await new Promise((done) => setTimeout(done, 40));
                    await new Promise(requestAnimationFrame);
                    samples.push([media.currentTime, Array.from(CSS.highlights.get('word'), String)]);
                }
                media.pause();
                return samples;
            }"""
        )
        words = words_of(meeting())
        seen = set()
        for time, marked in samples:
            # The page may have been painted up to a tenth of a second before the sample.
            near = {word["text"].strip() for word in words if word["start"] - 0.1 <= time <= word["end"] + 0.5}
            self.assertTrue(set(marked) <= near, f"{marked} at {time}, where {near} is said")
            seen.update(marked)
        said = {word["text"].strip() for word in words if 7.1 < word["start"] and word["end"] < 10.8}
        self.assertGreater(len(said), 8)
        self.assertLessEqual(len(said - seen), 2, f"never marked: {said - seen}")

    def test_people_who_speak_at_once_are_both_marked(self) -> None:
        def say(channel: int, start: float, text: str) -> dict[str, object]:
            word = {"start": start, "end": start + 2, "text": text, "confidence": 0.9}
            return {"start": start, "end": start + 2, "channel": channel, "text": text, "words": [word]}

        transcript = transcript_of([say(0, 1.0, "Hello"), say(1, 2.0, "Goodbye")])
        page = self.show(self.write(transcript) + "#t=2.5")
        self.allowed_complaints = ("ERR_FILE_NOT_FOUND",)
        self.allowed_requests.add((self.directory / "other.ogg").as_uri())
        self.assertEqual(sorted(self.marked(page, "word")), ["Goodbye", "Hello"])

    def test_the_page_scrolls_along_unless_that_is_switched_off(self) -> None:
        transcript = long_transcript(1, 10_000)
        transcript["source"]["uri"] = "file:///recordings/meeting.ogg"
        self.lay_recording()
        page = self.show(self.write(transcript))
        page.set_viewport_size({"width": 500, "height": 420})
        self.wait(page, "document.querySelector('#media').readyState >= 1")
        play = """async () => {
            const media = document.querySelector('#media');
            media.playbackRate = 8;
            media.currentTime = 0;
            await media.play();
            await new Promise((done) => media.addEventListener('ended', done));
        }"""
        page.evaluate(play)
        page.wait_for_timeout(600)
        # The last word is in view, and the first is not.
        self.assertGreater(page.evaluate("scrollY"), 200)
        box = page.evaluate(
            "(() => { const box = document.querySelector('.paragraph[aria-current] p').getBoundingClientRect();"
            " return [box.bottom, box.top]; })()"
        )
        self.assertGreater(box[0], 0)
        self.assertLess(box[1], 420)
        page.get_by_label("Follow").uncheck()
        page.evaluate("scrollTo({ top: 0, behavior: 'instant' })")
        page.evaluate(play)
        page.wait_for_timeout(600)
        self.assertEqual(page.evaluate("scrollY"), 0)

    def test_links_to_a_moment(self) -> None:
        page = self.show_meeting("#t=8.6")
        self.assertAlmostEqual(self.position(page), 8.6, delta=0.01)
        page.evaluate("location.hash = '#t=0:19.5'")
        self.wait(page, "Math.abs(document.querySelector('#media').currentTime - 19.5) < .01")
        page.evaluate("location.hash = '#t=1e9'")
        page.evaluate("location.hash = '#t=999:0'")
        self.wait(page, "document.querySelector('#media').currentTime > 29")
        page.get_by_role("link", name="0:07").click()
        self.assertEqual(page.evaluate("location.hash"), "#t=7.02")
        self.wait(page, "!document.querySelector('#media').paused")

    def test_without_the_recording_the_reader_chooses_a_file(self) -> None:
        self.allowed_complaints = ("ERR_FILE_NOT_FOUND",)
        self.allowed_requests.add((self.directory / "meeting.ogg").as_uri())
        page = self.show(self.write(meeting()))
        page.get_by_text("meeting.ogg is not beside this page.").wait_for()
        self.assertFalse(page.get_by_role("button", name="Play", exact=True).is_visible())
        page.get_by_label("Choose the recording").set_input_files(MEETING)
        self.wait(page, "document.querySelector('#media').duration > 29")
        self.click_word(page, "documents")
        self.wait(page, "!document.querySelector('#media').paused")

    def test_a_page_without_a_recording(self) -> None:
        url = self.write(meeting())
        path = self.directory / "page.html"
        path.write_text(path.read_text().replace(' controls src="./meeting.ogg"', ""))
        page = self.show(url)
        self.assertFalse(page.get_by_role("button", name="Play", exact=True).is_visible())
        self.assertEqual(page.locator("#message").inner_text(), "")
        self.click_word(page, "documents")
        self.assertEqual(self.marked(page, "word"), ["documents"])
        page.get_by_label("Choose the recording").set_input_files(MEETING)
        self.wait(page, "document.querySelector('#media').duration > 29")
        self.assertTrue(page.get_by_role("button", name="Play", exact=True).is_visible())

    def test_a_recording_in_the_page(self) -> None:
        recording = FIXTURES / "speech" / "sentence.wav"
        page = self.show(self.write(meeting(), recording=recording))
        self.wait(page, "document.querySelector('#media').duration > 3")
        page.get_by_role("button", name="Play", exact=True).click()
        self.wait(page, "document.querySelector('#media').currentTime > .2")

    def test_video_shows_its_picture(self) -> None:
        self.show_video("video.webm", FIXTURES / "audio" / "silent-video.webm", True)
        self.show_video("audio.mp4", FIXTURES / "speech" / "sentence.mp4", False)

    def show_video(self, name: str, source: pathlib.Path, has_picture: bool) -> None:
        transcript = meeting()
        transcript["source"].update(uri=f"file:///recordings/{name}", container=name.split(".")[1])
        self.lay_recording(name, source)
        page = self.show(self.write(transcript, name=f"{name}.html"))
        self.wait(page, "document.querySelector('#media').readyState >= 1")
        self.assertEqual(page.locator("video").is_visible(), has_picture, name)

    def test_speed(self) -> None:
        page = self.show_meeting()
        page.get_by_label("Speed").select_option("1.5")
        self.assertEqual(page.evaluate("document.querySelector('#media').playbackRate"), 1.5)
