// The page's style: system fonts, eight colours that can be told apart in light and dark.
const WHO = ["#3b7dd8", "#d9822b", "#2f9e6b", "#b0509e", "#c23b3b", "#7a8b2c", "#5a5fc7", "#8a6d4b"] as const;
const STAGE = { encode: "#8a6fc9", prepare: "#d9822b", step: "#3b7dd8", decode: "#2f9e6b" } as const;

const colours = [
  ...WHO.map((colour, i) => [`who${i}`, colour] as const),
  ...Object.entries(STAGE).map(([stage, colour]) => [stage, colour] as const),
].map(([name, colour]) => `.of-${name}{fill:${colour};background:${colour}}`);

export const STYLE = `
:root{--ink:#1b1f24;--soft:#5b6470;--line:#d9dee4;--ground:#fff;--mark:#eef4fc}
@media(prefers-color-scheme:dark){:root{--ink:#e6e9ed;--soft:#9aa4b0;--line:#343b44;--ground:#14181d;--mark:#1c2836}}
body{margin:0;background:var(--ground);color:var(--ink);font:16px/1.5 system-ui,sans-serif}
main{max-width:980px;margin:0 auto;padding:1.5rem 1rem 4rem}
h1{font-size:1.6rem;margin:.2em 0}h2{font-size:1.25rem;margin:2.2em 0 .4em}h3{font-size:1rem;margin:1.4em 0 .3em}
small,.about,.legend,.none{color:var(--soft);font-weight:400}.about,.legend{font-size:.9rem}
.headlines{font-size:1.1rem;padding-left:1.2em}
.scroll{overflow-x:auto}
table{border-collapse:collapse;font-size:.88rem;width:100%;font-variant-numeric:tabular-nums}
th,td{padding:.35em .6em;border-bottom:1px solid var(--line);text-align:right;vertical-align:top}
th:first-child,td.none{text-align:left}tbody th{font-weight:500}td small{display:block;font-size:.75rem;white-space:nowrap}
tr.chosen{background:var(--mark)}
svg{display:block;width:100%;min-width:34rem;height:auto;margin:.4em 0}
svg.shares{min-width:0;height:16px;border-radius:3px}
svg text{fill:var(--ink);font:13px system-ui,sans-serif}svg .tick{fill:var(--soft);font-size:11px}
svg .chosen text{font-weight:700}
svg .grid{stroke:var(--line)}svg .interval{stroke:var(--ink);stroke-width:2}
.legend span{margin-right:1em;white-space:nowrap}.legend i{display:inline-block;width:.8em;height:.8em;border-radius:2px;margin-right:.35em}
details{margin:.5em 0}summary{cursor:pointer;color:var(--soft)}.rejects{font-size:.85rem;overflow-wrap:anywhere}
${colours.join("\n")}
`;
