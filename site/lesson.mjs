// The lesson: the example tape.rs, as a page.
import { writeFileSync } from "node:fs";
import { document, escape, read } from "./document.mjs";

const source = read("crates/logsum/examples/tape.rs");
const words = [...source.matchAll(/^\/\/! ?(.*)$/gm)].map((match) => match[1]).join("\n");
const code = source.replace(/^\/\/!.*\n/gm, "").replace(/\n#\[cfg\(test\)\]\nmod tests[\s\S]*$/, "").trim();

writeFileSync(
  process.argv[2],
  document({
    file: "lesson.html",
    kind: "lesson",
    title: "logsum: a lesson",
    description: "Reverse-mode differentiation in a hundred lines of Rust, with log-sum-exp as an operator.",
    header: `<h1>A lesson: reverse-mode differentiation</h1>
${words.split("\n\n").map((paragraph) => `<p>${escape(paragraph).replace(/`([^`]+)`/g, "<code>$1</code>")}</p>`).join("\n")}`,
    main: `<pre tabindex="0"><code>${escape(code)}</code></pre>`,
  }),
);
