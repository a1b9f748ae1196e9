// The first page: what logsum is, for whom, how right and how fast, and how to start.
import { writeFileSync } from "node:fs";
import { marked } from "marked";
import { document, escape, read } from "./document.mjs";
import { answers, date, machine, speeds, summary } from "./figures.mjs";

const versions = Object.fromEntries(summary.map(({ name, version }) => [name, version]));
const grouped = (number) => String(number).replace(/\B(?=(\d{3})+$)/g, "\u202f");
const source = `<a href="compare.html">the comparison</a> (${machine}, <time datetime="${date}">${date}</time>)`;
const raised = (text) => text.replaceAll(/\^(\w+)/g, "<sup>$1</sup>");

// An answer as COMPARE.md has it: ✓, "630 ulp", "✗ ∞", or nothing.
function cell(said) {
  if (!said) return `<td class="dim"><span aria-hidden="true">–</span><span class="hidden">no such function</span></td>`;
  if (said === "✓") return `<td class="good">✓<span class="hidden"> the nearest float</span></td>`;
  const ulp = said.match(/^(.*) ulp$/);
  if (ulp) return `<td class="off">${grouped(Number(ulp[1]))} ulp off</td>`;
  return `<td class="bad">${said}</td>`;
}

// One input at length.
const example = answers("Sums", "log Σ e^z", "70 000 zeros f16");
const first = `<table class="example">
<caption>log Σ e<sup>z</sup> of 70${"\u202f"}000 zeros, float16</caption>
<tbody>
<tr><th scope="row">exactly</th><td>log 70${"\u202f"}000 ≈ ${example.exact}</td></tr>
${["logsum", "NumPy", "SciPy", "PyTorch", "JAX"]
  .map((name) => `<tr><th scope="row">${name} <small>${versions[name]}</small></th>${cell(example[name]).replace("✓", `✓ ${example.exact}`)}</tr>`)
  .join("\n")}
</tbody>
</table>
<p class="dim">The sum, 70${"\u202f"}000, is more than float16 holds; its logarithm is not. From ${source}.</p>`;

// Several in short: what is hard, in our words, and where COMPARE.md has it. Those that the live derivation can take
// have an address there.
const INPUTS = [
  ["A small term beside a large one", "Sums", "log Σ e^z", "[0, −40]", "0,-40"],
  ["Probabilities that add up to 1", "Sums", "log Σ e^z", "[ln .3, ln .7]", "-1.2039728043259361,-0.35667494393873245"],
  ["A small term with a large weight", "Sums", "log Σ b e^z", "[0, −750], weights [1e−200, 1e300]"],
  ["A million equal terms", "Sums", "log Σ e^z", "10^6 zeros f32"],
  ["The loss of a confident classifier", "Shares and losses", "cross-entropy", "[40, 0], target 0"],
  ["The gradient at a large offset", "Derivatives", "gradient", "[1e8, 1e8] f32"],
];
const others = ["logsum", "SciPy", "NumPy", "PyTorch", "JAX"];
const inputs = `<table>
<thead><tr><th scope="col">input</th><th scope="col">exactly</th>${others.map((name) => `<th scope="col">${name}</th>`).join("")}</tr></thead>
<tbody>
${INPUTS.map(([title, heading, what, input, address]) => {
  const row = answers(heading, what, input);
  const shown = address ? `<a href="derivation.html#z=${address}">${input}</a>` : input;
  return `<tr><th scope="row">${title}<br><small>${raised(`${what} of ${shown}`)}</small></th><td>${row.exact}</td>${others.map((name) => cell(row[name])).join("")}</tr>`;
}).join("\n")}
</tbody>
</table>`;

