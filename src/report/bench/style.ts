// Colours and type of the page and its pictures. Pictures are given classes and no colours, so that the same one follows
// light and dark inside the page and as a file; what is painted with a provider's or a stage's colour bears white letters.

const PROVIDERS: Readonly<Record<string, string>> = {
  tile: "#2f6fc4", onnxruntime: "#97458a", onednn: "#b8621b", blas: "#23805a", libxsmm: "#b3363b", reference: "#6b6f76",
}; // prettier-ignore
const OTHER_PROVIDERS = ["#66752a", "#5559b8", "#7d5f42"] as const;
const STAGE_COLOURS = { encode: "#7a5bb5", prepare: "#b8621b", step: "#2f6fc4", decode: "#23805a" } as const;

/** Shades for neighbours that only need to be told apart. */
export const SHADES = ["#33577f", "#4a6f98", "#5b7f8a", "#6a6f99"] as const;

/** The class that paints with a provider's colour; the same everywhere on the page. */
export const providerClass = (name: string): string => `of-${name.replaceAll(/[^\w-]/g, "_")}`;

const LIGHT = { ink: "#1b1f24", soft: "#5b6470", line: "#d9dee4", ground: "#ffffff", mark: "#e9f0fb" } as const;
const DARK = { ink: "#e6e9ed", soft: "#a3adb9", line: "#3a424c", ground: "#14181d", mark: "#1d2b40" } as const;

type Theme = Readonly<Record<keyof typeof LIGHT, string>>;

const themed = ({ ink, soft, line, ground, mark }: Theme): string =>
  `.ink{fill:${ink}}.soft{fill:${soft}}.ground{fill:${ground}}.mark{fill:${mark}}.line{stroke:${line}}` +
  `.whisker{stroke:${ink}}.edge{stroke:${ground}}`;

const painted = (providers: readonly string[]): string => {
  const unknown = providers.filter((name) => !(name in PROVIDERS));
  const colours = [
    ...Object.entries(STAGE_COLOURS).map(([stage, colour]) => [`of-${stage}`, colour] as const),
    ...Object.entries(PROVIDERS).map(([name, colour]) => [providerClass(name), colour] as const),
    ...SHADES.map((colour, i) => [`of-shade${i}`, colour] as const),
    ...unknown.map((name, i) => [providerClass(name), OTHER_PROVIDERS[i % OTHER_PROVIDERS.length]!] as const),
  ];
  return colours.map(([name, colour]) => `.${name}{fill:${colour};background:${colour}}`).join("");
};

/** Rules of a picture that stands alone: "light" for what turns it into pixels, "both" for what shows it. */
export const pictureStyle = (providers: readonly string[], themes: "light" | "both"): string =>
  `text{font-family:${FONT}}.white{fill:#fff}.bold{font-weight:700}${painted(providers)}${themed(LIGHT)}` +
  (themes === "both" ? `@media(prefers-color-scheme:dark){${themed(DARK)}}` : "");

const FONT = "system-ui,-apple-system,'Segoe UI',Roboto,'Noto Sans','Atkinson Hyperlegible',sans-serif";

const variables = (theme: Theme): string =>
  Object.entries(theme)
    .map(([name, colour]) => `--${name}:${colour}`)
    .join(";");

export const pageStyle = (providers: readonly string[]): string => `
:root{${variables(LIGHT)}}
@media(prefers-color-scheme:dark){:root{${variables(DARK)}}}
body{margin:0;background:var(--ground);color:var(--ink);font:16px/1.5 ${FONT}}
main{max-width:1180px;margin:0 auto;padding:1.5rem 1rem 4rem}
h1{font-size:1.7rem;line-height:1.25;margin:.2em 0}
h2{font-size:1.3rem;margin:2.4em 0 .4em;padding-top:.6em;border-top:1px solid var(--line)}
h3{font-size:1.05rem;line-height:1.35;margin:1.4em 0 .3em}
small,.about,.none,figcaption{color:var(--soft);font-weight:400}.about,figcaption{font-size:.9rem}
.key{display:flex;flex-wrap:wrap;gap:.2em 1.1em;font-size:.9rem;color:var(--soft);margin:.5em 0}
.key i{display:inline-block;width:.8em;height:.8em;border-radius:2px;margin-right:.4em}
figure{margin:1.2em 0}.pair{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,480px),1fr));gap:0 2.5rem}
.scroll{overflow-x:auto}
table{border-collapse:collapse;font-size:.88rem;width:100%;font-variant-numeric:tabular-nums}
th,td{padding:.35em .6em;border-bottom:1px solid var(--line);text-align:right;vertical-align:top}
th:first-child,td.text,th.text,td.none{text-align:left}tbody th{font-weight:500}td small{display:block;font-size:.75rem;white-space:nowrap}
td.text{overflow-wrap:anywhere;min-width:9em}
tr.chosen{background:var(--mark)}td b{font-size:1.05em}
svg{display:block;width:100%;height:auto;margin:.4em 0}
svg.shares{border-radius:3px}
svg.narrow{display:none}
@media(max-width:640px){svg.wide{display:none}svg.narrow{display:block}h1{font-size:1.35rem}main{padding:1rem .75rem 3rem}}
details{margin:.6em 0}summary{cursor:pointer;color:var(--soft)}
ul{padding-left:1.2em}li{overflow-wrap:anywhere}
${pictureStyle(providers, "both")}
`;
