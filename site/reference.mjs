// The reference: what the library's own documentation says of every operation, and how correct rounding works, as one page.
import { writeFileSync } from "node:fs";
import { document, escape, read } from "./document.mjs";
import { toHtml } from "./markdown.mjs";

const SECTIONS = [
  ["Log-sum-exp, softmax, log-softmax", "operations/row_reduction.rs"],
  ["Weights, signs, masks, temperature", "operations/terms.rs"],
  ["Mean, entropy, derivatives", "operations/softmax_moments.rs"],
  ["Variance", "operations/logvarexp.rs"],
  ["Functions of one number or two", "operations/elementwise/mod.rs"],
  ["Cumulative sums", "operations/cumulative.rs"],
  ["Segments", "operations/segments.rs"],
  ["Matrix products", "operations/log_matmul.rs"],
  ["Cross-entropy", "operations/cross_entropy/mod.rs"],
  ["Log-probabilities of tokens", "operations/token_log_probs.rs", "operations/sharded_log_prob.rs"],
  ["Sums in pieces", "operations/accumulator.rs"],
  ["Complex numbers", "operations/complex_logsumexp.rs"],
  ["On arrays", "arrays/mod.rs", "arrays/broadcast_terms.rs", "arrays/matmul_batches.rs", "arrays/complex_arrays.rs", "arrays/axes.rs"],
  ["Formats, errors", "operations/per_format.rs", "error.rs"],
];

