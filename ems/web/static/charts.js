// The charts, drawn as SVG by hand. Each is one focusable picture with a spoken summary;
// pointer or arrow keys move a cursor, whose values stand in a line below the chart.

import * as format from "./format.js";

const SPACE = "http://www.w3.org/2000/svg";
const MARK = 4; // half of a mark's width, px
const LABEL_DY = [24, -14, 42, -32, 60, 78, 96, 114]; // where a label may stand below its point, px
const MANY_BUSES = 70; // more than this do not fit as bars: they become two lines

function add(parent, name, attributes, text) {
  const element = document.createElementNS(SPACE, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text !== undefined) element.textContent = text;
  parent.append(element);
  return element;
}

/** Round steps that divide a range into about `count` parts. */
function ticks(low, high, count) {
  const raw = (high - low) / count || 1;
  const size = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((m) => m * size).find((s) => s >= raw * 0.999);
  const found = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + step * 1e-9; i++) {
    found.push(i * step);
  }
  return found;
}

const scale = (d0, d1, r0, r1) => (x) => r0 + ((x - d0) / (d1 - d0 || 1)) * (r1 - r0);

/** A chart that keeps its cursor over new data and redraws when its width changes. */
class Chart {
  constructor(box, readout) {
    this.box = box;
    this.readout = readout;
    this.selected = null;
    this.svg = add(box, "svg", { role: "img", tabindex: 0 });
    new ResizeObserver(() => this.draw()).observe(box);
    this.svg.addEventListener("pointermove", (e) => {
      const x = e.clientX - this.svg.getBoundingClientRect().left;
      this.select(this.count() ? this.nearest(x) : null);
    });
    this.svg.addEventListener("pointerleave", () => this.select(null));
    this.svg.addEventListener("blur", () => this.select(null));
    this.svg.addEventListener("keydown", (e) => {
      const last = this.count() - 1;
      const from = this.selected ?? (e.key === "ArrowLeft" ? last + 1 : -1);
      const to = { ArrowLeft: from - 1, ArrowRight: from + 1, Home: 0, End: last, Escape: null };
      if (!(e.key in to) || last < 0) return;
      e.preventDefault();
      this.select(to[e.key] === null ? null : Math.min(last, Math.max(0, to[e.key])));
    });
  }

  show(data) {
    this.data = data;
    this.draw();
  }

  select(i) {
    if (i === this.selected) return;
    this.selected = i;
    this.draw();
  }

  draw() {
    if (!this.data) return;
    this.width = this.box.clientWidth;
    this.height = this.box.clientHeight;
    if (!this.width) return; // not laid out yet; the observer calls again
    this.svg.setAttribute("viewBox", `0 0 ${this.width} ${this.height}`);
    this.svg.replaceChildren();
    const label = this.paint(this.svg);
    this.svg.setAttribute("aria-label", `${label} Arrow keys read the values.`);
    const i = this.selected;
    const text = i !== null && i < this.count() ? this.describe(i) : this.hint();
    if (this.readout.textContent !== text) this.readout.textContent = text;
  }
}

/** Highest and lowest voltage of every bus, with and without network limits. */
export class VoltageChart extends Chart {
  buses = [];

  show(dispatch) {
    const buses = new Map();
    for (const { bus, v_pu: v, free_v_pu: free } of dispatch.voltages) {
      if (v === null) continue;
      const b = buses.get(bus) ?? { bus, low: v, high: v, freeLow: free, freeHigh: free };
      b.low = Math.min(b.low, v);
      b.high = Math.max(b.high, v);
      if (free !== null) {
        b.freeLow = Math.min(b.freeLow ?? free, free);
        b.freeHigh = Math.max(b.freeHigh ?? free, free);
      }
      buses.set(bus, b);
    }
    this.buses = [...buses.values()];
    super.show(dispatch);
  }

  count() { return this.buses.length; }

  nearest(x) {
    const i = Math.floor(((x - this.left) / (this.right - this.left)) * this.count());
    return Math.min(this.count() - 1, Math.max(0, i));
  }

  hint() {
    const { free_v_max_pu: free, v_max_pu: v, v_max_node: node, limits } = this.data;
    if (v === null) return "";
    const room = limits.v_max_pu - v;
    const gap = Math.abs(room).toFixed(4);
    const side = gap === "0.0000" ? "at the limit" : `${gap} pu ${room < 0 ? "above" : "below"} the limit`;
    const without = free === null ? "" : `; without network limits it would be ${format.volts(free)} pu`;
    return `Highest: ${node} at ${format.volts(v)} pu, ${side}${without}.`;
  }

