// Theme, help, sorting, copying: all of the page that is not the viewer.
const $ = id => document.getElementById(id);

function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

function toggleTheme() {
  const light = document.documentElement.dataset.theme !== "light";
  document.documentElement.dataset.theme = light ? "light" : "dark";
  $("theme").setAttribute("aria-pressed", light);
}

function sort(table, column) {
  const heads = [...table.tHead.rows[0].cells], body = table.tBodies[0], rows = [...body.rows];
  const number = rows.some(r => r.cells[column].dataset.sort !== undefined);
  const old = heads[column].getAttribute("aria-sort");
  const way = old === "none" ? (number ? "descending" : "ascending") : old === "descending" ? "ascending" : "descending";
  const sign = way === "ascending" ? 1 : -1;
  const key = r => number ? r.cells[column].dataset.sort : r.cells[column].textContent;
  rows.sort((a, b) => {
    const [p, q] = [key(a), key(b)];
    if (p === undefined || q === undefined) return (p === undefined) - (q === undefined);  // empty cells last
    return sign * (number ? p - q : p.localeCompare(q, undefined, {numeric: true}));
  });
  heads.forEach((h, k) => h.setAttribute("aria-sort", k === column ? way : "none"));
  body.append(...rows);
}

for (const table of document.querySelectorAll("table.sortable"))
  [...table.tHead.rows[0].cells].forEach((head, k) => head.querySelector("button").addEventListener("click", () => sort(table, k)));

for (const button of document.querySelectorAll("button.copy"))
  button.addEventListener("click", async () => {
    const source = $(button.dataset.copy);
    try {
      await navigator.clipboard.writeText(source.textContent);
    } catch {  // not allowed here: mark the text instead, for the keyboard's own copy
      getSelection().selectAllChildren(source);
      document.execCommand("copy");
    }
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
  });

let before = null;  // paper is white: curves are printed in the light colours
addEventListener("beforeprint", () => { before = document.documentElement.dataset.theme; document.documentElement.dataset.theme = "light"; });
addEventListener("afterprint", () => { document.documentElement.dataset.theme = before; });

$("theme").addEventListener("click", toggleTheme);
$("help-open")?.addEventListener("click", () => $("help").showModal());