// Each item with documentation that is public: its name, its signature, and its words.
function* items(source) {
  const isPublicName = new Set([...source.matchAll(/^pub (?:struct|enum|trait|mod) (\w+)/gm)].map((match) => match[1]));
  let owner = "";
  let isTrait = false;
  const lines = source.split("\n");
  for (let i = 0; i < lines.length; i++) {
    const block = lines[i].match(/^(?:pub )?(impl(?:<.*?>)?|trait|struct|enum|mod) +(\w+)/);
    // What a trait asks for is said where the trait is.
    if (block) {
      owner = /^impl.* for /.test(lines[i]) || !isPublicName.has(block[2]) ? "" : block[2];
      isTrait = block[1] === "trait";
    }
    if (lines[i] === "}") owner = "";
    if (!/^\s*\/\/\/ ?/.test(lines[i])) continue;
    const words = [];
    for (; /^\s*\/\/\//.test(lines[i]); i++) words.push(lines[i].replace(/^\s*\/\/\/ ?/, ""));
    let isHidden = false;
    for (; /^\s*#\[/.test(lines[i]); i++) isHidden ||= lines[i].includes("doc(hidden)");
    // A row of the table of functions of one number or two.
    const row = lines[i].match(/^\s+(\w+)\((\w+(?:, \w+)?)\): \w+, "(.*)", "(.*)";$/);
    if (row) {
      const [, name, numbers, slopes, curvatures] = row;
      const signature = `pub fn ${name}<T: Float>(${numbers.replaceAll(/\w+/g, "$&: T")}) -> T`;
      const derivatives = `Derivatives, \`derivative::${name}\`: ${slopes}. Second ones, \`second_derivative::${name}\`: ${curvatures}.`;
      yield { name, signature, words: `${words.join("\n")}\n\n${derivatives} For slices: \`each::${name}\`.` };
      i--;
      continue;
    }
    const module = lines[i].match(/^ {8}(pub mod (\w+)) \{$/);
    if (module) {
      yield { name: module[2], signature: module[1], words: words.join("\n") };
      i--;
      continue;
    }
    const isMethod = /^ {4}\S/.test(lines[i]);
    const found = lines[i].match(isMethod ? /^ {4}(pub |)(?:const )?fn (\w+)/ : /^(pub )(?:const )?(?:fn|struct|enum|trait|mod) (\w+)/);
    const isPublic = found && (found[1] === "pub " || isTrait);
    if (!isPublic || isHidden || (isMethod && !owner)) {
      i--;
      continue;
    }
    let signature = "";
    for (let j = i; j < lines.length; j++) {
      signature += `${lines[j].replace(/^ {4}/, isMethod ? "" : "    ")}\n`;
      if (/[{;]\s*$|\}$/.test(lines[j])) break;
    }
    signature = signature.replace(/\s*\{\s*$|;\s*$/, "").trim();
    yield { name: isMethod ? `${owner}::${found[2]}` : found[2], signature, words: words.join("\n") };
    i--;
  }
}

const anchor = (name) => name.replace("::", ".");

const known = new Map();
const sections = SECTIONS.map(([title, ...files]) => {
  // Two types that are public in private modules only.
  const isInternal = ({ name }) => name === "Found" || name === "Row";
  const found = files.flatMap((file) => [...items(read(`crates/logsum/src/${file}`))]).filter((item) => !isInternal(item));
  const names = new Set();
  const once = found.filter(({ name }) => !names.has(name) && names.add(name));
  for (const { name } of once) {
    known.set(name, anchor(name));
    if (!known.has(name.split("::").pop())) known.set(name.split("::").pop(), anchor(name));
  }
  return [title, once];
});

// Documentation as HTML: links to items stay on the page, lines that documentation hides are hidden.
function html(markdown) {
  const target = (path) => known.get(path.replace(/^(crate|Self|self|super)::/, "")) ?? known.get(path.split("::").pop());
  const link = (text, path) => (target(path) ? `[${text}](#${target(path)})` : text);
  const text = markdown
    .replace(/```(text|rust)?\n([\s\S]*?)```/g, (_, kind, code) => `\`\`\`${kind ?? "rust"}\n${code.replace(/^# .*\n|^#\n/gm, "")}\`\`\``)
    .replace(/\[(`([^`\]]+)`)\]\(([\w:]+)\)/g, (_, text, __, path) => link(text, path))
    .replace(/\[(`([^`\]]+)`)\](?!\()/g, (_, text, path) => link(text, path))
    .replace(/^# (.*)/gm, "#### $1");
  return toHtml(text);
}

const design = read("DESIGN.md");
const chapter = (title) => {
  const text = design.split(`## ${title}\n`)[1]?.split("\n## ")[0];
  if (!text) throw new Error(`DESIGN.md has no chapter "${title}"`);
  return toHtml(text, { link: (address) => (address.startsWith("crates") ? null : address) });
};
const chapters = [
  ["How correct rounding works", "rounding", chapter("The idea")],
  ["Why the phases end", "phases", chapter("Why the phases end")],
];
const readme = read("README.md");
const conventions = toHtml(readme.split("## Conventions\n")[1].split("\n## ")[0]);

const body = sections.map(
  ([title, found], i) =>
    `<section><h2 id="section-${i}">${title}</h2>\n${found
      .map(({ name, signature, words }) => `<article id="${anchor(name)}"><h3>${name}</h3><pre tabindex="0"><code>${escape(signature)}</code></pre>\n${html(words)}</article>`)
      .join("\n")}</section>`,
);
const contents = [
  ...chapters.map(([title, id]) => `<li><a href="#${id}">${title}</a></li>`),
  `<li><a href="#conventions">Conventions</a></li>`,
].join("");
const lists = sections.map(
  ([title, found], i) => `<li><a href="#section-${i}"><b>${title}</b></a><ul>${found.map(({ name }) => `<li><a href="#${anchor(name)}">${name}</a></li>`).join("")}</ul></li>`,
);

writeFileSync(
  process.argv[2],
  document({
    file: "reference.html",
    kind: "reference",
    title: "logsum: reference",
    description: "Every operation of the Rust library: formula, special cases, derivatives and bounds.",
    header: `<h1>Reference</h1>
<p>Every operation of the Rust library: formula, special cases, derivatives and bounds, from its own documentation.</p>`,
    main: `
<nav class="contents" aria-label="Contents"><ul>${contents}${lists.join("")}</ul></nav>
<div>
${chapters.map(([title, id, text]) => `<section><h2 id="${id}">${title}</h2>${text}</section>`).join("\n")}
<section><h2 id="conventions">Conventions</h2>${conventions}</section>
${body.join("\n")}
</div>
`,
  }),
);
