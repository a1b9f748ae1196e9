// The repository's own texts, each a page, with links among them: node site/documents.mjs FOLDER
import { copyFileSync, writeFileSync } from "node:fs";
import { basename, join, relative } from "node:path";
import { document, read } from "./document.mjs";
import { toHtml } from "./markdown.mjs";

const folder = process.argv[2];
const root = new URL("..", import.meta.url).pathname;
const TEXTS = {
  "COMPARE.md": { file: "compare.html", description: "Hard inputs, and what logsum, SciPy, NumPy, PyTorch, JAX and others give for them; and how long they take." },
  "guides/log-probabilities.md": { file: "guide.html", description: "Why a sampler's and a trainer's log-probabilities of one token differ, and which part of that correct rounding removes." },
  "README.md": { file: "manual.html", title: "The manual", description: "What logsum does, in Rust, in Python and on files; how right and how fast it is." },
  "DESIGN.md": { file: "design.html", description: "How logsum rounds correctly, why that ends, and what else was decided, and why." },
};
const PAGES = { ...Object.fromEntries(Object.entries(TEXTS).map(([path, { file }]) => [path, file])), "crates/logsum/examples/tape.rs": "lesson.html" };

for (const [path, { file, title, description }] of Object.entries(TEXTS)) {
  const inRepository = (address) => relative(root, join(root, path, "..", address));
  const link = (address) => {
    if (/^(https?:|#)/.test(address)) return address;
    const [place, anchor] = address.split("#");
    const page = PAGES[inRepository(place)];
    return page ? page + (anchor ? `#${anchor}` : "") : null;
  };
  const image = (address) => {
    copyFileSync(join(root, inRepository(address)), join(folder, basename(address)));
    return basename(address);
  };
  const [, heading, text] = read(path).match(/^# (.*)\n([\s\S]*)/);
  const name = title ?? heading;
  writeFileSync(
    join(folder, file),
    document({ file, kind: "text", title: `logsum: ${name}`, description, header: `<h1>${name}</h1>`, main: toHtml(text, { link, image, hasAnchors: true }) }),
  );
}
