// The operator's page: asks the service every few seconds and shows what it answers.

import { DayChart, PlanChart, VoltageChart } from "./charts.js";
import * as format from "./format.js";

const EVERY_MS = 2000;
const API = "/api/v1";
const MOST_ROWS = 20;

const $ = (id) => document.getElementById(id);
const BADGES = {
  verified: ["good", "Verified"],
  degraded: ["warn", "Degraded"],
  infeasible: ["bad", "No safe dispatch"],
};
const OUTCOMES = {
  sent: ["good", "Sent"],
  partial: ["warn", "In part"],
  refused: ["bad", "Not written"],
  advised: ["", "Advised"],
  none: ["", "–"],
};
const KINDS = { pv: "PV", bes: "Battery", dg: "Generator" };

const volts = new VoltageChart($("volts"), $("volts-readout"));
const day = new DayChart($("day"), $("day-readout"));
const plan = new PlanChart($("plan-chart"), $("plan-readout"));

let site = null;
let health = null;
let healthAt = 0;
let shown = "";
let lostSince = null;

async function ask(path) {
  const answer = await fetch(API + path, { signal: AbortSignal.timeout(10_000) });
  if (!answer.ok) throw new Error(`${path} answered ${answer.status}`);
  return answer.json();
}

function element(name, text = "", className = "") {
  const made = document.createElement(name);
  made.textContent = text;
  if (className) made.className = className;
  return made;
}

/** Changes the text only when it differs, so that nothing is read aloud twice. */
function put(id, text) {
  const target = $(id);
  if (target.textContent !== text) target.textContent = text;
}

function lines(id, items, none) {
  const list = items.length ? items : [element("li", none, "quiet")];
  const html = list.map((li) => li.outerHTML).join("");
  if ($(id).innerHTML !== html) $(id).replaceChildren(...list);
}

function badge(target, [tone, text]) {
  target.className = `badge ${tone}`;
  target.textContent = text;
  return target;
}

// --- one dispatch ------------------------------------------------------------------

function showDispatch(d) {
  const [start, end] = [new Date(d.start), new Date(d.end)];
  put("interval", `${format.day(start)} ${format.clock(start)}–${format.clock(end)} UTC`);
  badge($("status"), BADGES[d.status] ?? ["", d.status]);
  put("reason", d.reason);
  put("cost", format.money(d.cost_usd_per_h));
  put("compliance", format.money(d.compliance_usd_per_h));
  put("demand", format.money(d.demand_usd));
  $("demand-figure").hidden = !d.demand_usd;
  put("price", format.price(d.price_usd_per_kwh));
  put("grid", format.power(d.grid_kw));
  put("load", format.power(d.load_kw));
  put("v-max", format.volts(d.v_max_pu));
  put("v-max-node", d.v_max_node);
  put("decided", `Measured ${format.moment(new Date(d.decided_at))} UTC`);
  showWhy(d);
  $("ders").tBodies[0].replaceChildren(...d.ders.map(derRow));
  showPlan(d.plan);
  volts.show(d);
  $("volts-table").tBodies[0].replaceChildren(...volts.buses.map((b) =>
    row(b.bus, [b.low, b.high, b.freeHigh].map(format.volts))));
}

/** What moved, dearest first, and what another limit would have saved. */
function showWhy(d) {
  const moved = d.ders.filter((x) => x.moved_usd_per_h !== null && x.free_kw !== null);
  moved.sort((a, b) => Math.abs(b.moved_usd_per_h) - Math.abs(a.moved_usd_per_h));
  $("why").hidden = moved.length === 0;
  $("why-table").tBodies[0].replaceChildren(...moved.slice(0, MOST_ROWS).map((x) => {
    const tr = row(x.der, [
      format.power(x.setpoint_kw - x.free_kw),
      format.power(x.setpoint_kvar - x.free_kvar),
      format.money(x.moved_usd_per_h),
      format.price(x.energy_usd_per_kwh),
      format.price(x.limits_usd_per_kwh),
    ]);
    tr.append(element("td", x.limits.join(", ")));
    return tr;
  }));
  const others = moved.length - MOST_ROWS;
  lines("why-else", [
    ...(others > 0 ? [`and ${others} others`] : []),
    ...d.binding.slice(0, 3).map((b) => b.what),
    ...d.counterfactuals.map((c) => `With ${c.what}: ${format.money(c.saves_usd_per_h)} $/h saved`),
  ].map((text) => element("li", text)), "No limit binds");
}