  describe(i) {
    const b = this.buses[i];
    const free = b.freeHigh === null ? "" : `; without network limits up to ${format.volts(b.freeHigh)} pu`;
    return `${b.bus}: ${format.volts(b.low)} to ${format.volts(b.high)} pu${free}.`;
  }

  paint(svg) {
    const { v_min_pu: vMin, v_max_pu: vMax } = this.data.limits;
    const all = this.buses.flatMap((b) => [b.low, b.high, b.freeLow, b.freeHigh]).filter((v) => v !== null);
    const low = Math.min(vMin, ...[Math.min(...all)]) - 0.01;
    const high = Math.max(vMax, ...[Math.max(...all)]) + 0.015;
    const [top, bottom] = [6, this.height - 24];
    [this.left, this.right] = [40, this.width - 4];
    const y = scale(low, high, bottom, top);
    const step = (this.right - this.left) / (this.count() || 1);
    const x = (i) => this.left + (i + 0.5) * step;

    add(svg, "rect", { class: "band", x: this.left, width: this.right - this.left, y: y(vMax), height: y(vMin) - y(vMax) });
    for (const v of ticks(low, high, 6)) {
      add(svg, "line", { class: "tick", x1: this.left, x2: this.right, y1: y(v), y2: y(v) });
      add(svg, "text", { x: this.left - 6, y: y(v) + 4, "text-anchor": "end" }, v.toFixed(2));
    }
    for (const v of [vMin, vMax]) {
      add(svg, "line", { class: "limit", x1: this.left, x2: this.right, y1: y(v), y2: y(v) });
    }
    if (this.selected !== null && this.selected < this.count()) {
      add(svg, "line", { class: "cursor", x1: x(this.selected), x2: x(this.selected), y1: top, y2: bottom });
    }
    this.paintBuses(svg, x, y, step);
    const every = Math.ceil(48 / step);
    this.buses.forEach((b, i) => {
      if (i % every === 0) add(svg, "text", { x: x(i), y: this.height - 6, "text-anchor": "middle" }, b.bus);
    });
    return `Voltage of ${this.count()} buses between ${vMin} and ${vMax} pu. ${this.hint()}`;
  }

  paintBuses(svg, x, y, step) {
    const many = this.count() > MANY_BUSES;
    const shift = many ? 0 : Math.min(6, step / 5);
    const bars = (lowOf, highOf, dx) => this.buses.map((b, i) =>
      lowOf(b) === null ? "" : `M${x(i) + dx} ${y(lowOf(b))}V${y(highOf(b)) - 0.01}`).join("");
    const lines = (...of) => of.map((f) => this.buses.map((b, i) =>
      f(b) === null ? "" : `${i ? "L" : "M"}${x(i)} ${y(f(b))}`).join("")).join("");
    const kinds = [["free", (b) => b.freeLow, (b) => b.freeHigh, -shift], ["sent", (b) => b.low, (b) => b.high, shift]];
    for (const [name, lowOf, highOf, dx] of kinds) {
      const d = many ? lines(lowOf, highOf) : bars(lowOf, highOf, dx);
      add(svg, "path", { class: many ? `many ${name}` : name, d });
    }
    const worst = this.buses.reduce((w, b, i) => (w < 0 || b.high > this.buses[w].high ? i : w), -1);
    if (worst < 0) return;
    const [cx, cy] = [x(worst) + shift, y(this.buses[worst].high)];
    const over = this.buses[worst].high > this.data.limits.v_max_pu;
    add(svg, "circle", { class: over ? "worst over" : "worst", cx, cy, r: 7.5 });
    const end = cx > this.width * 0.7;
    const label = `${this.data.v_max_node} ${format.volts(this.buses[worst].high)}`;
    const text = add(svg, "text", { class: over ? "alert" : "strong", x: cx + (end ? 8 : -8), y: cy + 24, "text-anchor": end ? "end" : "start" }, label);
    const marks = kinds.flatMap(([, lowOf, highOf, dx]) => this.buses.filter((b) => lowOf(b) !== null).map((b) => {
      const at = x(this.buses.indexOf(b)) + (many ? 0 : dx);
      return { left: at - MARK, right: at + MARK, top: y(highOf(b)) - MARK, bottom: y(lowOf(b)) + MARK };
    }));
    text.setAttribute("y", cy + this.free(text.getBBox(), marks));
  }

