// The pages in a real browser: `site/test`, after `site/build`.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, readdirSync } from "node:fs";
import { createServer } from "node:http";
import { after, before, test } from "node:test";
import { AxeBuilder } from "@axe-core/playwright";
import katex from "katex";
import { chromium } from "playwright-core";

const dist = new URL("dist/", import.meta.url).pathname;
const pictures = new URL("../target/site/", import.meta.url).pathname;
mkdirSync(pictures, { recursive: true });
const types = { html: "text/html", js: "text/javascript", mjs: "text/javascript", css: "text/css", wasm: "application/wasm", woff2: "font/woff2", svg: "image/svg+xml" };
const pages = readdirSync(dist).filter((name) => name.endsWith(".html"));
const texts = pages.filter((name) => name !== "derivation.html");
const schemes = ["light", "dark"];
const server = createServer((request, response) => {
  const path = new URL(request.url, "http://page").pathname.replace(/\/$/, "/index.html").replaceAll("..", "");
  try {
    const body = readFileSync(dist + path);
    response.setHeader("content-type", types[path.split(".").pop()] ?? "text/plain").end(body);
  } catch {
    response.writeHead(404).end();
  }
});

let browser, home, live;
before(async () => {
  await new Promise((ready) => server.listen(0, "127.0.0.1", ready));
  home = `http://127.0.0.1:${server.address().port}/`;
  live = `${home}derivation.html`;
  const quiet = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];
  browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: quiet });
});
after(async () => {
  await browser?.close();
  server.close();
});

// Opens a page. The test fails if the page has an error or a warning, or requests anything from another server.
async function open(t, address = "derivation.html", options = {}) {
  const context = await browser.newContext({ locale: "en-GB", ...options });
  const page = await context.newPage();
  const complaints = [];
  page.on("console", (message) => ["error", "warning"].includes(message.type()) && complaints.push(message.text()));
  page.on("pageerror", (error) => complaints.push(String(error)));
  page.on("request", (request) => request.url().startsWith(home) || request.url().startsWith("data:") || complaints.push(request.url()));
  page.on("response", (response) => response.status() >= 400 && complaints.push(`${response.status()} ${response.url()}`));
  t.after(async () => {
    await context.close();
    assert.deepEqual(complaints, []);
  });
  await page.goto(home + address);
  if (address.startsWith("derivation")) await page.waitForSelector("body[data-ready]");
  return page;
}

const shown = async (page) => (await page.textContent("#value")).replaceAll("−", "-").replace("∞", "Infinity");
const settled = (page) => page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));

// The command, built for this machine. With an example, the features are those of cargo test, and nothing is compiled
// again.
execFileSync("cargo", ["build", "--locked", "--quiet", "--bins", "--example", "digits"]);
const command = (rest, options) => execFileSync("../target/debug/logsum", rest, { encoding: "utf8", ...options });

// The command's output for the same numbers.
function explained(...numbers) {
  return JSON.parse(command(["explain", ...numbers, "--format", "json"]));
}
const number = (x) => (typeof x === "number" ? x : Number(x.replace("inf", "Infinity")));

test("values are the library's, to the bit", async (t) => {
  const page = await open(t);
  for (const z of [["3", "1", "-2"], ["1000", "1001", "1002"], ["0", "-40"], ["-1.2039728043259361", "-0.35667494393873245"], ["1e-300", "-5e-9", "-800"], ["7", "-inf"], ["inf", "inf", "2"]]) {
    await page.goto(`${live}#z=${z.join(",")}&t=1&i=1&lang=en`);
    await settled(page);
    const expected = explained(...z);
    assert.equal(Number(await shown(page)), number(expected.value), z);
    const shares = await page.$$eval(".bar.share span", (bars) => bars.map((bar) => bar.textContent));
    assert.equal(shares.length, z.length);
    const answer = await page.evaluate(async (z) => {
      const { instance } = await WebAssembly.instantiateStreaming(fetch("logsum.wasm"));
      const { memory, room, explain, answer } = instance.exports;
      const bytes = new TextEncoder().encode(JSON.stringify({ z, temperature: "1", language: "en" }));
      const place = room(bytes.length);
      new Uint8Array(memory.buffer, place, bytes.length).set(bytes);
      const length = explain();
      return JSON.parse(new TextDecoder().decode(new Uint8Array(memory.buffer, answer(), length)));
    }, z);
    assert.deepEqual(answer.gradient, expected.gradient, z);
    assert.deepEqual(answer.tempered.gradient, expected.gradient, z);
    // The number of digits to which lines agree is computed by a logarithm that differs between machines.
    const withoutDigits = (cases) => cases.map(({ digits, ...others }) => others);
    assert.deepEqual(withoutDigits(answer.cases), withoutDigits(expected.cases), z);
  }
});

