// Tables: sort by a click on a heading, filter by words, show all rows or all columns. Without it all is shown.
"use strict";
const FIRST = 12; // rows that are shown before the reader asks for more

function button(text, act) {
  const made = document.createElement("button");
  made.type = "button";
  made.textContent = text;
  made.addEventListener("click", () => act(made));
  return made;
}

function key(row, place) {
  const cell = row.cells[place];
  return cell.dataset.key === undefined ? cell.textContent : Number(cell.dataset.key);
}

function compare(a, b) {
  if (typeof a === "number" && typeof b === "number") return a - b;
  if (typeof a !== typeof b) return typeof a === "number" ? -1 : 1; // a dash, where there is no number, comes last
  return a.localeCompare(b, undefined, { numeric: true });
}

function enhance(figure) {
  const tools = figure.querySelector(".tools"), body = figure.querySelector("tbody");
  const rows = () => Array.from(body.rows);
  const filter = document.createElement("input"), cut = document.createElement("span");
  const count = body.rows.length, file = tools.querySelector("a").getAttribute("href");
  let all = body.rows.length <= FIRST + 3;

  function show() {
    const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    rows().forEach((row, place) => {
      const text = row.textContent.toLowerCase();
      const found = words.every((word) => text.includes(word));
      row.hidden = !found || !(all || words.length || place < FIRST);
    });
    const shown = rows().filter((row) => !row.hidden).length;
    cut.textContent = shown < count ? `${shown} of ${count} rows shown; all are in ${file}` : "";
  }

  function sort(place, heading) {
    const turn = heading.getAttribute("aria-sort") === "ascending" ? -1 : 1;
    figure.querySelectorAll("th").forEach((other) => other.removeAttribute("aria-sort"));
    heading.setAttribute("aria-sort", turn === 1 ? "ascending" : "descending");
    body.append(...rows().sort((a, b) => turn * compare(key(a, place), key(b, place))));
    show();
  }

  figure.querySelectorAll("th").forEach((heading, place) => {
    const text = heading.textContent;
    heading.textContent = "";
    heading.append(button(text, () => sort(place, heading)));
  });
  if (figure.querySelector("th.more")) {
    figure.classList.add("few");
    tools.prepend(button("All columns", (made) => {
      made.textContent = figure.classList.toggle("few") ? "All columns" : "Fewer columns";
    }));
  }
  if (!all) {
    tools.prepend(button(`All ${count} rows`, (made) => {
      all = !all;
      made.textContent = all ? `First ${FIRST} rows` : `All ${count} rows`;
      show();
    }));
    filter.type = "search";
    filter.placeholder = "Filter";
    filter.setAttribute("aria-label", "Filter the rows of this table");
    filter.addEventListener("input", show);
    tools.prepend(filter);
  }
  cut.className = "cut";
  cut.setAttribute("role", "status");
  tools.append(cut);
  show();
}

document.querySelectorAll("figure.table").forEach(enhance);

// A folded section opens when the contents lead to it, and for printing.
function unfold(within) {
  within.querySelectorAll("details").forEach((folded) => { folded.open = true; });
}
document.querySelectorAll("nav a").forEach((link) => {
  link.addEventListener("click", () => unfold(document.querySelector(link.getAttribute("href"))));
});
window.addEventListener("beforeprint", () => unfold(document));
