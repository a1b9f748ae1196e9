// The repository's Markdown as HTML: what scrolls can be reached by the keyboard, and a heading without words is none.
import { Marked, Renderer } from "marked";

// As GitHub makes them, so that links in the texts hold on both.
const slug = (text) => text.toLowerCase().replace(/[^\p{L}\p{N}\s_-]/gu, "").trim().replace(/\s/g, "-");

// `link` and `image` say where a link leads here, and where an image is: null for nowhere, of which the words stay.
// `hasAnchors`: headings can be linked to.
export function toHtml(markdown, { link = (address) => address, image = () => null, hasAnchors = false } = {}) {
  const plain = Renderer.prototype;
  let chapter = "";
  let tables = 0;
  const renderer = {
    heading({ tokens, depth, text }) {
      [chapter, tables] = [text.replace(/[`*]/g, ""), 0];
      return `<h${depth}${hasAnchors ? ` id="${slug(text)}"` : ""}>${this.parser.parseInline(tokens)}</h${depth}>\n`;
    },
    link(token) {
      const href = link(token.href);
      return href ? plain.link.call(this, { ...token, href }) : this.parser.parseInline(token.tokens);
    },
    image(token) {
      const href = image(token.href);
      return href ? plain.image.call(this, { ...token, href }) : token.text;
    },
    code(token) {
      return plain.code.call(this, token).replace("<pre>", '<pre tabindex="0">');
    },
    table(token) {
      tables++;
      const label = `Table: ${chapter}${tables > 1 ? `, ${tables}` : ""}`.replaceAll('"', "&quot;");
      return `<div class="scroll" tabindex="0" role="group" aria-label="${label}">${plain.table.call(this, token)}</div>\n`;
    },
    tablecell({ tokens, header }) {
      const words = this.parser.parseInline(tokens);
      if (header && words) return `<th scope="col">${words}</th>\n`;
      const kind = { "✓": "good", "✗": "bad" }[words[0]];
      return `<td${kind ? ` class="${kind}"` : ""}>${words}</td>\n`;
    },
  };
  return new Marked({ renderer }).parse(markdown);
}