test("numbers are typed, dragged, added and removed", async (t) => {
  const page = await open(t);
  const first = page.locator("#numbers [type=text]").first();
  await first.fill("1000");
  await settled(page);
  assert.equal(await shown(page), String(explained("1000", "1", "-2").value));
  assert.match(await page.textContent("#attempts tr:first-child"), /∞\s*0\.0/);
  await page.locator("#numbers [type=range]").first().fill("2.5");
  await settled(page);
  assert.equal(await first.inputValue(), "2.5");
  assert.equal(await shown(page), String(explained("2.5", "1", "-2").value));
  await page.click("#add");
  await settled(page);
  assert.equal(await shown(page), String(explained("2.5", "1", "-2", "0").value));
  await page.locator(".remove").first().click();
  await settled(page);
  assert.equal(await shown(page), String(explained("1", "-2", "0").value));
  const address = /#z=1,-2,0&t=1&i=2&lang=en$/;
  await page.waitForURL(address, { timeout: 5000 });
  assert.match(page.url(), address);
  // Text that is not a number is reported, and the results of before stay.
  await first.fill("1x");
  await settled(page);
  assert.equal(await page.textContent("#said"), '"1x" is not a number');
  assert.equal(await first.getAttribute("aria-invalid"), "true");
  assert.equal(await shown(page), String(explained("1", "-2", "0").value));
  await first.fill("−∞");
  await settled(page);
  assert.equal(await shown(page), String(explained("-inf", "-2", "0").value));
});

const textsOf = (page, what) => page.$$eval(what, (nodes) => nodes.map((node) => node.textContent));
const invalid = (page) => page.$$eval("#numbers [type=text]", (inputs) => inputs.flatMap((input, k) => (input.getAttribute("aria-invalid") === "true" ? [k] : [])));
const isStale = (page) => page.evaluate(() => document.body.classList.contains("stale") && !document.getElementById("stale").hidden);

