// Numbers and times as an operator reads them. Unknown is a dash, never a zero.

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const tenth = new Intl.NumberFormat("en", { minimumFractionDigits: 1, maximumFractionDigits: 1 });

const known = (x) => x !== null && x !== undefined && Number.isFinite(x);

/** Rounded first, so that −0.04 is 0.0 and not −0.0; with a true minus sign. */
const signed = (text) => text.replace(/^-(?=[0.,]*$)/, "").replace("-", "−");

export const power = (x) =>
  known(x) ? signed((x === 0 || Math.abs(x) >= 99.95 ? whole : tenth).format(x)) : "–";
export const money = (x) => (known(x) ? signed(tenth.format(x)) : "–");
export const price = (x) => (known(x) ? signed(x.toFixed(4)) : "–");
export const percent = (x) => (known(x) ? signed(tenth.format(x)) : "–");
export const volts = (x) => (known(x) ? x.toFixed(4) : "–");

const part = (n) => String(n).padStart(2, "0");
export const clock = (t) => `${part(t.getUTCHours())}:${part(t.getUTCMinutes())}`;
export const seconds = (t) => `${clock(t)}:${part(t.getUTCSeconds())}`;
export const day = (t) =>
  t.toLocaleDateString("en-GB", { day: "numeric", month: "short", timeZone: "UTC" });
export const moment = (t) => `${day(t)} ${seconds(t)}`;

/** Time to go, such as 4:07. */
export function remaining(ms) {
  const s = Math.max(0, Math.round(ms / 1000));
  return `${Math.floor(s / 60)}:${part(s % 60)}`;
}
