// The site: every page of this folder, and the API reference where `npm run api` has made it.
import { existsSync, readFileSync } from "node:fs";
import { defineConfig, type DefaultTheme } from "vitepress";

const apiSidebar = new URL("../api/typedoc-sidebar.json", import.meta.url);
const api: DefaultTheme.SidebarItem[] = existsSync(apiSidebar)
  ? (JSON.parse(readFileSync(apiSidebar, "utf8")) as DefaultTheme.SidebarItem[])
  : [];

export default defineConfig({
  title: "troupe",
  description: "Every kernel provider on the machine measured and checked, the fastest mix run.",
  cleanUrls: true,
  srcExclude: ["node_modules/**"],
  // Links that leave this folder are for readers of the repository; an interface named Index confuses the link check.
  ignoreDeadLinks: [/^(\.\/)?\.\.\//, /(^|\/)index$/],
  markdown: {
    // …and the site, which has no such pages, shows them as plain text.
    config(md) {
      md.core.ruler.push("links-of-the-repository", ({ tokens }) => {
        for (const { children } of tokens)
          for (const [i, token] of (children ?? []).entries())
            if (token.type === "link_open" && token.attrGet("href")?.startsWith("../")) {
              const close = children!.findIndex(({ type }, at) => at > i && type === "link_close");
              for (const at of [i, close]) children![at]!.hidden = true;
              token.tag = children![close]!.tag = "span";
              token.attrs = null;
            }
      });
    },
  },
  themeConfig: {
    search: { provider: "local" },
    outline: [2, 3],
    sidebar: [
      { text: "Start", items: [{ text: "Getting started", link: "/getting-started" }] },
      {
        text: "Plans",
        items: [
          { text: "How a plan is chosen", link: "/how-a-plan-is-chosen" },
          { text: "Reading explain", link: "/explain" },
          { text: "Records and pins", link: "/records" },
          { text: "A bundle", link: "/bundle" },
          { text: "Locks", link: "/lock" },
          { text: "What users ask for", link: "/asks" },
        ],
      },
      {
        text: "Your own",
        items: [
          { text: "Kernel", link: "/own-kernel" },
          { text: "Provider", link: "/own-provider" },
          { text: "Model", link: "/own-model" },
        ],
      },
      {
        text: "Reference",
        items: [
          { text: "Environment and debug ladder", link: "/environment" },
          { text: "Errors and exit codes", link: "/errors" },
          { text: "What was tested", link: "/support" },
        ],
      },
      ...(api.length > 0 ? [{ text: "API", collapsed: true, items: api }] : []),
    ],
  },
});