test("a number that cannot be read is marked, and the rest is seen to be old", async (t) => {
  const page = await open(t, "derivation.html#z=3,1,-2&t=1&i=2&lang=zh");
  const second = page.locator("#numbers [type=text]").nth(1);
  for (const [wrong, said] of [["−x", "“−x”不是数"], ["∞x", "“∞x”不是数"], ["1,5", "“1,5”不是数"]]) {
    await second.fill(wrong);
    await settled(page);
    assert.equal(await page.textContent("#said"), said);
    assert.deepEqual(await invalid(page), [1]);
    assert.ok(await isStale(page));
    assert.match(await page.textContent("#stale"), /z = 3, 1, -2、τ = 1 /);
  }
  // Rows whose number has not changed since the last answer keep their bars, whatever is added or moved.
  await page.click("#add");
  await page.locator("#temperature").fill("-0.3");
  await settled(page);
  assert.deepEqual(await textsOf(page, ".bar.z span"), ["3", "", "−2", ""]);
  assert.equal(await shown(page), String(explained("3", "1", "-2").value));
  assert.ok(await isStale(page));
  await page.click("#language");
  await settled(page);
  assert.equal(await page.textContent("#said"), '"1,5" is not a number');
  assert.match(await page.textContent(".case h3"), /^Case/);
  // Only numbers that have an answer are put into the address.
  await new Promise((done) => setTimeout(done, 500));
  assert.match(page.url(), /#z=3,1,-2&t=1&i=2&lang=zh$/);
  await page.locator("#numbers [type=text]").nth(1).fill("1.5");
  await settled(page);
  assert.equal(await isStale(page), false);
  assert.deepEqual(await invalid(page), []);
  await page.waitForURL(/#z=3,1.5,-2,0&t=0.501&i=2&lang=en$/, { timeout: 5000 });
});

test("any address shows a page", async (t) => {
  const page = await open(t);
  const plain = String(explained("3", "1", "-2").value);
  for (const hash of ["lang=constructor", "lang=__proto__", "lang=toString", "t=Infinity", "t=1e400", "t=0x10", "t=0", "t=-1", "t=1000", "t=.001", "t=", "z=", "i=-5", ""]) {
    await page.goto("about:blank");
    await page.goto(`${live}#${hash}`);
    await page.waitForSelector("body[data-ready]");
    assert.equal(await shown(page), plain, hash);
    assert.equal(await isStale(page), false, hash);
  }
  for (const [hash, said] of [["z=abc,1", '"abc" is not a number'], ["z=1e308,3&t=0.01", "1e308/τ is too large for f64"]]) {
    await page.goto("about:blank");
    await page.goto(`${live}#${hash}`);
    await page.waitForSelector("body[data-ready]");
    assert.equal(await page.textContent("#said"), said);
    assert.deepEqual(await invalid(page), [0]);
    assert.ok(await isStale(page));
    assert.equal(await shown(page), plain, "the example's");
    assert.deepEqual(await page.$$eval("#numbers [type=range]", (sliders) => sliders.map((slider) => slider.value)), hash.startsWith("z=abc") ? ["0", "1"] : ["20", "3"]);
  }
  await page.goto(`${live}#z=7,8&t=2`);
  await page.goto(`${live}#`);
  await settled(page);
  assert.equal(await shown(page), plain);
  assert.deepEqual(await textsOf(page, ".bar.z span"), ["3", "1", "−2"]);
});

test("a slider that is held does not wear out the address", async (t) => {
  const page = await open(t);
  await page.evaluate(() => {
    window.changes = 0;
    history.replaceState = () => {
      window.changes++;
      throw new DOMException("too many", "SecurityError");
    };
  });
  const slider = page.locator("#numbers [type=range]").first();
  for (let k = 0; k < 30; k++) await slider.fill(String(k / 10));
  await settled(page);
  assert.equal(await shown(page), String(explained("2.9", "1", "-2").value));
  await page.waitForFunction(() => window.changes > 0);
  assert.ok((await page.evaluate(() => window.changes)) < 5);
});

test("at another temperature, rows show z and the rest says what z is", async (t) => {
  const page = await open(t, "derivation.html#z=3,1,-2&t=0.5");
  assert.equal(await page.textContent("#scaled:visible"), "Below, z stands for z/τ.");
  assert.deepEqual(await textsOf(page, ".bar.z span"), ["3", "1", "−2"]);
  await page.goto(`${live}#z=1e306,3&t=0.01&lang=zh`);
  await settled(page);
  assert.equal(await page.textContent("#scaled:visible"), "下文的 z 指 z/τ。");
  assert.deepEqual(await textsOf(page, ".bar.z span"), ["1.00e+306", "3"]);
  await page.goto(`${live}#z=3,1,-2&t=1.0`);
  await settled(page);
  assert.equal(await page.locator("#scaled:visible").count(), 0);
});

test("bars and sliders say what they show", async (t) => {
  const page = await open(t, "derivation.html#z=3,1000&t=0.5&lang=zh");
  const labels = (what, attribute) => page.$$eval(what, (nodes, attribute) => nodes.map((node) => node.getAttribute(attribute)), attribute);
  assert.deepEqual(await labels("#numbers li:nth-child(2) .bar", "aria-label"), ["z₂ 1000", "e^(ẑ₂/τ) 1", "∂LSE/∂z₂ 1"]);
  assert.deepEqual(await labels("[type=range]", "aria-valuetext"), ["3", "1000", "0.5"]);
  assert.deepEqual(await labels("[type=radio]", "aria-label"), ["对 z₁ 求导", "对 z₂ 求导"]);
  await page.locator("#temperature").fill("1");
  assert.equal(await page.getAttribute("#temperature", "aria-valuetext"), "10");
  await page.click("[data-example=none]");
  await settled(page);
  assert.deepEqual(await textsOf(page, ".bar.power span"), ["0", "0"]);
  await page.setViewportSize({ width: 360, height: 800 });
  assert.ok(await page.isVisible(".legend"));
});

test("there are 32 numbers at most", async (t) => {
  const page = await open(t, `derivation.html#z=${Array(31).fill("1")}`);
  await page.click("#add");
  assert.ok(await page.isDisabled("#add"));
  await page.locator(".remove").last().click();
  assert.ok(await page.isEnabled("#add"));
});

test("without the library it says so", async (t) => {
  const context = await browser.newContext({ locale: "zh-CN" });
  t.after(() => context.close());
  const page = await context.newPage();
  await page.route("**/logsum.wasm", (route) => route.abort());
  await page.goto(live);
  await page.waitForSelector("main:has-text('没有加载成功')");
  assert.match(await page.textContent("h1"), /softmax/);
});

test("the case of the chosen number is the current one", async (t) => {
  const page = await open(t, "derivation.html#z=3,1,-2&i=3&lang=en");
  const current = () => page.getAttribute(".case[aria-current=true]", "data-case");
  assert.equal(await current(), "other");
  assert.match(await page.textContent(".case[data-case=other] h3"), /i = 3/);
  await page.locator("#numbers [type=radio]").first().check();
  await settled(page);
  assert.equal(await current(), "maximum");
  // By the keyboard.
  await page.keyboard.press("ArrowDown");
  await settled(page);
  assert.equal(await current(), "other");
  assert.match(await page.textContent(".case[data-case=other] h3"), /i = 2/);
});

test("each example, both languages, the temperature", async (t) => {
  const page = await open(t);
  for (const name of await page.$$eval("[data-example]", (buttons) => buttons.map((button) => button.dataset.example))) {
    await page.click(`[data-example=${name}]`);
    await settled(page);
    assert.notEqual(await shown(page), "");
    assert.equal(await page.locator(".katex-error").count(), 0);
  }
  assert.match(await page.textContent("#remark"), /no mass/);
  await page.click("#language");
  await settled(page);
  assert.match(await page.textContent("#remark"), /概率质量/);
  assert.equal(await page.getAttribute("html", "lang"), "zh");
  await page.goto(`${live}#z=3,1,-2&t=0.5&i=1&lang=zh`);
  await settled(page);
  const cold = explained("6", "2", "-4");
  assert.ok(Math.abs(Number(await shown(page)) - cold.value / 2) < 1e-15 * 4);
  await page.locator("#temperature").fill("0");
  await settled(page);
  assert.equal(await shown(page), String(explained("3", "1", "-2").value));
});

test("screen readers and keyboards find their way", async (t) => {
  const views = [...pages, "derivation.html#z=3,-inf&t=0.5&lang=zh"].flatMap((address) => schemes.map((colorScheme) => [address, { colorScheme }]));
  for (const [address, options] of views) {
    const page = await open(t, address, options);
    // KaTeX's own markup is hidden from screen readers, which read its MathML.
    const { violations } = await new AxeBuilder({ page }).exclude(".katex").analyze();
    assert.deepEqual(violations.map(({ id, nodes }) => [id, nodes.map(({ html }) => html).slice(0, 3)]), [], address);
  }
});

test("it fits a phone and a desk, light and dark", async (t) => {
  for (const [width, language] of [[360, "zh"], [1280, "en"]]) {
    for (const colorScheme of ["light", "dark"]) {
      const page = await open(t, `derivation.html#z=1000,1001,1002&i=3&lang=${language}`, { viewport: { width, height: 900 }, colorScheme });
      assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), `${width}: it is wider than the screen`);
      await page.screenshot({ path: `${pictures}page-${width}-${colorScheme}.png`, fullPage: true });
      await page.goto(`${live}#z=3,1e,-2&t=0.5&lang=${language}`);
      await settled(page);
      await page.screenshot({ path: `${pictures}stale-${width}-${colorScheme}.png`, fullPage: true });
      await page.goto(`${live}#z=3,1,-2&t=0.5&lang=${language}`);
      await settled(page);
      assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), `${width}: it is wider than the screen`);
      await page.screenshot({ path: `${pictures}scaled-${width}-${colorScheme}.png`, fullPage: true });
    }
  }
});

