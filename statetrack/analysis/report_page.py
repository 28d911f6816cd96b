"""The empty page of a report: structure and style, without any outside reference."""

from string import Template

LIGHT = {
    "page": "#ffffff",
    "shade": "#f3f4f6",
    "ink": "#1a1a1a",
    "quiet": "#565b63",
    "link": "#0a4fb0",
    "line": "#d4d7dc",
}
DARK = {
    "page": "#15171a",
    "shade": "#22262b",
    "ink": "#eceef0",
    "quiet": "#a9b0b9",
    "link": "#8ab8ff",
    "line": "#3a4048",
}
TEXT_COLORS = ("ink", "quiet", "link")
BACKGROUNDS = ("page", "shade")


def _variables(colors: dict[str, str]) -> str:
    return " ".join(f"--{name}: {color};" for name, color in colors.items())


_STYLE = """
:root { color-scheme: light dark; LIGHT }
@media screen and (prefers-color-scheme: dark) { :root { DARK } }
* { box-sizing: border-box; }
html { scroll-padding-top: 1rem; -webkit-text-size-adjust: 100%; }
body { margin: 0; background: var(--page); color: var(--ink); line-height: 1.5;
  font-family: system-ui, -apple-system, "Segoe UI", Roboto, "Liberation Sans", sans-serif; }
header, main, footer { max-width: 68rem; margin: 0 auto; padding: 0 1rem; }
header { padding-top: 2rem; }
main { padding-bottom: 2rem; }
footer { padding-bottom: 3rem; color: var(--quiet); font-size: .9rem; }
h1 { font-size: 1.75rem; line-height: 1.2; margin: 0 0 .6rem; max-width: 46rem;
  overflow-wrap: anywhere; text-wrap: balance; }
h2 { font-size: 1.25rem; line-height: 1.3; margin: 2.8rem 0 .6rem; padding-top: .7rem;
  border-top: 1px solid var(--line); overflow-wrap: anywhere; }
p, ul { max-width: 44rem; margin: .5rem 0; overflow-wrap: anywhere; }
p { white-space: pre-line; }
ul { padding-left: 1.2rem; }
li { margin: .3rem 0; }
a { color: var(--link); text-underline-offset: .15em; }
a:focus-visible, .scroll:focus-visible, pre:focus-visible, summary:focus-visible {
  outline: 2px solid var(--link); outline-offset: 2px; }
.facts { display: grid; grid-template-columns: repeat(auto-fit, minmax(7.6rem, 1fr)); gap: .6rem;
  margin: 1.2rem 0; }
.facts div { background: var(--shade); border-radius: .4rem; padding: .55rem .6rem; }
.facts dt { color: var(--quiet); font-size: .82rem; }
.facts dd { margin: 0; font-weight: 600; overflow-wrap: anywhere; }
nav ul { display: flex; flex-wrap: wrap; gap: .1rem 1.1rem; list-style: none; padding: 0;
  max-width: none; margin: 1rem 0 0; font-size: .95rem; }
nav a { display: inline-block; padding: .3rem 0; }
.figures { display: grid; gap: 1.2rem 2rem; align-items: start; }
figure { margin: 1rem 0; min-width: 0; }
figure img { display: block; width: 100%; height: auto; background: #fff; }
figure:not(.wide) img { max-width: 31rem; }
figcaption { max-width: 44rem; color: var(--quiet); font-size: .9rem; margin-top: .4rem; }
.scroll { overflow-x: auto; max-width: 100%; }
table { border-collapse: collapse; font-size: .88rem; font-variant-numeric: tabular-nums;
  margin: 0; }
.table { margin: 1.4rem 0; }
.table > p { color: var(--quiet); font-size: .9rem; margin: .3rem 0 0; }
caption { text-align: left; font-weight: 600; font-size: .95rem; padding: 0 0 .4rem;
  position: sticky; left: 0; width: max-content; max-width: calc(100vw - 2.5rem); }
th, td { padding: .32rem .9rem .32rem 0; border-bottom: 1px solid var(--line); text-align: left;
  vertical-align: top; font-weight: 400; }
th:last-child, td:last-child { padding-right: .3rem; }
thead th { border-bottom: 2px solid var(--ink); font-weight: 600; vertical-align: bottom;
  max-width: 7.5rem; }
tbody th { position: sticky; left: 0; background: var(--page); min-width: 7rem;
  overflow-wrap: anywhere; }
tbody th[scope="rowgroup"] { font-weight: 600; padding-top: .9rem; position: static; }
td { white-space: nowrap; }
td.long { white-space: pre-line; min-width: 11rem; max-width: 34rem; overflow-wrap: anywhere; }
.number { text-align: right; }
details { margin: 1rem 0; }
summary { cursor: pointer; font-weight: 600; padding: .3rem 0; }
pre { background: var(--shade); padding: .8rem 1rem; overflow-x: auto; font-size: .88rem;
  border-radius: .4rem; }
@media (min-width: 44rem) { .figures { grid-template-columns: 1fr 1fr; } }
@media (max-width: 34rem) {
  header { padding-top: 1.2rem; }
  h1 { font-size: 1.45rem; }
  .facts { grid-template-columns: 1fr 1fr; }
  tbody th { max-width: 9.5rem; }
}
@media print {
  @page { margin: 15mm; }
  header, main, footer { max-width: none; padding: 0; }
  nav { display: none; }
  .scroll { overflow: visible; }
  .wide img { min-width: 0 !important; }
  .facts div, pre { border: 1px solid var(--line); }
  table { font-size: 8pt; }
  thead { display: table-header-group; }
  td { white-space: normal; }
  figure, tr, caption { break-inside: avoid; }
  h2, caption { break-after: avoid; }
  pre { white-space: pre-wrap; overflow-wrap: anywhere; }
  details:not([open])::details-content { content-visibility: visible; }
}
"""

STYLE = _STYLE.replace("LIGHT", _variables(LIGHT)).replace("DARK", _variables(DARK))

PAGE = Template(
    """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>$title</title>
<style>"""
    + STYLE.replace("$", "$$")
    + """</style>
</head>
<body>
<header>
<h1>$title</h1>
$lead
</header>
<main>
$body
</main>
<footer>
$foot
</footer>
</body>
</html>
"""
)
