// The page: state in the address, answers from the library, shown.
import katex from "./katex/katex.mjs";
import { examples, words } from "./words.js";

// What the library says of a request.
let library;
function ask(request) {
  const { memory, room, explain, answer } = library;
  const bytes = new TextEncoder().encode(JSON.stringify(request));
  const place = room(bytes.length);
  new Uint8Array(memory.buffer, place, bytes.length).set(bytes);
  const length = explain();
  return JSON.parse(new TextDecoder().decode(new Uint8Array(memory.buffer, answer(), length)));
}

const most = 32;
const state = { z: examples.plain, temperature: "1", index: 1, language: "en" };
// The state that had an answer last: it stays in sight while a number cannot be read.
let answered = { ...state };
const isScaled = () => answered.temperature !== "1";
const at = (id) => document.getElementById(id);
const say = () => words[state.language];

function element(name, properties = {}, ...children) {
  const { attributes = {}, ...rest } = properties;
  const made = Object.assign(document.createElement(name), rest);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

const known = new Map();
function formula(tex, displayMode = false) {
  const key = tex + displayMode;
  if (!known.has(key)) {
    if (known.size > 2000) known.clear();
    known.set(key, katex.renderToString(tex, { displayMode, strict: "error" }));
  }
  return known.get(key);
}

// The address.

function toAddress() {
  const fields = new URLSearchParams({ z: answered.z.join(","), t: answered.temperature, i: answered.index + 1, lang: answered.language });
  return "#" + fields.toString().replaceAll("%2C", ",");
}

// Not at each step of a slider: browsers refuse too many changes.
let pending;
function remember(delay) {
  clearTimeout(pending);
  pending = setTimeout(() => {
    try {
      history.replaceState(null, "", toAddress());
    } catch {
      // The address is behind until the next change.
    }
  }, delay);
}

function fromAddress() {
  clearTimeout(pending);
  const fields = new URLSearchParams(location.hash.slice(1));
  const z = fields.get("z");
  state.z = z ? z.split(",").slice(0, most) : examples.plain;
  const temperature = /^\d*\.?\d+$/.test(fields.get("t")) ? Number(fields.get("t")) : 1;
  state.temperature = temperature >= 0.01 && temperature <= 100 ? String(temperature) : "1";
  state.index = Math.min(Math.max(Number.parseInt(fields.get("i") ?? 2) - 1, 0), state.z.length - 1) || 0;
  const preferred = navigator.language?.startsWith("zh") ? "zh" : "en";
  state.language = Object.hasOwn(words, fields.get("lang")) ? fields.get("lang") : preferred;
}

// The numbers' rows. They stay while numbers change, so that a slider that is held is not lost.

const subscript = (k) => [...String(k + 1)].map((digit) => "₀₁₂₃₄₅₆₇₈₉"[digit]).join("");

function rows() {
  at("add").disabled = state.z.length === most;
  at("numbers").replaceChildren(
    ...state.z.map((text, k) => {
      const name = `z${subscript(k)}`;
      const radio = element("input", { type: "radio", name: "index", checked: k === state.index, attributes: { "aria-label": say().choose(name) } });
      radio.addEventListener("change", () => change({ index: k }));
      const slider = element("input", { type: "range", min: -20, max: 20, step: 0.1, value: Number(text.replace("−", "-")), attributes: { "aria-label": `${name}, ${say().slider}` } });
      slider.addEventListener("input", () => {
        typed.value = slider.value;
        change({ z: state.z.with(k, slider.value) });
      });
      const typed = element("input", { type: "text", inputMode: "text", autocomplete: "off", spellcheck: false, value: text, attributes: { "aria-label": name } });
      typed.addEventListener("input", () => change({ z: state.z.with(k, typed.value) }));
      const remove = element("button", { type: "button", className: "remove", textContent: "×", disabled: state.z.length === 1, attributes: { "aria-label": `${say().remove} ${name}` } });
      remove.addEventListener("click", () => {
        change({ z: state.z.toSpliced(k, 1), index: Math.min(state.index, state.z.length - 2) }, true);
        at("add").focus();
      });
      const bar = (kind) => element("div", { className: `bar ${kind}`, attributes: { role: "img" } }, element("i"), element("span"));
      const bars = element("div", { className: "bars" }, bar("z"), bar("power"), bar("share"));
      return element("li", {}, element("label", {}, radio, name), slider, typed, bars, remove);
    }),
  );
}

const toNumber = (x) => (typeof x === "number" ? x : Number(x.replace("inf", "Infinity").replace("nan", "NaN")));

function short(x) {
  if (!Number.isFinite(x)) return Number.isNaN(x) ? "NaN" : x > 0 ? "∞" : "−∞";
  const size = Math.abs(x);
  const text = x === 0 ? "0" : size >= 1e5 || size < 1e-3 ? x.toExponential(2) : String(Number(x.toPrecision(4)));
  return text.replace("-", "−");
}

const full = (x) => (Number.isFinite(x) ? String(x) : short(x)).replaceAll("-", "−");

function bars(found) {
  const [given, z, share] = [found.given, found.z, found.tempered.gradient].map((numbers) => numbers.map(toNumber));
  const finite = given.filter(Number.isFinite);
  const [low, high] = [Math.min(...finite), Math.max(...finite)];
  const max = Math.max(...z);
  at("power").textContent = isScaled() ? "ẑ/τ" : "ẑ";
  [...at("numbers").children].forEach((row, k) => {
    row.classList.toggle("chosen", k === state.index);
    const isAnswered = state.z[k] === answered.z[k];
    const slider = row.querySelector("[type=range]");
    slider.setAttribute("aria-valuetext", isAnswered ? full(given[k]) : state.z[k]);
    if (isAnswered) slider.value = Math.min(Math.max(given[k], -20), 20);
    // Halves, since high - low may be beyond f64.
    const place = high > low ? 0.06 + (0.94 * (given[k] / 2 - low / 2)) / (high / 2 - low / 2) : 1;
    const part = z[k] === max ? Number(max > -Infinity) : Math.exp(z[k] - max);
    const parts = {
      z: [`z${subscript(k)}`, given[k] === -Infinity ? 0 : given[k] === Infinity ? 1 : place, given[k]],
      power: [isScaled() ? `e^(ẑ${subscript(k)}/τ)` : `e^ẑ${subscript(k)}`, part, part],
      share: [`∂LSE/∂z${subscript(k)}`, share[k], share[k]],
    };
    for (const [kind, [name, width, value]] of Object.entries(parts)) {
      const bar = row.querySelector(`.bar.${kind}`);
      bar.firstChild.style.width = `${100 * (isAnswered && Number.isFinite(width) ? Math.min(Math.max(width, 0), 1) : 0)}%`;
      bar.lastChild.textContent = isAnswered ? short(value) : "";
      bar.setAttribute("aria-label", `${name} ${bar.lastChild.textContent}`);
    }
  });
}

function attempts(found) {
  const formulas = {
    naive: String.raw`\log \sum_k e^{z_k}`,
    shifted: String.raw`\log \sum_k e^{\hat z_k} + \max z`,
    correct: String.raw`\text{logsum}`,
  };
  at("attempts").replaceChildren(
    ...Object.entries(formulas).map(([name, tex]) => {
      const { value, digits, nearest } = found.attempts[name];
      const title = element("td", { innerHTML: formula(tex) });
      title.append(` ${say()[name]}`);
      const count = digits === "inf" ? say().all : toNumber(digits).toFixed(1);
      return element("tr", { className: nearest ? "good" : "bad" }, title, element("td", { textContent: full(toNumber(value)) }), element("td", { textContent: count }));
    }),
  );
}

function cases(found) {
  const maxima = found.setting.maxima ?? [];
  at("cases").replaceChildren(
    ...found.cases.map((one) => {
      const isCurrent = one.index === state.index || (one.case === "maximum" && maxima[0] === state.index);
      const lines = one.lines.map((line, place) => {
        const numbers = line.tex_numbers === line.tex_value ? line.tex_value : String.raw`${line.tex_numbers} \approx ${line.tex_value}`;
        const shown = element("div", { className: "scroll", innerHTML: formula(String.raw`\displaystyle ${place ? "= " : ""}${line.tex}`) });
        const putIn = element("div", { className: "put-in scroll", innerHTML: formula(String.raw`\approx ${numbers}`) });
        return element("li", {}, shown, ...(line.reason ? [element("div", { className: "why", textContent: line.reason })] : []), putIn);
      });
      const checked = element("p", { className: "checked" }, element("b", { textContent: "✓ " }), one.checked);
      return element(
        "section",
        { className: "case", attributes: { "aria-current": isCurrent, "data-case": one.case } },
        element("h3", { textContent: one.title }),
        element("ol", {}, ...lines),
        checked,
      );
    }),
  );
  for (const box of document.querySelectorAll(".case .scroll")) if (box.scrollWidth > box.clientWidth) box.tabIndex = 0;
  at("conclusion").textContent = found.cases.length > 1 ? found.conclusion : "";
}

function show() {
  let found = ask(state);
  const { error, which } = found;
  document.querySelectorAll("#numbers [type=text]").forEach((input, k) => input.setAttribute("aria-invalid", k === which));
  at("said").textContent = error ?? "";
  if (error) found = ask({ ...answered, index: Math.min(state.index, answered.z.length - 1), language: state.language });
  else answered = { ...state };
  document.body.classList.toggle("stale", Boolean(error));
  at("stale").hidden = !error;
  at("stale").textContent = error ? say().stale(answered.z.join(", "), answered.temperature) : "";
  bars(found);
  at("lse-name").textContent = isScaled() ? "τ · LSE(z/τ)" : "LSE(z)";
  at("value").textContent = full(toNumber(found.tempered.value));
  at("remark").hidden = !found.remark;
  at("remark").textContent = found.remark ?? "";
  at("scaled").hidden = !isScaled();
  attempts(found);
  at("steps").innerHTML = formula(String.raw`\begin{aligned} ${found.steps.join(String.raw` \\ `)} \end{aligned}`, true);
  cases(found);
  document.body.dataset.ready = "true";
  return !error;
}

let isAwaited = false;
function change(by, makesRows = false) {
  Object.assign(state, by);
  if (makesRows) rows();
  if (isAwaited) return;
  isAwaited = true;
  requestAnimationFrame(() => {
    isAwaited = false;
    if (show()) remember(300);
  });
}

function speak() {
  document.documentElement.lang = state.language;
  document.title = say().title;
  for (const node of document.querySelectorAll("[data-text]")) node.textContent = say()[node.dataset.text];
  for (const node of document.querySelectorAll("[data-label]")) node.setAttribute("aria-label", say()[node.dataset.label]);
  const other = state.language === "en" ? "zh" : "en";
  Object.assign(at("language"), { textContent: { en: "English", zh: "中文" }[other], lang: other });
  at("examples").replaceChildren(
    ...Object.entries(examples).map(([name, z]) => {
      const button = element("button", { type: "button", textContent: say().buttons[name], attributes: { "data-example": name } });
      button.addEventListener("click", () => change({ z, temperature: "1", index: Math.min(1, z.length - 1) }, true) ?? heat());
      return button;
    }),
  );
}

// The temperature's slider is that of its logarithm.
function heat() {
  at("temperature").value = Math.log10(Number(state.temperature));
  at("temperature").setAttribute("aria-valuetext", state.temperature);
  at("temperature-value").textContent = short(Number(state.temperature));
}

// The words do not wait for the library.
fromAddress();
speak();
try {
  library = (await WebAssembly.instantiateStreaming(fetch("logsum.wasm"))).instance.exports;
} catch (error) {
  document.querySelector("main").textContent = say().broken;
  at("language").hidden = true;
  throw error;
}

at("temperature").addEventListener("input", () => {
  change({ temperature: String(Number((10 ** Number(at("temperature").value)).toPrecision(3))) });
  heat();
});
at("add").addEventListener("click", () => {
  change({ z: [...state.z, "0"] }, true);
  at("numbers").lastElementChild.querySelector("[type=text]").focus();
});
at("language").addEventListener("click", () => {
  state.language = state.language === "en" ? "zh" : "en";
  speak();
  change({}, true);
});
at("link").addEventListener("click", async () => {
  remember(0);
  const copied = await navigator.clipboard?.writeText(new URL(toAddress(), location.href).href).then(() => true, () => false);
  at("said").textContent = copied ? say().copied : say().linked;
});
addEventListener("hashchange", begin);

function begin() {
  fromAddress();
  speak();
  rows();
  heat();
  show();
}
begin();
