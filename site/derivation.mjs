// The live derivation: derivation.html is its header and what is below, which page.js fills.
import { readFileSync, writeFileSync } from "node:fs";
import { document } from "./document.mjs";

const [, header, main] = readFileSync(new URL("derivation.html", import.meta.url), "utf8").match(/<header>([\s\S]*)<\/header>\s*<main>([\s\S]*)<\/main>/);

writeFileSync(
  process.argv[2],
  document({
    file: "derivation.html",
    kind: "derivation",
    title: "Why is the gradient of log-sum-exp the softmax?",
    description: "The gradient of log-sum-exp, derived step by step with your own numbers, each step checked by the machine.",
    policy: "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self' 'unsafe-inline'; img-src 'self' data:",
    head: `<link rel="stylesheet" href="katex/katex.min.css">\n<script type="module" src="page.js"></script>\n`,
    header,
    main,
    footer: `<p data-text="footer"></p>`,
  }),
);