test("no page is wider than its window, light and dark", async (t) => {
  for (const width of [360, 800, 1400]) {
    for (const colorScheme of schemes) {
      const page = await open(t, "index.html", { viewport: { width, height: 900 }, colorScheme });
      for (const name of texts) {
        await page.goto(home + name);
        assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), `${width}: ${name} is wider than the screen`);
        await page.screenshot({ path: `${pictures}${name.replace(".html", "")}-${width}-${colorScheme}.png`, fullPage: name === "index.html" });
      }
    }
  }
});

test("every page has a title, one main heading, headings in order, landmarks and the policy", async (t) => {
  const page = await open(t, "index.html");
  assert.equal(await page.title(), "logsum: log-sum-exp, right to the last bit");
  const titles = new Set();
  for (const name of pages) {
    await page.goto(home + name);
    titles.add(await page.title());
    const levels = await page.$$eval("h1, h2, h3, h4, h5, h6", (headings) => headings.map((heading) => Number(heading.tagName[1])));
    assert.equal(levels[0], 1, name);
    assert.ok(levels.every((level, k) => k === 0 || (level > 1 && level <= levels[k - 1] + 1)), `${name}: ${levels}`);
    for (const landmark of ["nav.pages", "header", "main", "footer"]) assert.equal(await page.locator(`body > ${landmark}`).count(), 1, `${name}: ${landmark}`);
    assert.deepEqual(await page.$$eval("nav.pages [aria-current=page]", (links) => links.map((link) => link.getAttribute("href"))), [name]);
    const policy = await page.getAttribute("meta[http-equiv=Content-Security-Policy]", "content");
    assert.equal(policy, name === "derivation.html" ? "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self' 'unsafe-inline'; img-src 'self' data:" : "default-src 'self'; img-src 'self' data:");
  }
  assert.equal(titles.size, pages.length);
});

