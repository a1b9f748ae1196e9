// The lesson: the example tape.rs, as a page.
import { readFileSync, writeFileSync } from "node:fs";
import { document, escape } from "./document.mjs";

const source = readFileSync(new URL("../crates/logsum/examples/tape.rs", import.meta.url), "utf8");
const words = [...source.matchAll(/^\/\/! ?(.*)$/gm)].map((match) => match[1]).join("\n");
const code = source.replace(/^\/\/!.*\n/gm, "").replace(/\n#\[cfg\(test\)\]\nmod tests[\s\S]*$/, "").trim();

writeFileSync(
  process.argv[2],
  document({
    kind: "lesson",
    title: "logsum: a lesson",
    header: `<h1>A lesson: reverse-mode differentiation</h1><nav><a href="index.html">The derivation</a> <a href="reference.html">Reference</a></nav>
${words.split("\n\n").map((paragraph) => `<p>${escape(paragraph).replace(/`([^`]+)`/g, "<code>$1</code>")}</p>`).join("\n")}`,
    main: `<pre tabindex="0"><code>${escape(code)}</code></pre>`,
  }),
);
