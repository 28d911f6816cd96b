"""What a page must fulfil so that everyone can read it: checks of its HTML, without a browser.

The rules are those of WCAG 2.2 that a program can decide from the text (1.1.1, 1.3.1, 1.4.3,
1.4.10, 2.1.1, 2.4.1, 2.4.2, 3.1.1, 4.1.2); each gives complaints, none where the page is in order.
"""

import itertools
import re
from dataclasses import dataclass, field
from html.parser import HTMLParser

VOID = {"meta", "img", "br", "link", "hr", "input"}
HEADINGS = ("h1", "h2", "h3", "h4", "h5", "h6")
LEAST_CONTRAST = 4.5
TEXT_COLORS = ("ink", "quiet", "link")
BACKGROUNDS = ("page", "shade")


@dataclass
class Element:
    tag: str
    attributes: dict
    parent: "Element | None"
    children: list = field(default_factory=list)
    texts: list = field(default_factory=list)

    def all(self, *tags):
        found = [self] if not tags or self.tag in tags else []
        return found + [element for child in self.children for element in child.all(*tags)]

    @property
    def text(self):
        return " ".join([*self.texts, *(child.text for child in self.children)]).strip()

    def ancestors(self):
        element = self.parent
        while element is not None:
            yield element
            element = element.parent

    def classes(self):
        return (self.attributes.get("class") or "").split()


class Reader(HTMLParser):
    """Reads a page into a tree; what is not closed in order is an error."""

    def __init__(self, text):
        super().__init__()
        self.root = self.at = Element("", {}, None)
        self.feed(text)
        assert self.at is self.root, f"<{self.at.tag}> is never closed"

    def handle_starttag(self, tag, attributes):
        names = [name for name, _ in attributes]
        assert len(names) == len(set(names)), f"<{tag}> repeats an attribute"
        element = Element(tag, dict(attributes), self.at)
        self.at.children.append(element)
        if tag not in VOID:
            self.at = element

    def handle_endtag(self, tag):
        assert self.at.tag == tag, f"</{tag}> closes <{self.at.tag}>"
        self.at = self.at.parent

    def handle_data(self, data):
        self.at.texts.append(data)


def complaints(text):
    """Everything that is wrong with a page."""
    page = Reader(text).root
    found = []
    for check in (language, landmarks, headings, images, tables, links, scrolling):
        found += [f"{check.__name__}: {complaint}" for complaint in check(page)]
    return found + [f"contrast: {complaint}" for complaint in contrasts(text)]


def language(page):
    (html,) = page.all("html")
    if not html.attributes.get("lang"):
        yield "the page does not say its language"
    if not [title for title in page.all("title") if title.text]:
        yield "no title"
    views = [m for m in page.all("meta") if m.attributes.get("name") == "viewport"]
    if not views or "user-scalable=no" in views[0].attributes["content"]:
        yield "no viewport, or one that cannot be enlarged"


def landmarks(page):
    for tag in ("header", "main", "footer"):
        if len(page.all(tag)) != 1:
            yield f"{len(page.all(tag))} <{tag}>"
    for nav in page.all("nav"):
        if not nav.attributes.get("aria-label"):
            yield "a <nav> without a name"
    (body,) = page.all("body")
    for child in body.children:
        if child.tag not in ("header", "main", "footer", "nav"):
            yield f"<{child.tag}> lies outside of all landmarks"


def headings(page):
    levels = [int(heading.tag[1]) for heading in page.all(*HEADINGS)]
    if levels[:1] != [1] or levels.count(1) != 1:
        yield "the first heading is not the only h1"
    for before, after in itertools.pairwise(levels):
        if after > before + 1:
            yield f"h{after} follows h{before}"
    if [heading for heading in page.all(*HEADINGS) if not heading.text]:
        yield "an empty heading"


def images(page):
    for image in page.all("img"):
        if not (image.attributes.get("alt") or "").strip():
            yield "an image without alternative text"


def tables(page):
    for table in page.all("table"):
        captions = [child for child in table.children if child.tag == "caption"]
        if len(captions) != 1 or not captions[0].text:
            yield "a table without a caption"
        for head in table.all("th"):
            if head.attributes.get("scope") not in ("col", "row", "rowgroup"):
                yield f"th {head.text!r} has no scope"
            if not head.text:
                yield "an empty th"
        widths = set()
        for row in table.all("tr"):
            cells = [child for child in row.children if child.tag in ("th", "td")]
            widths.add(sum(int(cell.attributes.get("colspan", 1)) for cell in cells))
        if len(widths) != 1:
            yield f"rows of {sorted(widths)} cells in one table"


def links(page):
    ids = [e.attributes["id"] for e in page.all() if "id" in e.attributes]
    if len(ids) != len(set(ids)):
        yield "an id is used twice"
    for link in page.all("a"):
        target = link.attributes.get("href") or ""
        if not target.startswith("#") or target[1:] not in ids:
            yield f"a link to {target!r}, which is not on the page"
        if not link.text:
            yield "a link without text"
    for element in page.all():
        if element.attributes.get("aria-labelledby", ids[0] if ids else "") not in ids:
            yield f"<{element.tag}> is named by what is not there"


def scrolling(page):
    """What may be wider than a telephone lies in a box that scrolls, and that keys can reach."""
    for element in page.all("table", "pre", "img"):
        wide = element.tag != "img" or "min-width" in element.attributes.get("style", "")
        boxes = [element, *element.ancestors()] if element.tag == "pre" else element.ancestors()
        around = [box for box in boxes if box.tag == "pre" or "scroll" in box.classes()]
        if wide and not around:
            yield f"a <{element.tag}> that cannot scroll"
        for box in around:
            if box.attributes.get("tabindex") != "0":
                yield "a box that scrolls and cannot be reached with keys"
            if box.attributes.get("role") != "region" or not box.attributes.get("aria-label"):
                yield "a box that scrolls without role and name"


def luminance(color):
    channels = [int(color[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return sum(weight * c for weight, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(one, other):
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def palettes(text):
    """Colours by name, for light and dark."""
    blocks = re.findall(r":root \{[^}]*\}", text)
    return [dict(re.findall(r"--(\w+): (#[0-9a-f]{6});", block)) for block in blocks]


def contrasts(text):
    found = palettes(text)
    if len(found) != 2:
        yield f"{len(found)} palettes: expected one for light and one for dark"
    for colors in found:
        for name in TEXT_COLORS:
            for ground in BACKGROUNDS:
                ratio = contrast(colors[name], colors[ground])
                if ratio < LEAST_CONTRAST:
                    yield f"{name} on {ground}: {ratio:.2f}"
    (style,) = re.findall(r"<style>(.*?)</style>", text, re.DOTALL)
    for rule in re.findall(r"(?<![-\w])color: ([^;}]+)", style):
        if rule.strip().removeprefix("var(--").rstrip(")") not in TEXT_COLORS:
            yield f"text in {rule}, whose contrast nobody checks"
