// The lesson: the example tape.rs, as a page.
import { readFileSync, writeFileSync } from "node:fs";

const source = readFileSync(new URL("../crates/logsum/examples/tape.rs", import.meta.url), "utf8");
const escape = (text) => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
const words = [...source.matchAll(/^\/\/! ?(.*)$/gm)].map((match) => match[1]).join("\n");
const code = source.replace(/^\/\/!.*\n/gm, "").replace(/\n#\[cfg\(test\)\]\nmod tests[\s\S]*$/, "").trim();

writeFileSync(
  process.argv[2],
  `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'self'; img-src 'self' data:">
<title>logsum: a lesson</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="style.css">
<body class="lesson">
<header><h1>A lesson: reverse-mode differentiation</h1><nav><a href="index.html">The derivation</a> <a href="reference.html">Reference</a></nav>
${words.split("\n\n").map((paragraph) => `<p>${escape(paragraph).replace(/`([^`]+)`/g, "<code>$1</code>")}</p>`).join("\n")}</header>
<main><pre tabindex="0"><code>${escape(code)}</code></pre></main>
</body>
</html>
`,
);
