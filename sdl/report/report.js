/* Sort and filter the table of experiments. Without it the table is complete and in order of number. */
"use strict";
(() => {
  const table = document.getElementById("experiments-table");
  if (!table) return;
  const body = table.tBodies[0];
  const rows = Array.from(body.rows);
  const heads = Array.from(table.tHead.rows[0].cells);
  const text = document.getElementById("filter-text");
  const state = document.getElementById("filter-state");
  const count = document.getElementById("filter-count");
  const words = new Map(rows.map((row) => [row, row.textContent.toLowerCase()]));
  const byText = new Intl.Collator(undefined, { numeric: true });

  const valueOf = (row, index, kind) => {
    const cell = row.cells[index];
    const value = cell.dataset.value ?? cell.textContent;
    if (kind !== "number") return value === "–" ? "" : value;
    const number = Number.parseFloat(cell.dataset.value);
    return Number.isNaN(number) ? null : number;
  };

  const sort = (index, kind, direction) => {
    const keyed = rows.map((row, place) => ({ row, place, value: valueOf(row, index, kind) }));
    const isEmpty = (value) => value === null || value === "";
    keyed.sort((a, b) => {
      // Rows without a value stay at the end, whichever way the others go.
      if (isEmpty(a.value) || isEmpty(b.value)) return isEmpty(a.value) - isEmpty(b.value) || a.place - b.place;
      const order = kind === "number" ? a.value - b.value : byText.compare(a.value, b.value);
      return direction * order || a.place - b.place;
    });
    body.append(...keyed.map((entry) => entry.row));
  };

  heads.forEach((head, index) => {
    head.querySelector("button").addEventListener("click", (event) => {
      const descending = head.getAttribute("aria-sort") === "ascending";
      heads.forEach((other) => other.setAttribute("aria-sort", "none"));
      head.setAttribute("aria-sort", descending ? "descending" : "ascending");
      sort(index, event.currentTarget.dataset.kind, descending ? -1 : 1);
    });
  });

  const filter = () => {
    const wanted = text.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const row of rows) {
      const fits = (!state.value || row.dataset.state === state.value) && wanted.every((word) => words.get(row).includes(word));
      row.hidden = !fits;
      shown += fits ? 1 : 0;
    }
    count.textContent = shown === rows.length ? `${shown} shown` : `${shown} of ${rows.length} shown`;
  };
  text.addEventListener("input", filter);
  state.addEventListener("change", filter);
})();
