// The figures of COMPARE.md, which compare/run measures and writes: no page has one that is not there.
import { marked } from "marked";
import { read } from "./document.mjs";

const text = read("COMPARE.md");
const tokens = marked.lexer(text);

function must(found, what) {
  if (!found) throw new Error(`COMPARE.md has no ${what}`);
  return found;
}

// Where and when: "AMD EPYC, 2 cores", "2026-11-28".
export const [, machine, date] = must(text.match(/writes this page\. (.+), (\d{4}-\d\d-\d\d)\./), "machine and date");

// The first table under a heading, each row by the names of its columns; a first column that is empty is that of the
// row above.
export function table(heading) {
  const start = tokens.findIndex((token) => token.type === "heading" && token.text === heading);
  const { header, rows } = must(start >= 0 && tokens.slice(start).find((token) => token.type === "table"), `table "${heading}"`);
  let first = "";
  return rows.map((cells) => {
    first = cells[0].text || first;
    return Object.fromEntries(header.map(({ text }, k) => [text, k ? cells[k].text : first]));
  });
}

// What every system gave for one input.
export function answers(heading, what, input) {
  return must(table(heading).find((row) => row[""] === what && row.input === input), `row "${what}" of ${input}`);
}

export const summary = table("In short").map((row) => {
  const count = (name) => Number(must(row[name], `column "${name}"`));
  return {
    name: row[""],
    version: row.version,
    asked: count("asked"),
    parts: { nearest: count("nearest float"), near: count("within 4 ulp"), far: count("more"), wrong: count("wrong, NaN or an error") },
  };
});

// Milliseconds of each system for each piece of work, and their multiple of logsum's: "331 ms (10.9)".
export const speeds = table("Speed").map(({ float32, ...systems }) => ({
  work: float32,
  times: Object.entries(systems).flatMap(([name, said]) => (said ? [{ name, milliseconds: Number.parseFloat(said), multiple: said.match(/\((.*)\)/)?.[1] }] : [])),
}));