function derRow(d) {
  const tr = element("tr");
  const name = element("th", d.der);
  name.scope = "row";
  name.append(element("span", [KINDS[d.kind] ?? d.kind, d.bus].filter(Boolean).join(" · ")));
  const isPv = d.kind === "pv";
  const asked = isPv ? d.cap_kw : d.setpoint_kw;
  const held = isPv ? d.readback_cap_kw : d.readback_kw;
  const known = d.readback_kvar !== null;
  const none = (x, text) => (x === null ? text : format.power(x));
  const back = known ? `${none(held, isPv ? "no cap" : "–")} kW, ${format.power(d.readback_kvar)} kvar` : "–";
  const differs = known && d.outcome === "partial"; // the service judged it, by the register's steps
  const measured = cell("Measured, kW", format.power(d.measured_kw), "number");
  if (d.quality !== "good") measured.append(element("small", d.quality));
  const outcome = cell("Outcome", "");
  outcome.append(badge(element("span"), OUTCOMES[d.outcome] ?? ["", d.outcome]));
  if (d.reason) outcome.append(element("small", d.reason));
  if (d.first_step_kw !== null) outcome.append(element("small", `first ${format.power(d.first_step_kw)} kW, on its ramp`));
  const setpoint = cell("Setpoint, kW", format.power(d.setpoint_kw), "number");
  if (isPv && d.available_kw !== null) setpoint.append(element("small", `of ${format.power(d.available_kw)} available${band(d)}`));
  tr.append(
    name,
    setpoint,
    cell("Setpoint, kvar", format.power(d.setpoint_kvar), "number"),
    cell("Cap, kW", isPv ? none(d.cap_kw, "none") : "–", "number"),
    measured,
    cell("Charge, %", format.percent(d.soc_pct), "number"),
    cell("Read back", back, differs ? "number differs" : "number"),
    outcome,
  );
  return tr;
}

/** Where available power lies in 8 of 10 intervals. */
function band(d) {
  const [low, high] = [d.available_quantiles_kw["0.1"], d.available_quantiles_kw["0.9"]];
  return low === undefined || high === undefined ? "" : ` (${format.power(low)}–${format.power(high)})`;
}

function cell(label, text, className = "") {
  const td = element("td", text, className);
  td.dataset.label = label;
  return td;
}

function row(title, values) {
  const tr = element("tr");
  const th = element("th", title);
  th.scope = "row";
  tr.append(th, ...values.map((v, i) => element("td", v, "number")));
  return tr;
}

// --- the day -----------------------------------------------------------------------

/** Sum over the DERs of one kind: measured means where there are any, else setpoints. */
function total(summary, kind) {
  const names = site.ders.filter((d) => d.kind === kind).map((d) => d.der);
  if (!names.length) return null;
  const values = names.map((n) => summary.measured_kw[n] ?? summary.setpoints_kw[n] ?? null);
  return values.includes(null) ? null : values.reduce((a, b) => a + b, 0);
}

function showDay(history, end) {
  const rows = history.map((s) => ({
    start: new Date(s.start),
    status: s.status,
    available: site.ders.some((d) => d.kind === "pv") ? s.pv_available_kw : null,
    low: s.pv_available_low_kw,
    high: s.pv_available_high_kw,
    pv: total(s, "pv"),
    dg: total(s, "dg"),
    bes: total(s, "bes"),
    load: s.measured_kw.load ?? s.load_kw,
    grid: s.grid_kw,
    voltage: s.v_max_pu,
  }));
  day.show({ rows, limits: site.limits, end });
  put("day-title", day.title());
  $("day-table").tBodies[0].replaceChildren(...rows.toReversed().map((r) => {
    const powers = [r.available, r.low, r.high, r.pv, r.dg, r.bes, r.load, r.grid].map(format.power);
    return row(format.clock(r.start), [r.status, ...powers, format.volts(r.voltage)]);
  }));
}

// --- the day ahead -----------------------------------------------------------------

/** What the batteries hold together, by their capacity [%]. */
function charge(interval) {
  const full = site.ders.filter((d) => d.kind === "bes" && d.capacity_kwh);
  const held = full.map((d) => [interval.soc_pct[d.der] ?? null, d.capacity_kwh]);
  if (!held.length || held.some(([soc]) => soc === null)) return null;
  return held.reduce((a, [soc, kwh]) => a + soc * kwh, 0) / held.reduce((a, [, kwh]) => a + kwh, 0);
}

function showPlan(made) {
  $("plan").hidden = !made;
  if (!made) return;
  const rows = made.intervals.map((p) => {
    const whole = { ...p, measured_kw: {} };
    return {
      start: new Date(p.start),
      price: p.price_usd_per_kwh,
      bes: total(whole, "bes"),
      soc: charge(p),
      pv: total(whole, "pv"),
      dg: total(whole, "dg"),
      load: p.load_kw,
      grid: p.grid_kw,
    };
  });
  plan.show({ rows, worth: made.stored_usd_per_kwh });
  $("plan-table").tBodies[0].replaceChildren(...rows.map((r) => row(
    `${format.day(r.start)} ${format.clock(r.start)}`,
    [format.price(r.price), format.power(r.bes), format.percent(r.soc), ...[r.pv, r.dg, r.load, r.grid].map(format.power)],
  )));
}

