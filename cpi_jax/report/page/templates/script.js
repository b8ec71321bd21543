"use strict";
// Everything is on the page already: this sorts, filters and compares what is there. Without it all of it is shown.
document.documentElement.classList.add("scripted");

const all = (selector, within = document) => [...within.querySelectorAll(selector)];

// Sorting: a button in each column's head; cells are compared by data-key, or by their text.
function keyOf(row, column, isNumber) {
  const cell = row.cells[column];
  const text = cell.dataset.key ?? cell.textContent.trim();
  if (!isNumber) return text;
  const value = parseFloat(text.replace("−", "-").replace("<", "").replace("+", ""));
  return Number.isNaN(value) ? -Infinity : value;
}

function sortBy(table, head) {
  const column = head.cellIndex;
  const isNumber = head.dataset.kind === "number";
  const ascending = head.getAttribute("aria-sort") !== "ascending" && !(isNumber && head.getAttribute("aria-sort") === null);
  all("thead th", table).forEach((other) => other.removeAttribute("aria-sort"));
  head.setAttribute("aria-sort", ascending ? "ascending" : "descending");
  const rows = all("tbody tr", table);
  rows.sort((a, b) => {
    const x = keyOf(a, column, isNumber), y = keyOf(b, column, isNumber);
    const order = isNumber ? x - y || 0 : x.localeCompare(y, undefined, { numeric: true });
    return ascending ? order : -order;
  });
  table.tBodies[0].append(...rows);
}

for (const table of all("table.sortable")) {
  for (const head of all("thead th:not(.plot)", table)) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "sort";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => sortBy(table, head));
  }
}

// Rankings: one at a time, and concepts by a part of their name.
for (const choose of all("select.choose-view")) {
  const views = all(".view", document.getElementById(choose.dataset.of));
  const show = () => views.forEach((view) => { view.hidden = view.id !== choose.value; });
  choose.addEventListener("change", show);
  show();
}
for (const input of all("input.filter-rows")) {
  const rows = all(".view tbody tr", document.getElementById(input.dataset.of));
  input.addEventListener("input", () => {
    const part = input.value.trim().toLowerCase();
    rows.forEach((row) => { row.hidden = !row.dataset.concept.toLowerCase().includes(part); });
  });
}

// Pictures: filters, order, and the swipe.
for (const gallery of all(".gallery")) {
  const list = gallery.querySelector(".cards");
  const cards = all(".picture", list);
  const count = gallery.querySelector(".count");
  const value = (name) => gallery.querySelector(name)?.value ?? "";
  const checked = (name) => gallery.querySelector(name).checked;
  const orders = {
    fall: (a, b) => a.dataset.change - b.dataset.change,
    rise: (a, b) => b.dataset.change - a.dataset.change,
    size: (a, b) => Math.abs(b.dataset.change) - Math.abs(a.dataset.change),
  };
  const update = () => {
    const wanted = { concept: value(".by-concept"), direction: value(".by-direction"), choice: value(".by-choice"), subgroup: value(".by-subgroup") };
    const only = { flips: checked(".only-flips"), hides: checked(".only-hides"), others: checked(".only-others") };
    let shown = 0;
    for (const card of cards) {
      const fits = Object.entries(wanted).every(([name, text]) => !text || card.dataset[name] === text)
        && Object.entries(only).every(([name, on]) => !on || card.dataset[name] === "1");
      card.hidden = !fits;
      shown += fits;
    }
    const order = orders[value(".sort-cards")];
    list.append(...(order ? [...cards].sort(order) : cards));
    count.textContent = `${shown} of ${cards.length} pictures`;
  };
  gallery.addEventListener("change", update);
  gallery.querySelector(".as-swipe").addEventListener("change", (event) => {
    gallery.classList.toggle("swiping", event.target.checked);
  });
  for (const card of cards) {
    const range = card.querySelector(".swipe input");
    const move = () => {
      card.style.setProperty("--share", `${range.value}%`);
      range.setAttribute("aria-valuetext", `${range.value} % after, ${100 - range.value} % before`);
    };
    range.addEventListener("input", move);
    move();
  }
  update();
}

// Several classifiers: one at a time.
const articles = all("article.classifier");
if (articles.length > 1) {
  const links = all("#chooser a");
  const choose = (key) => {
    articles.forEach((article) => { article.hidden = article.id !== key; });
    links.forEach((link) => link.setAttribute("aria-current", link.dataset.choose === key));
  };
  links.forEach((link) => link.addEventListener("click", (event) => {
    event.preventDefault();
    choose(link.dataset.choose);
  }));
  const named = location.hash.slice(1).split("-")[0];
  choose(articles.some((article) => article.id === named) ? named : articles[0].id);
}

// On paper everything is open.
let closed = [];
addEventListener("beforeprint", () => { closed = all("details:not([open])"); closed.forEach((part) => { part.open = true; }); });
addEventListener("afterprint", () => { closed.forEach((part) => { part.open = false; }); });
