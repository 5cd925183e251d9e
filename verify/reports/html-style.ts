/** The console's colours and measures; one page, no script, no font or image from anywhere. */
export const STYLE = `
:root {
  color-scheme: light dark;
  --bg: light-dark(#f5f6f7, #0f1216); --panel: light-dark(#fff, #171b21); --sunken: light-dark(#eff1f3, #0f1317);
  --line: light-dark(#e0e4e9, #2a313a); --line-strong: light-dark(#868f9a, #727c8a);
  --ink: light-dark(#14181d, #e9edf2); --ink-2: light-dark(#47505b, #b3bcc8); --ink-3: light-dark(#5f6975, #929dab);
  --good: light-dark(#0b6b5d, #4cc9b2); --good-soft: light-dark(#e7f4f1, #142824);
  --warn: light-dark(#8a5200, #eeb04c); --warn-soft: light-dark(#fdf4e2, #2b2214);
  --bad: light-dark(#b31d2b, #ff8f8f); --bad-soft: light-dark(#fdeeee, #2f1a1c);
  --old: light-dark(#a85f00, #e0a045); --new: light-dark(#1f55b0, #86b9ff); --focus: light-dark(#5140d4, #b8afff);
}
* { box-sizing: border-box; }
body {
  margin: 0; background: var(--bg); color: var(--ink); font-variant-numeric: tabular-nums;
  font: 14px/20px -apple-system, "Segoe UI Variable Text", "Segoe UI", Roboto, "Noto Sans", "Liberation Sans", system-ui, sans-serif;
}
main { max-width: 1120px; margin: 0 auto; padding: 24px 16px 40px; display: grid; gap: 12px; grid-template-columns: minmax(0, 1fr); }
h1, h2, h3, p, ul, ol, dl, dd { margin: 0; }
h1 { font-size: 24px; line-height: 32px; font-weight: 650; overflow-wrap: anywhere; }
h2 { font-size: 15px; line-height: 20px; font-weight: 650; margin-bottom: 12px; }
h3 { font-size: 14px; line-height: 20px; font-weight: 650; }
a { color: var(--new); }
:focus-visible { outline: 2px solid var(--focus); outline-offset: 2px; border-radius: 4px; }
code, .key { font: 12.5px/18px ui-monospace, "SF Mono", "Cascadia Mono", "Roboto Mono", "Noto Sans Mono", "Liberation Mono", Menlo, monospace; overflow-wrap: anywhere; }
.panel { background: var(--panel); border: 1px solid var(--line); border-radius: 8px; padding: 16px; min-width: 0; }
.note { color: var(--ink-3); font-size: 12px; line-height: 16px; }
.crumb { color: var(--ink-3); font-size: 12px; line-height: 16px; margin-bottom: 4px; }
.head { display: grid; gap: 16px; border-top-width: 4px; }
.head.consistent { border-top-color: var(--good); } .head.divergent { border-top-color: var(--bad); } .head.inconclusive { border-top-color: var(--warn); }
.title { display: flex; flex-wrap: wrap; gap: 8px 16px; align-items: center; }
.verdict { display: inline-flex; gap: 8px; align-items: center; padding: 4px 12px 4px 8px; border-radius: 999px; font-size: 15px; font-weight: 650; }
.verdict svg { width: 18px; height: 18px; flex: none; }
.consistent .verdict { color: var(--good); background: var(--good-soft); }
.divergent .verdict { color: var(--bad); background: var(--bad-soft); }
.inconclusive .verdict { color: var(--warn); background: var(--warn-soft); }
.lead { font-size: 15px; color: var(--ink-2); }
.facts { display: grid; gap: 12px 24px; grid-template-columns: repeat(auto-fit, minmax(min(100%, 260px), 1fr)); }
.facts dt { color: var(--ink-3); font-size: 12px; line-height: 16px; }
.facts dd { overflow-wrap: anywhere; }
.alert { background: var(--warn-soft); border-color: var(--warn); }
.alert h2, .alert strong { color: var(--warn); }
.alert ul { padding-left: 20px; }
.steps ol { padding-left: 20px; display: grid; gap: 6px; }
.steps code { background: var(--sunken); border: 1px solid var(--line); border-radius: 4px; padding: 1px 6px; }
.tiles { display: grid; gap: 1px; grid-template-columns: repeat(8, minmax(0, 1fr)); background: var(--line); border: 1px solid var(--line); border-radius: 8px; overflow: hidden; }
.tile { background: var(--panel); padding: 12px 16px; }
.tile dt { color: var(--ink-3); font-size: 12px; line-height: 16px; }
.tile dd { font-size: 20px; line-height: 28px; font-weight: 600; overflow-wrap: anywhere; }
.tile.zero dd { color: var(--ink-3); font-weight: 400; }
.tile.wrong dd { color: var(--bad); } .tile.open dd { color: var(--warn); }
.share { display: block; width: 100%; height: 12px; margin: 12px 0 6px; border-radius: 4px; overflow: hidden; background: var(--sunken); }
.charts { display: grid; gap: 12px; grid-template-columns: repeat(auto-fit, minmax(min(100%, 420px), 1fr)); }
table { border-collapse: collapse; width: 100%; }
caption { text-align: left; color: var(--ink-3); font-size: 12px; line-height: 16px; padding-bottom: 8px; }
th { text-align: left; font-weight: 500; color: var(--ink-3); font-size: 12px; line-height: 16px; }
th, td { padding: 6px 12px 6px 0; vertical-align: top; border-bottom: 1px solid var(--line); }
tbody tr:last-child > td, tbody tr:last-child > th { border-bottom: 0; }
th:last-child, td:last-child { padding-right: 0; }
.number { text-align: right; white-space: nowrap; }
.bars th[scope=row] { width: 34%; color: var(--ink); font-size: 13px; line-height: 20px; font-weight: 400; overflow-wrap: anywhere; }
.bars td:nth-child(2) { width: 45%; }
.bars svg { display: block; width: 100%; height: 12px; margin-top: 4px; }
.track { fill: var(--sunken); } .bar { fill: var(--ink-3); } .bar.wrong { fill: var(--bad); } .bar.right { fill: var(--good); } .bar.open { fill: var(--warn); }
.timeline > svg { display: block; width: 100%; overflow: visible; }
.timeline text { font-size: 11px; fill: var(--ink-2); text-anchor: middle; }
.axis { stroke: var(--line-strong); } .mark { stroke: var(--ink-3); stroke-dasharray: 2 3; } .dot { fill: var(--panel); stroke: var(--ink-3); }
.run { fill: var(--new); opacity: .25; } .written { fill: var(--bad); }
.ends { display: flex; justify-content: space-between; gap: 16px; color: var(--ink-3); font-size: 12px; line-height: 16px; margin-top: 4px; }
.legend { display: flex; flex-wrap: wrap; gap: 4px 16px; color: var(--ink-2); font-size: 12px; line-height: 16px; margin-top: 12px; }
.legend svg { width: 12px; height: 12px; vertical-align: -2px; margin-right: 6px; }
details { margin-top: 12px; } summary { cursor: pointer; color: var(--ink-2); font-size: 13px; }
details > table { margin-top: 8px; }
.kinds { display: flex; flex-wrap: wrap; gap: 4px 16px; padding: 0; list-style: none; margin-bottom: 4px; }
.group { margin-top: 24px; } .group > p { color: var(--ink-2); margin-bottom: 8px; }
.records td:first-child { width: 40%; }
.records td:nth-child(2) { white-space: nowrap; } .records td:nth-child(3) { white-space: nowrap; }
.fields { list-style: none; padding: 0; display: grid; gap: 6px; }
.fields .old { color: var(--old); } .fields .new { color: var(--new); }
.fields small { color: var(--ink-3); font-size: 11px; margin-right: 4px; }
footer { color: var(--ink-3); font-size: 12px; line-height: 16px; padding: 4px; overflow-wrap: anywhere; }
@media (max-width: 960px) { .tiles { grid-template-columns: repeat(4, minmax(0, 1fr)); } }
@media (max-width: 640px) {
  .tiles { grid-template-columns: repeat(2, minmax(0, 1fr)); }
  main { padding: 12px 8px 24px; } .panel { padding: 12px; }
  .bars th[scope=row] { width: 44%; } .bars td:nth-child(2) { width: 32%; }
  .records thead { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
  .records, .records tbody, .records tr, .records td { display: block; }
  .records tr { padding: 8px 0; border-bottom: 1px solid var(--line); }
  .records td, .records td:first-child { width: auto; border: 0; padding: 2px 0; }
  .records td[data-name] { display: inline-block; margin-right: 16px; }
  .records td[data-name]::before { content: attr(data-name) ": "; color: var(--ink-3); font-size: 12px; }
}
@media print {
  :root { color-scheme: light; } body { background: #fff; } main { padding: 0; max-width: none; }
  .panel, .tiles { break-inside: avoid; } .panel.long { break-inside: auto; } tr, .group > h3 { break-inside: avoid; break-after: auto; }
  details::details-content { content-visibility: visible; block-size: auto; }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
}
`;