// --- the service -------------------------------------------------------------------

const responses = {
  followed: ["good", "Follows"],
  ramping: ["quiet", "On its ramp"],
  waiting: ["quiet", "On its way"],
  ignored: ["bad", "Does not follow"],
};

const links = { ieee2030_5: "IEEE 2030.5", utility: "Utility" };

function showHealth(alarms) {
  put("site", health.site);
  put("mode", health.mode === "advisory" ? "Advisory: nothing is written" : "Automatic");
  put("version", health.version);
  put("clock-label", health.speed === 1 ? "Time, UTC" : `Simulated time, UTC (×${health.speed})`);
  // A silent device's line of now is the beginning of the last cycle's, which says more.
  const fresh = health.alarms.filter((line) => !alarms.some((told) => told.startsWith(line)));
  const all = [...new Set([...fresh, ...alarms])];
  lines("alarms", all.map((a) => element("li", a, "alarm")), "None");
  $("alarm-count").hidden = all.length === 0;
  put("alarm-count", all.length === 1 ? "1 alarm" : `${all.length} alarms`);
  lines("devices", Object.entries(health.devices).map(([name, d]) => {
    const li = element("li", "", "device");
    li.append(element("span", name), badge(element("span"), d.reachable ? ["good", "Answers"] : ["bad", "Silent"]));
    if (responses[d.response]) li.append(badge(element("span"), responses[d.response]));
    if (d.ramps_to_kw !== null) li.append(element("small", `ramps to ${format.power(d.ramps_to_kw)} kW`));
    if (d.note) li.append(element("small", d.note));
    if (d.response_note && d.response_note !== d.note) li.append(element("small", d.response_note));
    if (d.refreshed) li.append(element("small", `command refreshed ${format.moment(new Date(d.refreshed))} UTC`));
    if (!d.reachable) {
      const seen = d.last_seen ? `last answer ${format.moment(new Date(d.last_seen))} UTC` : "no answer yet";
      li.append(element("small", seen));
    }
    return li;
  }), "Not polled yet");
  const facts = [
    ["State", health.ready ? "ready" : "not ready"],
    ["Cycles", String(health.cycles)],
    ["Failed", String(health.failures)],
    ["Missed", String(health.missed)],
    ["Last cycle took", health.last_cycle_s === null ? "–" : `${health.last_cycle_s.toFixed(2)} s`],
    ["Writer", health.lease_held ? "this service" : "not this service"],
  ];
  for (const [key, told] of Object.entries(health.links)) facts.push([links[key] ?? key, told]);
  if (health.last_missed) facts.push(["Last missed", health.last_missed]);
  if (health.last_error) facts.push(["Last error", health.last_error]);
  $("service").replaceChildren(...facts.flatMap(([k, v]) => [element("dt", k), element("dd", v)]));
}

function tick() {
  if (!health) return;
  const now = new Date(Date.parse(health.now) + (performance.now() - healthAt) * health.speed);
  put("clock", lostSince ? "–" : format.moment(now));
  const due = health.next_run ? Date.parse(health.next_run) : null;
  put("next", due === null || lostSince ? "–" : `in ${format.remaining((due - now) / health.speed)}`);
}

let alarms = [];

async function refresh() {
  try {
    site ??= await ask("/site");
    health = await ask("/health");
    healthAt = performance.now();
    const key = `${health.last_cycle} ${health.cycles} ${health.failures}`;
    if (key !== shown) {
      const history = await ask("/dispatch/history");
      const quarter = 900_000;
      const end = new Date((Math.floor(Date.parse(health.now) / quarter) + 1) * quarter);
      showDay(history, end);
      if (history.length || health.cycles) {
        const dispatch = await ask("/dispatch/latest");
        alarms = dispatch.alarms;
        showDispatch(dispatch);
      }
      shown = key;
    }
    lostSince = null;
    showHealth(alarms);
  } catch (error) {
    lostSince ??= new Date();
    put("lost", `The service does not answer since ${format.seconds(lostSince)} UTC; what is shown is old. (${error.message})`);
  }
  $("lost").hidden = lostSince === null;
  tick();
  setTimeout(refresh, document.hidden ? EVERY_MS * 5 : EVERY_MS);
}

setInterval(tick, 500);
refresh();
