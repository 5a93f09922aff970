
"use strict";
(() => {
  const byId = (id) => document.getElementById(id);
  const data = JSON.parse(byId("data").textContent);
  const main = byId("transcript");

  // ---------- Units: what is shown and sought as one ----------

  const PER_WORD = 5; // numbers: offset, length, start, duration, percent
  const elements = Array.from(main.querySelectorAll(".s"));
  const units = elements.map((element, index) => {
    const [start, end, percent, words] = data.units[index];
    return { element, start, end, percent, words, paragraph: element.parentElement };
  });
  const unitOf = new Map(elements.map((element, index) => [element, index]));
  // Latest end of the units so far: units of several channels overlap.
  let latest = 0;
  const latestEnd = units.map((unit) => (latest = Math.max(latest, unit.end)));

  /** Returns the index of the last unit that starts at or before `time`; -1 if there is none. */
  function lastUnitAt(time) {
    let low = 0;
    let high = units.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (units[middle].start <= time) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }

  /** Returns the indices of the units in which somebody speaks at `time`. */
  function unitsAt(time) {
    const found = [];
    for (let i = lastUnitAt(time); i >= 0 && latestEnd[i] > time && found.length < 16; i--) {
      if (units[i].end > time) found.push(i);
    }
    return found;
  }

  const HELD = 400; // ms for which a word stays marked after its end, unless the next one begins

  /** Returns the index of the word that is said at `time`; -1 if there is none. */
  function wordAt(unit, time) {
    const words = unit.words;
    let low = 0;
    let high = words.length / PER_WORD;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (unit.start + words[middle * PER_WORD + 2] <= time) low = middle + 1;
      else high = middle;
    }
    if (low === 0) return -1;
    const at = (low - 1) * PER_WORD;
    return time < unit.start + words[at + 2] + words[at + 3] + HELD ? low - 1 : -1;
  }

  /** Returns the index of the word at a place of a unit's text; -1 if there is none. */
  function wordAtOffset(unit, offset) {
    const words = unit.words;
    for (let at = 0; at < words.length; at += PER_WORD) {
      // Punctuation after a word belongs to it.
      const next = at + PER_WORD < words.length ? words[at + PER_WORD] : Infinity;
      if (offset < next) return at / PER_WORD;
    }
    return -1;
  }

  function wholeRange(unit) {
    const range = new Range();
    range.selectNodeContents(unit.element);
    return range;
  }

  function wordRange(unit, word) {
    const text = unit.element.firstChild;
    const offset = unit.words[word * PER_WORD];
    const range = new Range();
    range.setStart(text, offset);
    range.setEnd(text, offset + unit.words[word * PER_WORD + 1]);
    return range;
  }

  // ---------- Marks ----------

  // Browsers without this interface mark whole units, and nothing that is doubtful.
  const canMark = typeof Highlight === "function" && Boolean(CSS.highlights);
  const marks = {};
  ["doubt", "doubtful", "hover", "hit", "hit-now", "word"].forEach((name, priority) => {
    marks[name] = canMark ? new Highlight() : new Set();
    marks[name].priority = priority;
    if (canMark) CSS.highlights.set(name, marks[name]);
  });

  function mark(name, ranges) {
    marks[name].clear();
    for (const range of ranges) marks[name].add(range);
  }

  // ---------- Settings and names that stay in this browser ----------

  function recall(key) {
    try {
      return localStorage.getItem("scriptorium:" + key);
    } catch {
      return null;
    }
  }

  function remember(key, value) {
    try {
      if (value === null) localStorage.removeItem("scriptorium:" + key);
      else localStorage.setItem("scriptorium:" + key, value);
    } catch {
      // Storage is full or forbidden: what was chosen lasts as long as the page.
    }
  }

  // ---------- Messages and the clipboard ----------

  let toastTimer = 0;
  function say(message) {
    clearTimeout(toastTimer);
    byId("toast").textContent = message;
    toastTimer = setTimeout(() => (byId("toast").textContent = ""), 4000);
  }

  async function copy(text, message) {
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      // Pages that were not loaded securely have no clipboard.
      const area = document.createElement("textarea");
      area.value = text;
      document.body.append(area);
      area.select();
      document.execCommand("copy");
      area.remove();
    }
    say(message);
  }

  // ---------- The recording ----------

  const player = byId("player");
  const picture = byId("picture");
  let media = byId("media");
  let isPlayable = false;
  let position = 0; // ms; that of the recording if there is one
  let current = -1; // index of the unit at the position

  function clock(ms) {
    const seconds = Math.floor(ms / 1000);
    const two = (number) => String(number).padStart(2, "0");
    const hours = Math.floor(seconds / 3600);
    const minutes = Math.floor(seconds / 60) % 60;
    return (hours ? hours + ":" + two(minutes) : minutes) + ":" + two(seconds % 60);
  }

  function duration() {
    const ofMedia = isPlayable ? media.duration * 1000 : NaN;
    return Number.isFinite(ofMedia) && ofMedia > 0 ? ofMedia : latest;
  }

  function showPlayable(isNowPlayable) {
    isPlayable = isNowPlayable;
    main.classList.toggle("playable", isPlayable);
    player.classList.toggle("missing", !isPlayable);
    for (const id of ["back", "play", "ahead", "speed", "seek"]) byId(id).disabled = !isPlayable;
    byId("file-label").hidden = isPlayable;
    player.querySelector(".clock").hidden = !isPlayable;
    byId("message").hidden = isPlayable;
    byId("message").textContent = media.hasAttribute("src") ? `${data.recording} is not beside this page.` : "";
    byId("all").textContent = clock(duration());
    byId("seek").max = duration() / 1000;
    picture.classList.toggle("pictureless", !(isPlayable && media.videoWidth > 0));
    drawStrip();
    showPosition();
  }

  function listenToMedia() {
    picture.classList.add("scripted", "pictureless");
    media.controls = false;
    media.addEventListener("loadedmetadata", () => {
      showPlayable(true);
      if (position > 0 && Math.abs(media.currentTime * 1000 - position) > 50) media.currentTime = position / 1000;
      media.playbackRate = Number(byId("speed").value);
    });
    media.addEventListener("error", () => showPlayable(false));
    media.addEventListener("play", () => {
      showPlaying();
      requestAnimationFrame(tick);
    });
    for (const event of ["pause", "ended"]) media.addEventListener(event, showPlaying);
    for (const event of ["seeked", "timeupdate"]) {
      media.addEventListener(event, () => {
        position = media.currentTime * 1000;
        showPosition();
      });
    }
    // Some browsers load nothing before the reader wants to play.
    showPlayable(media.hasAttribute("src") && !media.error);
  }

  function showPlaying() {
    const isPlaying = !media.paused && !media.ended;
    player.classList.toggle("playing", isPlaying);
    byId("play").setAttribute("aria-label", isPlaying ? "Pause" : "Play");
  }

  function play() {
    // Browsers may refuse to play before the reader has clicked something.
    if (isPlayable) media.play().catch(() => say("Press play to hear the recording."));
  }

  function togglePlay() {
    if (!isPlayable) byId("file").focus();
    else if (media.paused) play();
    else media.pause();
  }

  function seek(ms) {
    position = Math.min(Math.max(ms, 0), duration());
    if (isPlayable) media.currentTime = position / 1000;
    showPosition();
  }

  function tick() {
    if (media.paused || media.ended) return;
    position = media.currentTime * 1000;
    showPosition();
    requestAnimationFrame(tick);
  }

  function setSpeed(step) {
    const speed = byId("speed");
    const index = Math.min(Math.max(speed.selectedIndex + step, 0), speed.options.length - 1);
    speed.selectedIndex = index;
    media.playbackRate = Number(speed.value);
    if (step) say(`Speed ${speed.value}×`);
  }

  byId("play").addEventListener("click", togglePlay);
  byId("back").addEventListener("click", () => seek(position - 5000));
  byId("ahead").addEventListener("click", () => seek(position + 5000));
  byId("speed").addEventListener("change", () => setSpeed(0));
  byId("seek").addEventListener("input", () => {
    seek(byId("seek").value * 1000);
    followNow(true);
  });
  byId("file").addEventListener("change", () => {
    const [file] = byId("file").files;
    if (!file) return;
    if (file.type.startsWith("video/") && media.localName === "audio") {
      const video = document.createElement("video");
      video.id = "media";
      video.preload = "metadata";
      media.replaceWith(video);
      media = video;
      listenToMedia();
    }
    URL.revokeObjectURL(media.src);
    media.src = URL.createObjectURL(file);
  });

  // ---------- The position in the text ----------

  let shownUnits = "";
  let shownAsHere = [];
  let shownSecond = -1;
  let shownParagraph = null;

  function showPosition() {
    const second = Math.floor(position / 100);
    if (second !== shownSecond) {
      shownSecond = second;
      byId("now").textContent = clock(position);
      byId("seek").value = position / 1000;
      byId("seek").setAttribute("aria-valuetext", `${clock(position)} of ${clock(duration())}`);
    }
    const spoken = unitsAt(position);
    const words = spoken.map((index) => wordAt(units[index], position));
    current = spoken.length ? spoken[0] : lastUnitAt(position);
    const key = spoken.map((index, i) => index + ":" + words[i]).join() || "at " + current;
    if (key === shownUnits) return;
    shownUnits = key;
    const ranges = [];
    spoken.forEach((index, i) => {
      if (words[i] >= 0) ranges.push(wordRange(units[index], words[i]));
      else if (!units[index].words.length) ranges.push(wholeRange(units[index]));
    });
    const isStarted = position > 0 || (isPlayable && !media.paused);
    mark("word", isStarted ? ranges : []);
    if (!canMark) {
      for (const index of shownAsHere) units[index].element.classList.remove("here");
      shownAsHere = isStarted ? spoken : [];
      for (const index of shownAsHere) units[index].element.classList.add("here");
    }
    showParagraph(units[current] && units[current].paragraph);
    if (isPlayable && !media.paused) followNow(false);
  }

  /** Makes the time of the current paragraph the one stop of the Tab key in the transcript. */
  function showParagraph(paragraph) {
    if (!paragraph || paragraph === shownParagraph) return;
    if (shownParagraph) {
      shownParagraph.parentElement.removeAttribute("aria-current");
      timeLink(shownParagraph).tabIndex = -1;
    }
    shownParagraph = paragraph;
    paragraph.parentElement.setAttribute("aria-current", "true");
    timeLink(paragraph).tabIndex = 0;
  }

  const timeLink = (paragraph) => paragraph.previousElementSibling.querySelector(".time");
  main.querySelectorAll(".time").forEach((link, index) => (link.tabIndex = index ? -1 : 0));

  // ---------- Scrolling ----------

  const wantsMotion = matchMedia("(prefers-reduced-motion: no-preference)");
  let scrolledByHand = -Infinity;
  for (const event of ["wheel", "touchmove"]) {
    addEventListener(event, () => (scrolledByHand = performance.now()), { passive: true });
  }

  /** Scrolls so that the current word can be seen; unless `isForced`, only if the reader wants that. */
  function followNow(isForced) {
    const isFollowing = byId("follow").checked && performance.now() - scrolledByHand > 3000;
    if (current < 0 || !(isForced || isFollowing)) return;
    const unit = units[current];
    const word = wordAt(unit, position);
    bring(unit.element, word >= 0 ? wordRange(unit, word) : unit.element.firstChild ? wholeRange(unit) : unit.element);
  }

  /** Scrolls to `place`, a range in `element`, unless it is well in view. */
  function bring(element, place) {
    const top = byId("tools").getBoundingClientRect().bottom;
    const bottom = player.getBoundingClientRect().top;
    const box = () => place.getClientRects()[0] || element.getBoundingClientRect();
    const wanted = top + (bottom - top) * 0.3;
    const { top: at, height } = box();
    if (at > top + 8 && at + height < bottom - (bottom - top) * 0.15) return;
    const isFar = Math.abs(at - wanted) > innerHeight * 1.5;
    scrollBy({ top: at - wanted, behavior: isFar || !wantsMotion.matches ? "instant" : "smooth" });
    // Paragraphs that have not been in view yet have an estimated height. Now the height is known.
    if (isFar) requestAnimationFrame(() => scrollBy({ top: box().top - wanted, behavior: "instant" }));
  }

  function step(by) {
    if (!units.length) return;
    const index = Math.min(Math.max(current + by, 0), units.length - 1);
    const hadFocus = main.contains(document.activeElement) && document.activeElement !== main;
    // The start of a unit may be that of others; the position is just inside it.
    seek(units[index].start + 1);
    current = index;
    showParagraph(units[index].paragraph);
    if (hadFocus) timeLink(units[index].paragraph).focus({ preventScroll: true });
    bring(units[index].element, wholeRange(units[index]));
  }

  // ---------- Clicks in the text ----------

  /** Returns the unit and the word at a point of the page. */
  function wordAtPoint(x, y, target) {
    const element = target.closest && target.closest(".s");
    const index = element ? unitOf.get(element) : undefined;
    if (index === undefined) return null;
    const unit = units[index];
    let offset = -1;
    if (document.caretPositionFromPoint) {
      const caret = document.caretPositionFromPoint(x, y);
      if (caret && caret.offsetNode === element.firstChild) offset = caret.offset;
    } else if (document.caretRangeFromPoint) {
      const caret = document.caretRangeFromPoint(x, y);
      if (caret && caret.startContainer === element.firstChild) offset = caret.startOffset;
    }
    let word = offset < 0 ? -1 : wordAtOffset(unit, offset);
    // The caret after the middle of the last letter is already behind the word.
    for (const near of [word - 1, word]) {
      if (near < 0 || near * PER_WORD >= unit.words.length) continue;
      const boxes = Array.from(wordRange(unit, near).getClientRects());
      if (boxes.some((box) => x >= box.left && x <= box.right && y >= box.top && y <= box.bottom)) word = near;
    }
    return { index, unit, word };
  }

  main.addEventListener("click", (event) => {
    const link = event.target.closest(".time");
    if (link) {
      event.preventDefault();
      history.replaceState(null, "", link.getAttribute("href"));
      const first = link.closest(".paragraph").querySelector(".s");
      seek(units[unitOf.get(first)].start);
      play();
      return;
    }
    // Who selects text does not want to hear it.
    if (!getSelection().isCollapsed) return;
    const found = wordAtPoint(event.clientX, event.clientY, event.target);
    if (!found) return;
    const { unit, word } = found;
    seek(unit.start + (word >= 0 ? unit.words[word * PER_WORD + 2] : 0));
    play();
  });

  let hovered = null;
  main.addEventListener("mousemove", (event) => {
    const found = event.buttons ? null : wordAtPoint(event.clientX, event.clientY, event.target);
    const key = found && found.index + ":" + found.word;
    if (key === hovered) return;
    hovered = key;
    const { unit, word } = found || {};
    mark("hover", found && isPlayable ? [word >= 0 ? wordRange(unit, word) : wholeRange(unit)] : []);
    if (!found) return;
    const at = word * PER_WORD;
    const [start, percent] = word >= 0 ? [unit.start + unit.words[at + 2], unit.words[at + 4]] : [unit.start, unit.percent];
    unit.element.title = `${clock(start)}, confidence ${percent} %`;
  });
  main.addEventListener("mouseleave", () => {
    hovered = null;
    mark("hover", []);
  });

  // ---------- Links to a moment: #t=83.2 ----------

  function openLink() {
    const match = /^#t=(?:(?:(\d+):)?(\d+):)?(\d+(?:\.\d+)?)$/.exec(decodeURIComponent(location.hash));
    if (!match) return;
    const [hours, minutes, seconds] = match.slice(1).map((part) => Number(part || 0));
    seek(((hours * 60 + minutes) * 60 + seconds) * 1000);
    requestAnimationFrame(() => followNow(true));
  }
  addEventListener("hashchange", openLink);

  function copyLink() {
    const hash = `#t=${Math.floor(position / 100) / 10}`;
    history.replaceState(null, "", hash);
    copy(location.href, `Copied the link to ${clock(position)}`);
  }

  // ---------- What is in view: doubtful words and hits are marked there only ----------

  const paragraphs = Array.from(main.querySelectorAll(".paragraph > p"));
  const paragraphIndex = new Map(paragraphs.map((paragraph, index) => [paragraph, index]));
  const unitsOfParagraph = paragraphs.map(() => []);
  for (const unit of units) {
    const index = paragraphIndex.get(unit.paragraph);
    if (index !== undefined) unitsOfParagraph[index].push(unit);
  }
  const inView = new Map(); // index of the paragraph: its ranges, by mark

  function markParagraph(index) {
    unmarkParagraph(index);
    const ranges = { doubt: [], doubtful: [], hit: hitRanges(index) };
    if (byId("doubt").checked) {
      const threshold = Number(byId("threshold").value);
      const add = (percent, range) => {
        if (percent < threshold) ranges[percent < threshold / 2 ? "doubtful" : "doubt"].push(range());
      };
      for (const unit of unitsOfParagraph[index]) {
        const count = unit.words.length / PER_WORD;
        for (let word = 0; word < count; word++) add(unit.words[word * PER_WORD + 4], () => wordRange(unit, word));
        if (!count) add(unit.percent, () => wholeRange(unit));
      }
    }
    for (const name in ranges) for (const range of ranges[name]) marks[name].add(range);
    inView.set(index, ranges);
  }

  function unmarkParagraph(index) {
    const ranges = inView.get(index);
    for (const name in ranges) for (const range of ranges[name]) marks[name].delete(range);
    inView.delete(index);
  }

  const markAgain = () => Array.from(inView.keys()).forEach(markParagraph);

  const observer = new IntersectionObserver(
    (entries) => {
      for (const entry of entries) {
        const index = paragraphIndex.get(entry.target.lastElementChild);
        if (entry.isIntersecting) markParagraph(index);
        else unmarkParagraph(index);
      }
    },
    { rootMargin: "50% 0px" },
  );
  if (canMark) for (const paragraph of paragraphs) observer.observe(paragraph.parentElement);

  byId("doubt").checked = recall("doubt") !== "off";
  byId("threshold").value = recall("threshold") || 50;
  function showDoubt() {
    byId("threshold-shown").textContent = `< ${byId("threshold").value} %`;
    byId("threshold").disabled = !byId("doubt").checked;
    markAgain();
  }
  byId("doubt").addEventListener("change", () => {
    remember("doubt", byId("doubt").checked ? null : "off");
    showDoubt();
  });
  byId("threshold").addEventListener("input", () => {
    remember("threshold", byId("threshold").value);
    showDoubt();
  });
  byId("doubt-tools").hidden = !canMark;

  // ---------- Search ----------

  let hits = []; // [index of the paragraph, start, end] in its text
  let hitsOf = new Map(); // index of the paragraph: its hits
  let hit = -1;
  const texts = new Map();

  /** Returns the text of a paragraph, and where each of its text nodes begins. */
  function textOf(index) {
    if (!texts.has(index)) {
      const walker = document.createTreeWalker(paragraphs[index], NodeFilter.SHOW_TEXT);
      const nodes = [];
      let text = "";
      while (walker.nextNode()) {
        nodes.push({ node: walker.currentNode, at: text.length });
        text += walker.currentNode.data;
      }
      texts.set(index, { text, nodes });
    }
    return texts.get(index);
  }

  function hitRange([index, start, end]) {
    const { nodes } = textOf(index);
    const place = (offset) => {
      let index = nodes.length - 1;
      while (index > 0 && nodes[index].at > offset) index--;
      return [nodes[index].node, offset - nodes[index].at];
    };
    const range = new Range();
    range.setStart(...place(start));
    range.setEnd(...place(end));
    return range;
  }

  function hitRanges(index) {
    return (hitsOf.get(index) || []).map(hitRange);
  }

  function search() {
    const query = byId("query").value.trim();
    hits = [];
    hitsOf = new Map();
    hit = -1;
    if (query) {
      const literal = query.replace(/[\\^$.*+?()[\]{}|\/]/g, "\\$&").replace(/\s+/g, "\\s+");
      const pattern = new RegExp(literal, "giu");
      paragraphs.forEach((_, index) => {
        const found = Array.from(textOf(index).text.matchAll(pattern), (match) => [index, match.index, match.index + match[0].length]);
        if (found.length) hitsOf.set(index, found);
        for (const one of found) hits.push(one);
      });
    }
    markAgain();
    mark("hit-now", []);
    for (const id of ["hit-previous", "hit-next"]) byId(id).disabled = !hits.length;
    if (hits.length) {
      // The first hit that is not above the view.
      const top = byId("tools").getBoundingClientRect().bottom;
      const isBelow = (index) => paragraphs[index].getBoundingClientRect().bottom > top;
      let low = 0;
      let high = paragraphs.length;
      while (low < high) {
        const middle = (low + high) >> 1;
        if (isBelow(middle)) high = middle;
        else low = middle + 1;
      }
      const first = hits.findIndex(([index]) => index >= low);
      showHit(Math.max(first, 0));
    } else {
      byId("hits").textContent = query ? "no hits" : "";
    }
  }

  function showHit(index) {
    if (!hits.length) return;
    hit = (index + hits.length) % hits.length;
    const range = hitRange(hits[hit]);
    mark("hit-now", [range]);
    byId("hits").textContent = `${(hit + 1).toLocaleString("en")} of ${hits.length.toLocaleString("en")}`;
    scrolledByHand = performance.now();
    bring(paragraphs[hits[hit][0]], range);
  }

  let searchTimer = 0;
  byId("query").addEventListener("input", () => {
    clearTimeout(searchTimer);
    searchTimer = setTimeout(search, 150);
  });
  byId("query").addEventListener("keydown", (event) => {
    if (event.key === "Enter") {
      event.preventDefault();
      showHit(hit + (event.shiftKey ? -1 : 1));
    } else if (event.key === "Escape") {
      byId("query").value = "";
      search();
      main.focus({ preventScroll: true });
    }
  });
  byId("hit-next").addEventListener("click", () => showHit(hit + 1));
  byId("hit-previous").addEventListener("click", () => showHit(hit - 1));

  // ---------- Speakers ----------

  const MAX_NAME = 100;
  const namesKey = "names:" + data.identity;
  const given = new Map(); // index of the person: name given by the reader

  const nameOf = (index) => given.get(index) || data.people[index].name;

  function showName(index) {
    for (const name of main.querySelectorAll(`.paragraph[data-person="${index}"] > .who > .name`)) {
      name.textContent = nameOf(index);
    }
  }

  function rename(index, text) {
    const name = text.replace(/[\p{C}\p{Zl}\p{Zp}]/gu, "").trim().slice(0, MAX_NAME);
    if (name && name !== data.people[index].name) given.set(index, name);
    else given.delete(index);
    showName(index);
  }

  function rememberNames() {
    remember(namesKey, given.size ? JSON.stringify(Object.fromEntries(given)) : null);
  }

  function recallNames() {
    let names = {};
    try {
      names = JSON.parse(recall(namesKey)) || {};
    } catch {
      // Not what this page wrote.
    }
    data.people.forEach((_, index) => {
      if (typeof names[index] === "string") rename(index, names[index]);
    });
  }

  function makeNamesEditable() {
    const items = byId("people").querySelectorAll("li");
    data.people.forEach((person, index) => {
      const input = document.createElement("input");
      input.type = "text";
      input.value = nameOf(index);
      input.placeholder = person.name;
      input.maxLength = MAX_NAME;
      input.dir = "auto";
      input.autocomplete = "off";
      input.spellcheck = false;
      input.title = "Click to change the name";
      input.setAttribute("aria-label", `Name of ${person.name}`);
      input.addEventListener("input", () => {
        rename(index, input.value);
        rememberNames();
      });
      input.addEventListener("blur", () => (input.value = nameOf(index)));
      input.addEventListener("keydown", (event) => {
        if (event.key === "Enter" || event.key === "Escape") input.blur();
      });
      items[index].querySelector(".name").replaceWith(input);
    });
    // The command knows speakers, not channels.
    byId("people-tools").hidden = !data.people.some((person) => person.id !== null);
  }

  /** Quotes a word for a POSIX shell. */
  const quoted = (word) => (/^[\w@%+=:,.\/-]+$/.test(word) ? word : `'${word.replace(/'/g, `'\\''`)}'`);

  byId("copy-names").addEventListener("click", () => {
    const names = data.people.flatMap((person, index) =>
      person.id !== null && (given.has(index) || person.named) ? ["--speaker-name", quoted(`${person.id}=${nameOf(index)}`)] : [],
    );
    if (!names.length) return say("Click a name above to change it first.");
    // Without a folder, a name such as `-x.json` would be an option.
    const file = data.recording.startsWith("-") ? "./" + data.recording : data.recording;
    copy(["scriptorium convert", quoted(file + ".json"), ...names, "--format html"].join(" "), "Copied the command");
  });

  byId("copy").addEventListener("click", () => {
    const lines = paragraphs.map((paragraph) => {
      const person = paragraph.parentElement.dataset.person;
      return (person === undefined ? "" : nameOf(Number(person)) + ": ") + paragraph.textContent;
    });
    copy(lines.join("\n") + "\n", "Copied the text");
  });

  // ---------- Colours ----------

  const themes = { auto: "as the system", light: "light", dark: "dark" };
  let theme = Object.hasOwn(themes, recall("theme") || "") ? recall("theme") : "auto";

  function showTheme() {
    if (theme === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
    const label = "Colours: " + themes[theme];
    byId("theme").setAttribute("aria-label", label);
    byId("theme").title = label;
    drawStrip();
  }

  byId("theme").addEventListener("click", () => {
    const names = Object.keys(themes);
    theme = names[(names.indexOf(theme) + 1) % names.length];
    remember("theme", theme === "auto" ? null : theme);
    showTheme();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => drawStrip());

  /** Draws who speaks when. */
  function drawStrip() {
    const strip = byId("strip");
    const { width, height } = strip.getBoundingClientRect();
    if (!width) return;
    strip.width = width * devicePixelRatio;
    strip.height = height * devicePixelRatio;
    const pen = strip.getContext("2d");
    const scale = strip.width / Math.max(duration(), 1);
    const colours = new Map();
    for (const unit of units) {
      const { person } = unit.paragraph.parentElement.dataset;
      if (!colours.has(person)) {
        const style = getComputedStyle(unit.paragraph.previousElementSibling.querySelector(".name") || unit.paragraph);
        colours.set(person, style.color);
      }
      pen.fillStyle = colours.get(person);
      pen.globalAlpha = person === undefined ? 0.35 : 0.8;
      pen.fillRect(unit.start * scale, strip.height * 0.3, Math.max((unit.end - unit.start) * scale, 1), strip.height * 0.4);
    }
  }
  addEventListener("resize", drawStrip);

  // ---------- Keys and help ----------

  const help = byId("help-dialog");
  byId("help").addEventListener("click", () => help.showModal());
  byId("help-close").addEventListener("click", () => help.close());
  byId("keys").checked = recall("keys") !== "off";
  byId("keys").addEventListener("change", () => remember("keys", byId("keys").checked ? null : "off"));

  const keys = {
    " ": togglePlay,
    k: togglePlay,
    j: () => seek(position - 5000),
    l: () => seek(position + 5000),
    ArrowLeft: () => seek(position - 5000),
    ArrowRight: () => seek(position + 5000),
    ArrowUp: () => step(-1),
    ArrowDown: () => step(1),
    "<": () => setSpeed(-1),
    ">": () => setSpeed(1),
    "/": () => byId("query").select(),
    "?": () => help.showModal(),
    c: copyLink,
  };

  /** Whether the element with the focus needs the key itself. */
  function isTaken(key, element) {
    if (element.matches("select, textarea, input:not([type=checkbox], [type=range])")) return true;
    if (element.matches("input[type=range]")) return key.startsWith("Arrow");
    return element.matches("button, summary, input[type=checkbox]") && key === " ";
  }

  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || help.open) return;
    if (!byId("keys").checked || !Object.hasOwn(keys, event.key)) return;
    if (event.target instanceof Element && isTaken(event.key, event.target)) return;
    event.preventDefault();
    keys[event.key]();
  });

  // ---------- Start ----------

  const names = typeof Intl.DisplayNames === "function" && new Intl.DisplayNames(["en"], { type: "language" });
  for (const code of document.querySelectorAll("[data-language]")) {
    try {
      if (names) code.textContent = names.of(code.textContent);
    } catch {
      // Not a code that the browser knows.
    }
  }
  byId("tools").hidden = false;
  player.hidden = false;
  recallNames();
  makeNamesEditable();
  showTheme();
  showDoubt();
  listenToMedia();
  openLink();
})();
