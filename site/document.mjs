// What the pages that are made of the repository's own texts have in common.
export const escape = (text) => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;");

// `kind` is the class that style.css knows; the rest is HTML.
export const document = ({ kind, title, header, main }) => `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'self'; img-src 'self' data:">
<title>${title}</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="style.css">
<body class="${kind}">
<header>${header}</header>
<main>${main}</main>
</body>
</html>
`;
