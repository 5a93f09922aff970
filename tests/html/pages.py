"""Pages for the tests, made by the real renderer, and Chromium to show them."""

from __future__ import annotations

import copy
import json
import os
import pathlib
import shlex
import shutil
import subprocess
import tempfile
import time
import unittest
from typing import Any

from playwright.sync_api import Browser, BrowserContext, Page, Request, sync_playwright

FIXTURES = pathlib.Path(__file__).parent.parent / "fixtures"
MEETING = FIXTURES / "html" / "meeting.ogg"

Transcript = dict[str, Any]


def meeting() -> Transcript:
    """Returns the transcript of a real conversation of 30 seconds."""
    transcript: Transcript = json.loads(MEETING.with_name("meeting.ogg.json").read_text())
    return transcript


def words_of(transcript: Transcript) -> list[Transcript]:
    return [word for segment in transcript["segments"] for word in segment.get("words", [])]


def transcript_of(segments: list[Transcript]) -> Transcript:
    """Returns a transcript with other segments than those of the meeting."""
    transcript = copy.deepcopy(meeting())
    transcript["segments"] = [{"id": id, "confidence": 0.9, **segment} for id, segment in enumerate(segments)]
    transcript["source"]["uri"] = "file:///recordings/other.ogg"
    return transcript


def long_transcript(hours: int, words: int) -> Transcript:
    """Returns a conversation of two people, in segments of ten words."""
    vocabulary = [word["text"].strip() for word in words_of(meeting())]
    step = hours * 3600 / words
    segments = []
    for first in range(0, words, 10):
        said = [
            {
                "start": round((first + i) * step, 3),
                "end": round((first + i + 0.9) * step, 3),
                "text": vocabulary[(first * 7 + i) % len(vocabulary)],
                "confidence": (first + i * 37) % 100 / 100,
            }
            for i in range(10)
        ]
        segments.append(
            {
                "start": said[0]["start"],
                "end": said[-1]["end"],
                "speaker": first // 50 % 2,
                "language": "en",
                "text": " ".join(str(word["text"]) for word in said),
                "words": said,
            }
        )
    transcript = transcript_of(segments)
    transcript["source"]["duration"] = hours * 3600.0
    return transcript


def render(transcript: Transcript, recording: pathlib.Path | None = None) -> bytes:
    """Returns the page; with a recording, it is a part of the page."""
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(transcript, file)
        file.flush()
        command = [*shlex.split(os.environ["RENDER_HTML"]), file.name]
        if recording:
            command.append(str(recording))
        return subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout


class PageTest(unittest.TestCase):
    """A test with a browser. A page may load itself and its recording, and log nothing; that is checked after each test."""

    browser: Browser
    context: BrowserContext
    requests: list[str]
    complaints: list[str]

    @classmethod
    def setUpClass(cls) -> None:
        playwright = sync_playwright().start()
        cls.addClassCleanup(playwright.stop)
        arguments = ["--autoplay-policy=no-user-gesture-required", "--mute-audio"]
        cls.browser = playwright.chromium.launch(executable_path=os.environ["CHROMIUM"], args=arguments)
        cls.addClassCleanup(cls.browser.close)

    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = pathlib.Path(directory.name)
        self.requests, self.complaints = [], []
        self.allowed_complaints: tuple[str, ...] = ()
        self.allowed_requests = {"data:", "blob:"}
        self.context = self.new_context()

    def tearDown(self) -> None:
        complaints = [line for line in self.complaints if not any(known in line for known in self.allowed_complaints)]
        self.assertEqual(complaints, [], "what the browser complained about")
        strange = [url for url in self.requests if not url.startswith(tuple(self.allowed_requests))]
        self.assertEqual(strange, [], "requests to others")

    def new_context(self, **options: Any) -> BrowserContext:
        options.setdefault("viewport", {"width": 1280, "height": 800})
        context = self.browser.new_context(**options)
        self.addCleanup(context.close)
        context.set_default_timeout(10_000)
        context.on("request", self.note_request)
        context.on("requestfailed", self.forget_if_blocked)
        return context

    def note_request(self, request: Request) -> None:
        self.requests.append(request.url)

    def forget_if_blocked(self, request: Request) -> None:
        # What the policy blocks leaves the page, but not the browser.
        if request.failure and "csp" in request.failure.lower():
            self.requests.remove(request.url)

    def write(self, transcript: Transcript, name: str = "page.html", recording: pathlib.Path | None = None) -> str:
        """Writes the page of a transcript and returns its URL."""
        path = self.directory / name
        path.write_bytes(render(transcript, recording))
        self.allowed_requests.add(path.as_uri())
        return path.as_uri()

    def lay_recording(self, name: str = "meeting.ogg", source: pathlib.Path = MEETING) -> None:
        """Puts a recording beside the page."""
        shutil.copyfile(source, self.directory / name)
        self.allowed_requests.add((self.directory / name).as_uri())

    def show(self, url: str, context: BrowserContext | None = None) -> Page:
        page = (context or self.context).new_page()
        page.on("console", lambda message: self.complaints.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: self.complaints.append(f"error: {error}"))
        page.on("dialog", lambda dialog: (self.complaints.append(f"dialog: {dialog.message}"), dialog.dismiss()))
        page.goto(url)
        return page

    def show_meeting(self, fragment: str = "") -> Page:
        """Shows the meeting with its recording, ready to play."""
        self.lay_recording()
        page = self.show(self.write(meeting()) + fragment)
        self.wait(page, "document.querySelector('#media').readyState >= 1")
        return page

    def wait(self, page: Page, expression: str) -> None:
        """Waits until an expression is true. (Playwright's own function needs `eval`, which the policy forbids.)"""
        deadline = time.monotonic() + 10
        while not page.evaluate(expression):
            self.assertLess(time.monotonic(), deadline, f"never became true: {expression}")
            page.wait_for_timeout(30)

    def point(self, page: Page, text: str, occurrence: int = 0) -> tuple[float, float]:
        """Returns the middle of a text in the transcript, scrolled into view."""
        box = page.evaluate(
            """([text, occurrence]) => {
                for (const element of document.querySelectorAll('#transcript .s')) {
                    for (let at = -1; (at = element.textContent.indexOf(text, at + 1)) >= 0; ) {
                        if (occurrence-- > 0) continue;
                        element.scrollIntoView({ block: 'center', behavior: 'instant' });
                        const range = new Range();
                        range.setStart(element.firstChild, at);
                        range.setEnd(element.firstChild, at + text.length);
                        const { x, y, width, height } = range.getBoundingClientRect();
                        return [x + width / 2, y + height / 2];
                    }
                }
                return null;
            }""",
            [text, occurrence],
        )
        self.assertIsNotNone(box, f"{text!r} is not in the page")
        return box[0], box[1]

    def click_word(self, page: Page, text: str, occurrence: int = 0) -> None:
        page.mouse.click(*self.point(page, text, occurrence))

    @staticmethod
    def marked(page: Page, name: str) -> list[str]:
        """Returns the texts that a highlight marks."""
        texts: list[str] = page.evaluate("name => Array.from(CSS.highlights.get(name), String)", name)
        return texts

    @staticmethod
    def position(page: Page) -> float:
        """Returns the position of the recording in seconds."""
        return float(page.evaluate("document.querySelector('#media').currentTime"))

    @staticmethod
    def is_paused(page: Page) -> bool:
        return bool(page.evaluate("document.querySelector('#media').paused"))