test("links lead to files and places that are there", async (t) => {
  const page = await open(t, "index.html");
  const places = new Map();
  const links = [];
  for (const name of pages) {
    await page.goto(home + name);
    places.set(name, new Set(await page.$$eval("[id]", (nodes) => nodes.map((node) => node.id))));
    for (const address of await page.$$eval("a[href], img[src]", (nodes) => nodes.map((node) => node.href ?? node.src))) if (address.startsWith(home)) links.push([name, address.slice(home.length)]);
  }
  assert.ok(links.length > 300);
  for (const [from, address] of links) {
    const [file, place] = address.split("#");
    assert.ok(existsSync(dist + file), `${from}: ${address}`);
    if (place && file !== "derivation.html") assert.ok(places.get(file).has(decodeURIComponent(place)), `${from}: ${address}`);
  }
});

test("the charts have the figures of COMPARE.md, and say when and where", async (t) => {
  const page = await open(t, "index.html", { javaScriptEnabled: false });
  const compared = readFileSync(new URL("../COMPARE.md", import.meta.url), "utf8");
  const rowsOf = (heading) => compared.split(`## ${heading}\n`)[1].split("\n## ")[0].split("\n").filter((line) => line.startsWith("| ")).slice(1).map((line) => line.split("|").slice(1, -1).map((cell) => cell.trim()));
  const counts = await page.$$eval("details tbody tr", (rows) => rows.map((row) => [...row.cells].map((cell) => cell.textContent)));
  assert.deepEqual(counts, rowsOf("In short").map(([name, , ...figures]) => [name, ...figures]));
  const widths = await page.$$eval("figure .bars tbody tr", (rows) => rows.map((row) => [...row.querySelectorAll("rect")].map((rect) => Number.parseFloat(rect.getAttribute("width")))));
  for (const [k, row] of widths.entries()) assert.ok(Math.abs(row.reduce((sum, width) => sum + width) - (100 * counts[k][1]) / counts[0][1]) < 1e-9, counts[k][0]);
  const times = await page.$$eval(".panels .bars", (tables) => tables.map((table) => [...table.tBodies[0].rows].map((row) => [row.cells[2].textContent.replaceAll("\u202f", ""), row.cells[3].textContent])));
  const measured = rowsOf("Speed").map(([, ...cells]) => cells.filter(Boolean).map((cell) => cell.match(/^(\S+) ms(?: \((.*)\))?$/)).map(([, time, multiple]) => [`${Number(time)} ms`, multiple ? `${multiple}×` : ""]));
  assert.deepEqual(times, measured);
  const [, machine, date] = compared.match(/writes this page\. (.*), \d cores, (\S+)\.\n/);
  for (const section of ["wrong", "right", "fast"]) assert.match(await page.textContent(`section[aria-labelledby=${section}]`), new RegExp(`${machine}.*${date}`));
});

