"""The empty page of a report: structure and style, without any outside reference."""

from string import Template

PAGE = Template("""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light">
<title>$title</title>
<style>
:root { --ink: #1a1a1a; --quiet: #555; --line: #d0d0d0; --shade: #f4f4f4; }
* { box-sizing: border-box; }
body { margin: 0; background: #fff; color: var(--ink); line-height: 1.5;
  font-family: system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
main { max-width: 70rem; margin: 0 auto; padding: 1.5rem 1rem 4rem; }
h1 { font-size: 1.6rem; line-height: 1.2; margin: 0 0 1rem; overflow-wrap: anywhere; }
h2 { font-size: 1.15rem; margin: 2.2rem 0 .5rem; overflow-wrap: anywhere; }
p { max-width: 44rem; margin: .5rem 0; overflow-wrap: anywhere; white-space: pre-line; }
figure { margin: 1.5rem 0; }
figcaption { max-width: 44rem; color: var(--quiet); font-size: .9rem; margin-top: .4rem; }
.scroll { overflow-x: auto; max-width: 100%; }
.scroll:focus-visible, pre:focus-visible { outline: 2px solid #0a58ca; outline-offset: 2px; }
img { display: block; width: 100%; min-width: 42rem; height: auto; }
table { border-collapse: collapse; font-size: .88rem; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .7rem .3rem 0; border-bottom: 1px solid var(--line); text-align: left;
  vertical-align: top; }
th { border-bottom: 2px solid var(--ink); font-weight: 600; vertical-align: bottom; }
th { max-width: 6rem; }
td { white-space: nowrap; }
td.long { white-space: pre-line; min-width: 11rem; max-width: 34rem; overflow-wrap: anywhere; }
.number { text-align: right; }
tbody tr:hover { background: var(--shade); }
pre { background: var(--shade); padding: .8rem 1rem; overflow-x: auto; font-size: .88rem; }
@media print {
  @page { margin: 15mm; }
  main { max-width: none; padding: 0; }
  .scroll { overflow: visible; }
  img { min-width: 0; }
  table { font-size: 8pt; }
  td { white-space: normal; }
  figure, tr { break-inside: avoid; }
  h2 { break-after: avoid; }
  pre { white-space: pre-wrap; overflow-wrap: anywhere; }
}
</style>
</head>
<body>
<main>
<h1>$title</h1>
$body
</main>
</body>
</html>
""")