// A bar is a row of a table, so that its figures can be read where it cannot be seen.
const PARTS = { nearest: "the nearest float", near: "within 4 ulp", far: "farther off", wrong: "1000 ulp or more off, NaN, or an error" };
const most = Math.max(...summary.map(({ asked }) => asked));
function stack(parts) {
  let at = 0;
  const bars = Object.entries(parts).map(([kind, count]) => {
    const [x, width] = [at, (100 * count) / most];
    at += width;
    return `<rect class="${kind}" x="${x}%" width="${width}%" height="100%"/>${count > 7 && kind !== "near" ? `<text x="${x + width / 2}%" y="50%">${count}</text>` : ""}`;
  });
  return `<svg aria-hidden="true">${bars.join("")}</svg>`;
}
const accuracy = `<p class="legend-parts" aria-hidden="true">${Object.entries(PARTS).map(([kind, words]) => `<span class="${kind}">${words}</span>`).join("")}</p>
<table class="bars">
<caption class="hidden">For each system: how many of the inputs that it was given it answers with the nearest float</caption>
<thead class="hidden"><tr><th scope="col">system</th><th scope="col">chart</th><th scope="col">nearest float</th></tr></thead>
<tbody>
${summary.map(({ name, version, asked, parts }) => `<tr${name === "logsum" ? ' class="ours"' : ""}><th scope="row">${name} <small>${version}</small></th><td class="bar-cell">${stack(parts)}</td><td>${parts.nearest} of ${asked}</td></tr>`).join("\n")}
</tbody>
</table>
<details><summary>All figures of this chart</summary>
<div class="scroll" tabindex="0" role="group" aria-label="All figures of the chart of accuracy"><table>
<thead><tr><th scope="col">system</th><th scope="col">asked</th>${Object.values(PARTS).map((words) => `<th scope="col">${words}</th>`).join("")}</tr></thead>
<tbody>
${summary.map(({ name, asked, parts }) => `<tr><th scope="row">${name}</th><td>${asked}</td>${Object.keys(PARTS).map((kind) => `<td>${parts[kind]}</td>`).join("")}</tr>`).join("\n")}
</tbody>
</table></div></details>`;

// Each piece of work in a chart with a scale of its own.
function panel({ work, times }) {
  const [, name, rows, length] = work.match(/^(.*), (\d+) × (\d+)$/);
  const title = `${name}, ${rows === "1" ? "one row" : `${grouped(rows)} rows`} of ${grouped(length)}`;
  const slowest = Math.max(...times.map(({ milliseconds }) => milliseconds));
  return `<table class="bars">
<caption>${title}</caption>
<thead class="hidden"><tr><th scope="col">system</th><th scope="col">chart</th><th scope="col">time</th><th scope="col">as a multiple of logsum's</th></tr></thead>
<tbody>
${times
  .map(({ name, milliseconds, multiple }) => {
    const bar = `<svg aria-hidden="true"><rect class="${name === "logsum" ? "nearest" : "other"}" width="${((100 * milliseconds) / slowest).toFixed(2)}%" height="100%"/></svg>`;
    return `<tr${name === "logsum" ? ' class="ours"' : ""}><th scope="row">${name}</th><td class="bar-cell">${bar}</td><td>${grouped(milliseconds)} ms</td><td>${multiple ? `${multiple}×` : ""}</td></tr>`;
  })
  .join("\n")}
</tbody>
</table>`;
}