  /** How far below a point a text stands that covers no mark; where all are covered, the nearest. */
  free(box, marks) {
    const covers = (dy) => marks.some((m) => m.left < box.x + box.width && m.right > box.x
      && m.top < box.y + dy - LABEL_DY[0] + box.height && m.bottom > box.y + dy - LABEL_DY[0]);
    const inside = (dy) => box.y + dy - LABEL_DY[0] >= 0 && box.y + dy - LABEL_DY[0] + box.height <= this.height - 24;
    return LABEL_DY.find((dy) => inside(dy) && !covers(dy)) ?? LABEL_DY[0];
  }
}

const SERIES = ["available", "load", "grid", "dg", "bes", "pv"];
const NAMES = { available: "PV available", pv: "PV", dg: "generators", bes: "batteries", load: "load", grid: "import" };
const QUARTER = 900_000;
const HOUR = 4 * QUARTER;

/** Powers over 24 hours, and below them the highest voltage. */
export class DayChart extends Chart {
  rows = [];

  count() { return this.rows.length; }

  show({ rows, limits, end }) {
    this.rows = rows;
    this.end = +end;
    super.show({ limits, end });
  }

  /** A day ago, or from the first cycle on where there are fewer; never less than six hours. */
  begin() {
    const first = this.count() ? +this.rows[0].start : this.end;
    return Math.max(this.end - 24 * HOUR, Math.min(first, this.end - 6 * HOUR));
  }

  /** "Last 6 hours" while there are no more to show. */
  title() { return `Last ${this.count() ? Math.ceil((this.end - this.begin()) / HOUR) : 24} hours`; }

  nearest(px) {
    const time = this.start + ((px - this.left) / (this.right - this.left)) * (this.end - this.start) - QUARTER / 2;
    const far = (r) => Math.abs(r.start - time);
    return this.rows.reduce((best, r, i) => (far(r) < far(this.rows[best]) ? i : best), 0);
  }

  hint() { return this.count() ? "" : "No cycle in the last 24 hours."; }

  describe(i) {
    const r = this.rows[i];
    const powers = ["pv", "available", "dg", "bes", "load", "grid"].map((s) => `${NAMES[s]} ${format.power(r[s])}`);
    if (r.low !== null && r.high !== null) powers[1] += ` (${format.power(r.low)}–${format.power(r.high)})`;
    return `${format.day(r.start)} ${format.clock(r.start)} UTC, ${r.status}: ${powers.join(" · ")} kW · highest voltage ${format.volts(r.voltage)} pu.`;
  }

  paint(svg) {
    [this.left, this.right] = [52, this.width - 4];
    this.end = +this.data.end;
    this.start = this.begin();
    const [top, split, bottom] = [8, this.height - 118, this.height - 24];
    const x = scale(this.start, this.end, this.left, this.right);
    const powers = this.rows.flatMap((r) => [...SERIES, "high"].map((s) => r[s])).filter((v) => v !== null);
    const high = Math.max(1, ...powers);
    const y = scale(Math.min(0, ...powers), high * 1.03, split, top);
    this.axis(svg, y, ticks(Math.min(0, ...powers), high * 1.03, 5), format.power);
    add(svg, "text", { x: this.left + 4, y: top + 10 }, "kW");
    add(svg, "path", { class: "available-band", d: this.band(x, y) });
    for (const name of SERIES) {
      add(svg, "path", { class: `series ${name}`, d: this.steps(x, y, name) });
    }
    this.paintVoltage(svg, x, split + 26, bottom);
    this.hours(svg, x, bottom);
    if (this.selected !== null && this.selected < this.count()) {
      const at = x(+this.rows[this.selected].start + QUARTER / 2);
      add(svg, "line", { class: "cursor", x1: at, x2: at, y1: top, y2: bottom });
    }
    return this.count()
      ? `Powers and highest voltage of ${this.count()} intervals. Now: ${this.describe(this.count() - 1)}`
      : "No cycle in the last 24 hours.";
  }

  paintVoltage(svg, x, top, bottom) {
    const { v_max_pu: limit } = this.data.limits;
    const found = this.rows.map((r) => r.voltage).filter((v) => v !== null);
    const [low, high] = [Math.min(limit - 0.05, ...found), Math.max(limit, ...found) + 0.01];
    const y = scale(low, high, bottom, top);
    this.axis(svg, y, ticks(low, high, 2.5), (v) => v.toFixed(2));
    add(svg, "line", { class: "limit", x1: this.left, x2: this.right, y1: y(limit), y2: y(limit) });
    add(svg, "text", { x: this.left + 4, y: top - 4 }, "highest voltage, pu");
    add(svg, "path", { class: "series voltage", d: this.steps(x, y, "voltage") });
  }

