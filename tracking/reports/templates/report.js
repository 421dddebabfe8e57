// Pointing at trials, the filter of the figures, and the order of tables. Without scripts the page is complete all the same.
(() => {
  "use strict";
  const data = JSON.parse(document.getElementById("trials").textContent);
  const tip = document.body.appendChild(document.createElement("div"));
  tip.className = "tip";
  const spoken = document.body.appendChild(document.createElement("div"));
  spoken.className = "skip";
  spoken.setAttribute("role", "status");
  const hint = document.body.appendChild(document.createElement("p"));
  hint.id = "hint";
  hint.hidden = true;
  hint.textContent = "Arrow keys move from trial to trial, Enter goes to its row in the table, Escape ends.";
  const figures = [];
  let allowed = () => true;
  let current = null;

  const describe = (number) => {
    const row = data.rows[number];
    if (!row) return [`trial ${number}`];
    const lines = [`trial ${number}, ${row.state}`];
    if (row.score !== null) lines.push(`${data.metric} ${row.score}`);
    for (const [name, value] of Object.entries(row.params)) lines.push(`${name}: ${value}`);
    return lines;
  };

  class Plot {
    constructor(svg) {
      this.svg = svg;
      this.spots = [...svg.querySelectorAll("path[data-n]")].map((path) => {
        const numbers = path.dataset.n.split(" ").map(Number);
        const at = [...path.getAttribute("d").matchAll(/M([-\d.]+) ([-\d.]+)/g)];
        return { path, points: at.map((each, index) => ({ n: numbers[index], x: +each[1], y: +each[2] })) };
      });
      this.whole = [...svg.querySelectorAll("[data-t]")].map((element) => ({ n: +element.dataset.t, element }));
      this.points = this.spots.flatMap((each) => each.points);
      for (const { n, element } of this.whole) {
        if (element.tagName === "rect") {
          const [x, y, w, h] = ["x", "y", "width", "height"].map((name) => +element.getAttribute(name));
          this.points.push({ n, x: x + w / 2, y: y + h / 2 });
        } else {
          for (const each of element.getAttribute("d").matchAll(/[ML]([-\d.]+) ([-\d.]+)/g)) {
            this.points.push({ n, x: +each[1], y: +each[2] });
          }
        }
      }
      if (!this.points.length) return;
      this.order = [...new Set(this.points.map((each) => each.n))].sort((a, b) => a - b);
      svg.setAttribute("tabindex", "0");
      svg.setAttribute("aria-describedby", "hint");
      svg.addEventListener("pointermove", (event) => this.point(event));
      svg.addEventListener("pointerdown", (event) => this.point(event));
      svg.addEventListener("pointerleave", () => select(null));
      svg.addEventListener("blur", () => select(null));
      svg.addEventListener("keydown", (event) => this.press(event));
    }
    point(event) {
      const box = this.svg.getBoundingClientRect();
      const scale = this.svg.viewBox.baseVal.width / box.width;
      const x = (event.clientX - box.left) * scale, y = (event.clientY - box.top) * scale;
      let best = null, least = 16 * scale;
      for (const each of this.points) {
        const distance = Math.hypot(each.x - x, each.y - y);
        if (distance < least && allowed(each.n)) [best, least] = [each.n, distance];
      }
      select(best, event.clientX, event.clientY);
    }
    press(event) {
      const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
      const usable = this.order.filter(allowed);
      if (event.key === "Escape") select(null);
      else if (event.key === "Enter" && current !== null) {
        const row = document.getElementById(`t${current}`);
        if (row) { row.scrollIntoView({ block: "center" }); row.querySelector("th").focus(); }
      } else if (step && usable.length) {
        const at = usable.indexOf(current);
        const next = usable[(at < 0 ? (step > 0 ? 0 : usable.length - 1) : at + step + usable.length) % usable.length];
        const spot = this.points.find((each) => each.n === next);
        const box = this.svg.getBoundingClientRect(), scale = box.width / this.svg.viewBox.baseVal.width;
        select(next, box.left + spot.x * scale, box.top + spot.y * scale);
        spoken.textContent = describe(next).join(", ");
      } else return;
      event.preventDefault();
    }
    mark(number) {
      for (const each of this.svg.querySelectorAll(".mark")) each.remove();
      for (const { n, element } of this.whole) element.classList.toggle("on", n === number);
      if (number === null) return;
      for (const { points } of this.spots) {
        for (const each of points.filter((one) => one.n === number)) {
          const ring = document.createElementNS("http://www.w3.org/2000/svg", "circle");
          for (const [name, value] of Object.entries({ class: "mark", cx: each.x, cy: each.y, r: 7 })) ring.setAttribute(name, value);
          this.svg.append(ring);
        }
      }
    }
    filter() {
      for (const { path, points } of this.spots) {
        path.setAttribute("d", points.filter((each) => allowed(each.n)).map((each) => `M${each.x} ${each.y}h0`).join(""));
      }
      for (const { n, element } of this.whole) element.classList.toggle("dim", !allowed(n));
    }
  }

  function select(number, x, y) {
    if (number !== current) {
      current = number;
      for (const each of figures) each.mark(number);
      for (const row of document.querySelectorAll("tr.on")) row.classList.remove("on");
      if (number !== null) document.getElementById(`t${number}`)?.classList.add("on");
      tip.replaceChildren();
      if (number !== null) {
        describe(number).forEach((line, index) => {
          const part = tip.appendChild(document.createElement(index ? "div" : "strong"));
          part.textContent = line;
        });
      }
    }
    if (number === null || x === undefined) return;
    const left = Math.min(x + 14, innerWidth - tip.offsetWidth - 8), below = y + 16 + tip.offsetHeight < innerHeight;
    tip.style.transform = `translate(${Math.max(8, left)}px, ${below ? y + 14 : Math.max(8, y - tip.offsetHeight - 14)}px)`;
  }

  for (const svg of document.querySelectorAll("figure svg")) figures.push(new Plot(svg));

  const add = (form, label, element) => {
    const outer = form.appendChild(document.createElement("label"));
    outer.append(label, element);
    return element;
  };
  const make = (tag, fields) => Object.assign(document.createElement(tag), fields);
  const place = document.getElementById("filter");
  if (place && Object.keys(data.rows).length > 1) {
    const form = place.appendChild(make("form", { className: "controls" }));
    form.setAttribute("aria-label", "Filter of the figures");
    const best = add(form, "best trials, %", make("input", { type: "number", min: 1, max: 100, value: 100 }));
    const name = add(form, "parameter", document.createElement("select"));
    name.append(make("option", { value: "", textContent: "any" }), ...data.names.map((each) => make("option", { value: each, textContent: each })));
    const low = add(form, "from (or equal to)", make("input", { type: "text", size: 8 }));
    const high = add(form, "to", make("input", { type: "text", size: 8 }));
    form.append(make("button", { type: "reset", textContent: "All trials" }));
    const count = form.appendChild(make("output", {}));
    const ranked = Object.entries(data.rows).filter(([, row]) => row.score !== null && row.state === "complete")
      .sort(([, a], [, b]) => data.sign * (a.score - b.score)).map(([number]) => +number);
    const apply = () => {
      const share = Math.min(100, Math.max(0, +best.value || 100)) / 100;
      const chosen = share < 1 ? new Set(ranked.slice(0, Math.max(1, Math.ceil(share * ranked.length)))) : null;
      const from = low.value.trim(), to = high.value.trim(), key = name.value;
      allowed = (number) => {
        const value = data.rows[number]?.raw?.[key];
        if (chosen && !chosen.has(number)) return false;
        if (!key || (!from && !to)) return true;
        if (value === undefined) return false;
        if (typeof value !== "number") return String(value) === (from || to);
        return (!from || value >= +from) && (!to || value <= +to);
      };
      for (const each of figures) if (each.points.length) each.filter();
      count.value = `${Object.keys(data.rows).filter((number) => allowed(+number)).length} trials are shown in the figures`;
    };
    form.addEventListener("input", apply);
    form.addEventListener("reset", () => setTimeout(apply));
    form.addEventListener("submit", (event) => event.preventDefault());
  }

  for (const table of document.querySelectorAll("table.sorts")) {
    const body = table.tBodies[0];
    table.tHead.querySelectorAll("th").forEach((head, column) => {
      const button = make("button", { type: "button" });
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        const down = head.getAttribute("aria-sort") === "ascending";
        for (const other of table.tHead.querySelectorAll("th")) other.removeAttribute("aria-sort");
        head.setAttribute("aria-sort", down ? "descending" : "ascending");
        const read = (row) => { const cell = row.cells[column]; return cell.dataset.v ?? cell.textContent.trim(); };
        const rows = [...body.rows].sort((one, other) => {
          const [a, b] = [read(one), read(other)];
          if ((a === "") !== (b === "")) return a === "" ? 1 : -1;  // empty cells last, in both directions
          const order = a !== "" && b !== "" && !isNaN(a) && !isNaN(b) ? a - b : a.localeCompare(b);
          return down ? -order : order;
        });
        body.append(...rows);
      });
    });
    if (!table.dataset.filter) continue;
    const form = make("form", { className: "controls" });
    const text = add(form, table.dataset.filter, make("input", { type: "search" }));
    const count = form.appendChild(make("output", {}));
    form.addEventListener("submit", (event) => event.preventDefault());
    text.addEventListener("input", () => {
      const words = text.value.toLowerCase().split(/\s+/).filter(Boolean);
      let shown = 0;
      for (const row of body.rows) {
        const content = row.textContent.toLowerCase();
        row.hidden = !words.every((word) => content.includes(word));
        shown += !row.hidden;
      }
      count.value = `${shown} of ${body.rows.length} rows`;
    });
    table.parentElement.before(form);
  }
  for (const row of document.querySelectorAll("tr[id^=t]")) {
    row.addEventListener("pointerenter", () => select(+row.id.slice(1)));
    row.addEventListener("pointerleave", () => select(null));
  }
  for (const each of document.querySelectorAll(".table, .panels > div")) {
    if (each.scrollWidth > each.clientWidth + 1 && !each.querySelector("[tabindex]")) each.tabIndex = 0;
  }
})();