// Axe does not check SVG.
test("charts are seen in both schemes", async (t) => {
  for (const colorScheme of schemes) {
    const page = await open(t, "index.html", { colorScheme });
    const [onGround, onBars] = await page.evaluate(() => {
      const light = (colour) => {
        const [r, g, b] = colour.match(/[\d.]+/g).map((part) => (part / 255 <= 0.04045 ? part / 255 / 12.92 : ((part / 255 + 0.055) / 1.055) ** 2.4));
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
      };
      const contrast = (a, b) => (Math.max(light(a), light(b)) + 0.05) / (Math.min(light(a), light(b)) + 0.05);
      const fill = (node) => getComputedStyle(node).fill;
      const ground = getComputedStyle(document.body).backgroundColor;
      return [
        [...document.querySelectorAll("rect")].map((bar) => contrast(fill(bar), ground)),
        [...document.querySelectorAll("svg text")].map((text) => contrast(fill(text), fill(text.previousElementSibling))),
      ];
    });
    assert.ok(Math.min(...onGround) >= 3, `${colorScheme}: bars ${Math.min(...onGround)}`);
    assert.ok(Math.min(...onBars) >= 4.5, `${colorScheme}: figures on bars ${Math.min(...onBars)}`);
  }
});

test("the landing page's command prints what it says", async (t) => {
  const page = await open(t, "index.html");
  const [, said] = (await page.textContent("main")).match(/seq 1 10 \| logsum lse - +# (\S+)/);
  const numbers = Array.from({ length: 10 }, (_, k) => k + 1).join("\n");
  assert.equal(command(["lse", "-"], { input: numbers }).trim(), said);
});

test("the reference has every exported operation", async (t) => {
  const page = await open(t, "reference.html");
  const names = new Set(await page.$$eval("article h3", (titles) => titles.map((title) => title.textContent)));
  const exported = readFileSync(new URL("../crates/logsum/tests/coverage.rs", import.meta.url), "utf8");
  const operations = [...exported.matchAll(/^ {8}"(\w+)",$/gm), ...exported.matchAll(/reduction\("(\w+)"/g), ...exported.matchAll(/ of\("(\w+)"/g)].map((match) => match[1]);
  assert.ok(operations.length > 15, operations.join());
  assert.deepEqual(operations.filter((name) => !names.has(name)), ["logsumexp_and_phase"], "hidden is what tests alone use");
  const dangling = await page.$$eval('a[href^="#"]', (links) => links.map((link) => link.hash.slice(1)).filter((id) => !document.getElementById(id)));
  assert.deepEqual(dangling, []);
});

test("documents by the command are well-formed", async (t) => {
  const write = (format, ...rest) => command(["explain", ...rest, "--format", format]);
  for (const arguments_ of [["3", "1", "-2"], ["1e-300", "-5e-9", "-inf", "--lang", "zh"], ["inf", "inf"], ["nan"], ["1", "2", "3", "4", "5", "6", "7", "8", "9"]]) {
    const tex = write("tex", ...arguments_);
    const formulas = [...tex.matchAll(/\\begin\{align\*\}[\s\S]*?\\end\{align\*\}/g), ...tex.matchAll(/\$([^$]+)\$/g)].map((match) => match[1] ?? match[0]);
    assert.ok(formulas.length >= 4, tex);
    for (const formula of formulas) katex.renderToString(formula, { displayMode: formula.startsWith("\\begin"), strict: (code) => (code === "unicodeTextInMathMode" ? "ignore" : "error") });
    const outside = tex.replaceAll(/\\begin\{align\*\}[\s\S]*?\\end\{align\*\}/g, "").replaceAll(/\$[^$]+\$/g, "");
    assert.doesNotMatch(outside, /[_^ẑᵢₖ₀-₉∂Σ∞≠−]/u);
  }
  const html = write("html", "3", "1", "-2");
  const page = await open(t);
  await page.setContent(html);
  assert.equal(await page.locator("math").count() > 20, true);
  assert.equal(await page.locator("merror").count(), 0);
  assert.doesNotMatch(await page.textContent("main"), /&|\\/);
  await page.screenshot({ path: `${pictures}explain.png`, fullPage: true });
});