  axis(svg, y, values, text) {
    for (const v of values) {
      add(svg, "line", { class: "tick", x1: this.left, x2: this.right, y1: y(v), y2: y(v) });
      add(svg, "text", { x: this.left - 6, y: y(v) + 4, "text-anchor": "end" }, text(v));
    }
  }

  hours(svg, x, bottom) {
    const fit = ((this.end - this.start) / HOUR) * (64 / (this.right - this.left));
    const every = [1, 2, 3, 6].find((n) => n >= fit) ?? 12;
    for (let t = Math.ceil(this.start / HOUR) * HOUR; t <= this.end; t += HOUR) {
      if (new Date(t).getUTCHours() % every) continue;
      add(svg, "line", { class: "tick", x1: x(t), x2: x(t), y1: bottom, y2: bottom + 4 });
      const anchor = x(t) > this.right - 18 ? "end" : x(t) < this.left + 18 ? "start" : "middle";
      add(svg, "text", { x: x(t), y: this.height - 6, "text-anchor": anchor }, format.clock(new Date(t)));
    }
  }

  /** Where available power lies in 8 of 10 intervals, one box for each. */
  band(x, y) {
    return this.rows.filter((r) => r.low !== null && r.high !== null).map((r) =>
      `M${x(+r.start)} ${y(r.low)}V${y(r.high)}H${x(+r.start + QUARTER)}V${y(r.low)}Z`).join("");
  }

  /** A value holds for its interval; a gap stays a gap. */
  steps(x, y, name) {
    let path = "";
    let last = null;
    for (const r of this.rows) {
      if (r[name] !== null) {
        const from = x(+r.start);
        path += `${last === +r.start ? "L" : "M"}${from} ${y(r[name])}H${x(+r.start + QUARTER)}`;
      }
      last = r[name] === null ? null : +r.start + QUARTER;
    }
    return path;
  }
}

/** The day ahead as it is planned: power and charge of the batteries, and the price of energy. */
export class PlanChart extends DayChart {
  show({ rows, worth }) {
    const end = rows.length ? +rows.at(-1).start + QUARTER : 0;
    this.worth = worth;
    super.show({ rows, end });
  }

  begin() { return this.count() ? +this.rows[0].start : this.end - 24 * HOUR; }

  hint() {
    const told = Object.entries(this.worth).map(([name, usd]) => `${name} ${format.price(usd)} $`);
    return told.length ? `Worth of one more kWh stored: ${told.join(" · ")}. Only the first interval is sent.` : "";
  }

  describe(i) {
    const r = this.rows[i];
    const powers = ["bes", "pv", "dg", "load", "grid"].map((s) => `${NAMES[s]} ${format.power(r[s])}`);
    return `${format.day(r.start)} ${format.clock(r.start)} UTC, planned at ${format.price(r.price)} $/kWh: ${powers.join(" · ")} kW · charge ${format.percent(r.soc)} %.`;
  }

  paint(svg) {
    [this.left, this.right] = [52, this.width - 4];
    this.end = +this.data.end;
    this.start = this.begin();
    const bottom = this.height - 24;
    const pane = (bottom - 8) / 3;
    const x = scale(this.start, this.end, this.left, this.right);
    this.pane(svg, x, "bes", "batteries, kW", 8, pane, format.power);
    this.pane(svg, x, "soc", "charge, %", 8 + pane, pane, format.percent, [0, 100]);
    this.pane(svg, x, "price", "grid price, $/kWh", 8 + 2 * pane, pane, (v) => v.toFixed(2));
    this.hours(svg, x, bottom);
    if (this.selected !== null && this.selected < this.count()) {
      const at = x(+this.rows[this.selected].start + QUARTER / 2);
      add(svg, "line", { class: "cursor", x1: at, x2: at, y1: 8, y2: bottom });
    }
    return `Plan of ${this.count()} intervals. ${this.hint()}`;
  }

  pane(svg, x, name, title, top, height, text, range = [0, 0]) {
    const found = this.rows.map((r) => r[name]).filter((v) => v !== null);
    const [low, high] = [Math.min(range[0], ...found), Math.max(range[1], ...found) || 1];
    const y = scale(low, high, top + height - 6, top + 18);
    this.axis(svg, y, ticks(low, high, 2.5), text);
    add(svg, "line", { class: "zero", x1: this.left, x2: this.right, y1: y(0), y2: y(0) });
    add(svg, "text", { x: this.left + 4, y: top + 12 }, title);
    add(svg, "path", { class: `series planned ${name}`, d: this.steps(x, y, name) });
  }
}