// The library's own example, which cargo test runs, without the lines that documentation hides.
const documentation = [...read("crates/logsum/src/lib.rs").matchAll(/^\/\/! ?(.*)$/gm)].map((match) => match[1]).join("\n");
const rust = marked
  .lexer(documentation)
  .find(({ type, lang }) => type === "code" && !lang)
  .text.replaceAll(/^# .*$/gm, "");
const python = `from logsum import logsumexp, logsumexp_value_and_grad

logsumexp([0.0, -40.0])             # 4.248354255291589e-18
value, gradient = logsumexp_value_and_grad([1000.0, 1001.0, 1002.0])

import logsum.torch                 # or logsum.jax, logsum.polars
loss = logsum.torch.cross_entropy(scores, classes)`;
const shell = `seq 1 10 | logsum lse -             # 10.45862974442671
logsum softmax scores.csv --axis 1 -o p.npy
logsum lse draws.parquet --column log_w --by chain
logsum explain 1000 1001 1002       # derives the gradient`;

const start = [
  ["Rust", "cargo add logsum --path ../logsum/crates/logsum", "In a package beside the clone; Rust 1.95 or later.", rust],
  ["Python", "pip install ./crates/logsum-python", "In the clone; Python 3.11 or later and Rust 1.95 or later. It compiles for some minutes. logsumexp, softmax and log_softmax take SciPy's arguments.", python],
  ["Shell", "cargo install --path crates/logsum-cli", "In the clone; Rust 1.95 or later.", shell],
].map(
  ([name, install, where, code]) => `<section class="start"><div><h3>${name}</h3><p class="dim">${where}</p></div>
<div><pre tabindex="0"><code>${escape(install)}</code></pre><pre tabindex="0"><code>${escape(code.trim())}</code></pre></div></section>`,
);

const READ = [
  ["derivation.html", "Why the gradient is the softmax", "A live derivation: type your numbers, and follow each step, checked by the machine."],
  ["compare.html", "The comparison", `${most} hard inputs, ${summary.length} systems, each answer, and what the others do better.`],
  ["guide.html", "Log-probabilities that agree", "Why a sampler and a trainer disagree about one token, and what to do."],
  ["manual.html", "The manual", "What it does, in Rust, in Python and on files."],
  ["reference.html", "The reference", "Each operation: formula, special cases, derivatives, bounds."],
  ["design.html", "The design", "How it rounds correctly, with the proof, and what bounds the speed."],
  ["lesson.html", "A lesson", "Reverse-mode differentiation in a hundred lines of Rust."],
];

writeFileSync(
  process.argv[2],
  document({
    file: "index.html",
    kind: "landing",
    title: "logsum: log-sum-exp, right to the last bit",
    description: "The correctly rounded, differentiable log-sum-exp, in Rust, for Python, the shell and SQL.",
    header: `
<div>
<h1><span class="whole">Log-sum-exp,</span> right to the last bit</h1>
<p class="lead">logsum computes log Σ e<sup>z</sup>, its derivatives, softmax and log-softmax. The value, and each element of the gradient, of softmax and of
log-softmax, is the floating-point number nearest to the exact one. So there is one answer: the same bits at each SIMD level, on any number of threads, in any layout.</p>
<p class="lead">In Rust, in Python, on the command line and in SQL; differentiable in PyTorch, JAX, candle and burn.</p>
<p class="actions"><a class="main" href="#start">Start in thirty seconds</a> <a href="derivation.html">See it derived, live</a></p>
</div>
<div class="card">${first}</div>`,
    main: `
<section aria-labelledby="whom">
<h2 id="whom">Who it is for</h2>
<ul class="cards">
<li><h3>Statistics</h3><p>Evidence, mixtures, importance weights: sums of numbers that are given by their logarithms, with weights of any sign; their means, variances and effective sample sizes.</p></li>
<li><h3>Machine learning</h3><p>Softmax, cross-entropy and token log-probabilities with gradients that stay finite where a whole row is masked. On NVIDIA's GPUs log-sum-exp, softmax and log-softmax without weights have the CPU's bits, in PyTorch.</p></li>
<li><h3>Data</h3><p><code>GROUP BY</code> in DataFusion and DuckDB, expressions in Polars, and a command for files of tables and arrays. The state of a sum that arrives in pieces has the same bytes in any order.</p></li>
<li><h3>Reproducible work</h3><p>Batch, padding, split and threads change no bit of a correctly rounded value. A difference between two runs is then a difference of their inputs, or an error.</p></li>
</ul>
</section>
<section aria-labelledby="wrong">
<h2 id="wrong">Where others go wrong</h2>
<p>The formulas in use subtract the maximum first, which cures overflow. What is left are lost digits near 0, sums too large for the format, and weights that make a small exponential the largest term.</p>
<div class="scroll inputs" tabindex="0" role="group" aria-label="Six inputs, and what each system gives for them">${inputs}</div>
<p class="dim">✓ is the nearest float. All numbers are float64, except where f32 is said. ${others.map((name) => `${name} ${versions[name]}`).join(", ")}. Links lead to the live derivation. From ${source}.</p>
</section>
<section aria-labelledby="right">
<h2 id="right">How right it is</h2>
<p>${most} inputs that were chosen because they are hard, some of them from public reports. A bar is as long as the number of those that the system was given.</p>
<figure>${accuracy}</figure>
<p class="dim">Of everyday numbers the others lose some units in the last place, if anything. That log-sum-exp, its gradient, softmax and log-softmax
are the nearest floats has <a href="design.html">a proof</a>, and tests that try to refute it. Some of the wider family, such as entropies, have bounds of 1 or 2 ulp instead: <a href="manual.html">the manual</a> has each. From ${source}.</p>
</section>
<section aria-labelledby="fast">
<h2 id="fast">How fast it is</h2>
<p>logsum computes in phases of increasing precision. For everyday rows the first is enough, and it is vectorised. Rows whose value is near 0, such as normalised log-probabilities, and rows that were built to be hard take longer.</p>
<div class="panels">
${speeds.map(panel).join("\n")}
<p class="dim">Milliseconds on one thread, float32 over the last axis: a short bar is a fast system. Each chart has its own scale. × is the multiple of logsum's time: where it is below 1,
the other is faster. <a href="manual.html">The manual</a> has what hard rows cost, and GPUs. From ${source}.</p>
</div>
</section>
<section aria-labelledby="start">
<h2 id="start">Thirty seconds</h2>
<p>Version ${versions.logsum}. It is in no package registry yet: install it from a clone of its repository.</p>
${start.join("\n")}
</section>
<section aria-labelledby="read">
<h2 id="read">Read on</h2>
<ul class="cards links">
${READ.map(([address, title, words]) => `<li><h3><a href="${address}">${title}</a></h3><p>${words}</p></li>`).join("\n")}
</ul>
</section>
`,
  }),
);
