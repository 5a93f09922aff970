"""Hostile text stays text: no dialog, no script, no request. PageTest checks that for each page; here is the text."""

from __future__ import annotations

from pages import PageTest, Transcript, meeting

HOSTILE = [
    "<script>alert(1)</script>",
    "</script><script>alert(2)</script>",
    "<!--<script>alert(3)",
    "<img src=x onerror=alert(4)>",
    "\"' autofocus onfocus=alert(5) x=\"",
    "</p></div></main><iframe src=https://evil.example/>",
    "<link rel=stylesheet href=https://evil.example/x.css>",
    "<meta http-equiv=refresh content='0;url=https://evil.example/'>",
    "<base href=https://evil.example/>",
    "javascript:alert(6)",
    "{{script}}{{data}}",
    "a\u2028b\u2029c",
    "&lt;b&gt; &amp;",
    "${alert(7)} `x` \\u003cscript>",
]


def hostile() -> Transcript:
    """Returns the meeting with hostile text wherever a transcript has text."""
    transcript = meeting()
    everything = " ".join(HOSTILE)
    for segment in transcript["segments"]:
        segment.update(text=everything, language=everything, event=everything, emotion=everything)
        for word in segment["words"]:
            word["text"] = everything
    transcript["source"].update(uri=f"file:///a/{everything.replace('/', '%2F')}.ogg", etag=everything, container=everything)
    transcript["source"].update(codec=everything, warnings=[everything])
    transcript["pipeline"].update(recognizer=everything, fingerprint=everything, version=everything)
    for speaker in transcript["speakers"]:
        speaker.update(label=HOSTILE[3], name=HOSTILE[1])
    return transcript


class Safety(PageTest):
    def test_hostile_text_stays_text(self) -> None:
        self.allowed_complaints = ("ERR_FILE_NOT_FOUND", "ERR_INVALID_URL")
        self.allowed_requests.add(self.directory.as_uri() + "/%3Cscript%3E")
        page = self.show(self.write(hostile()))
        page.get_by_role("searchbox").fill("<script>")
        page.wait_for_timeout(500)
        self.assertIn(" of ", page.locator("#hits").inner_text())
        shown = page.locator("#transcript p .s").first.inner_text()
        for text in HOSTILE:
            self.assertIn(text.replace("\u2028", " ").replace("\u2029", " "), shown)
        for name in ("img", "iframe", "base", "#transcript script", "link[rel=stylesheet]"):
            self.assertEqual(page.locator(name).count(), 0, name)
        self.assertEqual(page.locator("script").count(), 2)
        self.assertEqual(page.locator("meta[http-equiv]").count(), 1)

    def test_the_policy_stops_what_a_mistake_would_let_through(self) -> None:
        """If text did become markup, nothing of it would run or load."""
        url = self.write(meeting())
        path = self.directory / "page.html"
        injected = (
            "<script>alert(1)</script><img src=x onerror=alert(2)><img src=https://evil.example/a>"
            "<iframe src=https://evil.example/b></iframe><link rel=stylesheet href=https://evil.example/c>"
        )
        path.write_text(path.read_text().replace("</main>", injected + "</main>"))
        self.lay_recording()
        self.allowed_complaints = ("Content Security Policy",)
        page = self.show(url)
        page.wait_for_timeout(500)
        self.assertGreaterEqual(len(self.complaints), 5, "the policy was broken, and the browser says so")
