// What all pages have in common: the head, the way to the others, the foot.
import { readFileSync } from "node:fs";

export const read = (path) => readFileSync(new URL(`../${path}`, import.meta.url), "utf8");
export const escape = (text) => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll('"', "&quot;");

const PAGES = [
  ["index.html", "logsum"],
  ["derivation.html", "Live derivation"],
  ["compare.html", "Comparison"],
  ["guide.html", "Guide"],
  ["manual.html", "Manual"],
  ["reference.html", "Reference"],
  ["design.html", "Design"],
  ["lesson.html", "Lesson"],
];
const version = read("Cargo.toml").match(/^version = "(.*)"/m)[1];
const icon = "%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E%3Cpath d='M2 14V9h3v5zm4.5 0V2h3v12zM11 14V6h3v8z' fill='%234a7bd0'/%3E%3C/svg%3E";

// `file` is the page's name in site/dist; `kind` the class that style.css knows; `policy` and `head` are for what needs
// more than text. The rest is HTML. The pages' names are in English also where a page is in another language.
export const document = ({ file, kind, title, description, policy = "default-src 'self'; img-src 'self' data:", head = "", header, main, footer = "" }) => `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="${policy}">
<meta name="description" content="${escape(description)}">
<title>${escape(title)}</title>
<link rel="icon" href="data:image/svg+xml,${icon}">
${head}<link rel="stylesheet" href="style.css">
<body class="${kind}">
<a class="skip" href="#main" lang="en">To the text</a>
<nav class="pages" lang="en" aria-label="Pages"><ul>
${PAGES.map(([address, name]) => `<li><a href="${address}"${address === file ? ' aria-current="page"' : ""}>${name}</a></li>`).join("\n")}
</ul></nav>
<header>${header}</header>
<main id="main">${main}</main>
<footer>${footer}<p lang="en">logsum ${version}, under MIT or Apache-2.0, at your choice.</p></footer>
</body>
</html>
`;
