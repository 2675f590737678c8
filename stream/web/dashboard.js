// Asks /api/state every two seconds and /api/history for what is new; draws. Nothing is sent, nothing is kept elsewhere.
"use strict";
const $ = (id) => document.getElementById(id);
const LEVELS = { fresh: "All is well", busy: "No action needed", late: "Attention", stuck: "Action needed", unknown: "Not known" };
const EVERY_MS = 2000;
const DAY_EVERY_S = 60;
const nothing = () => ({ t: [], series: {}, events: [] });
let state = null, history = nothing(), lastDay = nothing(), dayAsked = 0, skew = 0, failed = 0;

const number = (n, digits = 0) => n == null ? "–" : n.toLocaleString("en", { maximumFractionDigits: digits });
function span(s) {
  if (s == null) return "–";
  if (s < 1 && s > 0) return s < 0.0995 ? Math.round(s * 1000) + " ms" : s.toFixed(1) + " s";
  if (s < 10) return (s % 1 ? s.toFixed(1) : s) + " s";
  s = Math.round(s);
  if (s < 60) return s + " s";
  if (s < 3600) return Math.floor(s / 60) + " min" + (s % 60 ? ` ${s % 60} s` : "");
  if (s < 86400) return Math.floor(s / 3600) + " h " + Math.floor(s % 3600 / 60) + " min";
  return Math.floor(s / 86400) + " d " + Math.floor(s % 86400 / 3600) + " h";
}
function bytes(n) {
  if (n == null) return "–";
  for (const unit of ["B", "kB", "MB", "GB"]) { if (n < 1000) return (unit === "B" ? n : n.toFixed(1)) + " " + unit; n /= 1000; }
  return n.toFixed(1) + " TB";
}
// For axes: short, and one unit.
const axis = (s) => s < 120 ? number(s, 1) + " s" : s < 7200 ? number(s / 60, 1) + " min" : s < 172800 ? number(s / 3600, 1) + " h" : number(s / 86400, 1) + " d";
// UTC, as in the log and in every command; the day only where it is not today's.
const clock = (t) => {
  const [day, time] = new Date(t * 1000).toISOString().split("T");
  return (day === new Date(now() * 1000).toISOString().split("T")[0] ? "" : day + " ") + time.slice(0, 8) + " UTC";
};
const text = (id, value) => { if ($(id).textContent !== value) $(id).textContent = value; };
function el(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) if (value != null) made.setAttribute(key, value);
  made.append(...children.filter((c) => c != null));
  return made;
}
const tag = (word, kind = word) => el("span", { class: "tag " + kind }, word);
const cells = (row) => row.map((c) => c instanceof Node ? el("td", {}, c) : typeof c === "object" && c ? el("td", { class: c.class }, c.text)
  : el("td", { class: "n" }, c));
const left = (value) => ({ class: "l", text: value });
const optional = (value) => ({ class: "n opt", text: value });  // not on a phone
const error = (value) => ({ class: "error", text: el("div", { class: "clamped", title: value }, value) });
// Our workers' client ids tell host and pid; the address is of more use for others.
function holder(name) {
  const own = /\(scorestream-(.+)-(\d+)\)$/.exec(name || "");
  return { class: "holder", text: el("span", { title: name }, own ? `${own[1]} (pid ${own[2]})` : name == null ? "not known" : name || "nobody") };
}
const rows = (id, list) => $(id).tBodies[0].replaceChildren(...list.map((row) => el("tr", {}, ...cells(row))));
const pairs = (id, list) => $(id).replaceChildren(...list.flatMap(([k, v]) => [el("dt", {}, k), v instanceof Node ? el("dd", {}, v) : el("dd", {}, v)]));
const now = () => Date.now() / 1000 + skew;

function drawHeadline() {
  const s = state, head = s.headline;
  document.body.dataset.level = head.level;
  text("level", LEVELS[head.level]);
  text("title", head.title);
  text("sentence", head.sentence);
  document.title = (head.level === "fresh" ? "✓ " : head.level === "stuck" ? "✗ " : "! ") + head.title + " – scorestream";
  $("board").hidden = !s.board;
  if (s.board) $("board").href = s.board;
  $("runbook").hidden = !head.id;
  if (head.id) $("runbook").href = "runbooks#" + head.id;
  const past = history.events.filter((e) => e.until);
  const last = past[past.length - 1];
  text("recovered", head.level === "fresh" && last && now() - last.until < 900
    ? `Fresh again since ${clock(last.until)}; “${last.title}” lasted ${span(last.until - last.from)}.` : "");
  const shown = s.findings.filter((f) => !(f.id === head.id && f.sentence === head.sentence));
  const replays = s.replays.filter((r) => ["running", "paused"].includes(r.state)).map((r) => el("li", {}, tag("replay", "note"), " ",
    el("b", {}, r.name), `${r.state}, ${r.total ? (100 * r.done / r.total).toFixed(1) : 100} %` + (r.eta_s ? `, ${span(r.eta_s)} left` : "") + ". Live is not behind because of it."));
  $("findings").replaceChildren(...shown.map((f) => el("li", { class: f.because ? "effect" : "" },
    tag(f.because ? "follows" : f.level, f.because ? "effect" : f.level), " ", el("b", {}, f.title), f.sentence + " ",
    el("a", { href: "runbooks#" + f.id }, "runbook"))), ...replays);
}
function tick() {
  if (!state) return;
  const f = state.freshness;
  text("fresh", f.seconds == null ? "?" : !f.seconds ? "0 s" : span(f.since == null ? f.seconds : Math.max(0, now() - f.since)));
  // What has not reached Kafka has no age here: while nothing comes from Postgres, 0 s would say too much.
  const blind = state.findings.some((x) => /^(connect|slot|postgres)/.test(x.id) && x.level !== "note");
  text("fresh-by", !f.seconds ? blind ? "oldest change that waits in Kafka; nothing new comes from Postgres"
    : "age of the oldest change not visible: none waits" : `age of the oldest change not visible (${f.by})`);
  text("clock", failed > 1 ? `the monitor does not answer since ${clock(state.now)}` : clock(state.now));
}
function part(name, kind, word, detail) {
  const li = document.querySelector(`[data-part=${name}]`);
  li.dataset.state = kind;
  li.children[1].textContent = word; li.children[2].textContent = detail; li.children[2].title = detail;
}
function drawPath() {
  const s = state, slot = s.slot, c = s.connect, m = s.members.members, down = s.shards.filter((x) => !x.ok);
  if (slot.error) part("postgres", "bad", "silent", slot.error);
  else if (!slot.there) part("postgres", "bad", "no slot", slot.name + " is not there");
  else part("postgres", slot.active ? "ok" : "bad", slot.active ? "slot active" : "slot inactive",
    `${bytes(slot.lag_bytes)} to confirm, ${bytes(slot.retained_bytes)} WAL kept` + (slot.safe_bytes != null ? `, ${bytes(slot.safe_bytes)} safe` : ""));
  if (c.error) part("connect", "bad", "silent", c.error);
  else if (!c.there) part("connect", "bad", "no connector", c.name + " is not there");
  else part("connect", c.running ? "ok" : "bad", c.running ? "running" : c.failures.length ? "failed" : c.state.toLowerCase(),
    c.failures[0] || c.tasks.map((t) => `task ${t.id} ${t.state.toLowerCase()}`).join(", ") || "no task");
  const kafka = s.sources[0], total = s.topics.reduce((n, t) => n + t.messages, 0);
  part("kafka", kafka.ok ? "ok" : "bad", kafka.ok ? "answers" : "silent", kafka.error || `${number(total)} messages wait in ${s.partitions.length} partitions`);
  const stuck = s.partitions.filter((p) => p.verdict === "STALL" || p.verdict === "STOP").length;
  part("worker", !m.length || stuck ? "bad" : "ok", m.length ? (stuck ? `${stuck} stuck` : `${m.length} running`) : "none",
    `${number(s.ledger.consumed_per_s, 1)} messages/s` + (s.hops.end_to_end ? `, p99 ${span(s.hops.end_to_end.p99)}` : ""));
  const trip = s.canary.round_trip_s;
  part("clickhouse", down.length ? "bad" : s.findings.some((f) => f.id === "canary" && !f.because) ? "warn" : "ok", down.length ? `${down.length} of ${s.shards.length} down` : `${s.shards.length} shards`,
    down.length ? down[0].error : `canary ${s.canary.state}` + (trip != null ? `, ${span(trip)} through` : ""));
}
function drawTables() {
  const s = state;
  rows("topics", s.topics.map((t) => [left(t.short), tag(t.verdict), number(t.messages), span(t.seconds), optional(number(t.produced_per_s, 1)),
    optional(number(t.consumed_per_s, 1)), !t.messages && !t.rewound ? "" : t.drain_s == null ? "never" : span(t.drain_s)]));
  const bad = s.partitions.filter((p) => p.verdict !== "OK").length;
  $("heat").setAttribute("aria-label", bad ? `${bad} of ${s.partitions.length} partitions are not OK` : `all ${s.partitions.length} partitions are OK`);
  $("heat").replaceChildren(...s.topics.map((t) => el("div", { class: "heat-row" }, el("span", {}, t.short),
    ...s.partitions.filter((p) => p.topic === t.topic).map((p) => el("i", { class: `cell ${p.verdict}${p.messages ? " wait" : ""}`,
      title: `${p.short}-${p.partition}: ${p.verdict}, ${number(p.messages)} messages, ${span(p.seconds)}` })))));
  const all = $("all").checked;
  const list = s.partitions.filter((p) => all || p.messages || p.rewound || p.verdict !== "OK")
    .sort((a, b) => (a.verdict === "OK") - (b.verdict === "OK") || (b.seconds || 0) - (a.seconds || 0));
  const shown = all ? list : list.slice(0, 12);
  rows("parts", shown.map((p) => [left(`${p.short}-${p.partition}`), tag(p.verdict), optional(span(Math.max(0, s.now - p.since))),
    number(p.messages) + (p.rewound ? ` (+${number(p.rewound)} again)` : ""), span(p.seconds),
    optional(p.velocity == null ? "" : (p.velocity > 0 ? "+" : "") + number(p.velocity, 1)), optional(p.committed == null ? "none" : number(p.committed)),
    optional(number(p.end)), holder(p.holder)]));
  text("parts-rest", list.length === 0 ? `Nothing waits in any of the ${s.partitions.length} partitions.`
    : list.length > shown.length ? `and ${list.length - shown.length} more` : "");
  rows("processes", s.processes.map((p) => [left(p.role), left(p.host), String(p.pid), number(p.partitions),
    p.cpu_per_s == null ? "–" : (100 * p.cpu_per_s).toFixed(0) + " %", bytes(p.rss_bytes),
    p.up ? span(s.now - p.started) : { class: "n", text: tag("silent", "bad") }, error(p.error || (p.problems[0] ? `${clock(p.problems[0].at)} ${p.problems[0].text}` : ""))]));
}
const hop = (h) => h ? `${span(h.p50)} / ${span(h.p99)}` : "–";
function drawLists() {
  const s = state, l = s.ledger;
  pairs("hops", [["Postgres to Kafka", hop(s.hops.to_kafka)], ["Kafka to worker", hop(s.hops.to_worker)], ["worker to ClickHouse", hop(s.hops.to_clickhouse)],
    ["end to end", hop(s.hops.end_to_end)], ["canary, whole path", s.canary.round_trip_s == null ? s.canary.state : span(s.canary.round_trip_s)]]);
  pairs("ledger", [["consumed", number(l.consumed)], ...Object.entries(l.outcomes).filter(([k, v]) => v || ["written", "dropped", "dead_letter"].includes(k))
    .map(([k, v]) => [k === "dropped" ? "dropped appeals" : k.replace("_", " "), number(v)]),
    ...Object.entries(l.retries).map(([k, v]) => [`retries: ${k}`, number(v)]), ["rebalances", number(l.rebalances)]]);
  $("replays").replaceChildren(...(s.replays.length ? s.replays.map((r) => {
    const share = r.total ? 100 * r.done / r.total : 100;
    return el("div", {}, el("b", {}, r.name), " ", tag(r.state, r.state === "running" ? "note" : r.state === "done" ? "ok" : r.state === "failed" || r.state === "stopped" ? "bad" : "ticket"),
      ` ${r.stage}${r.into ? " into " + r.into : ""}`, el("div", { class: "bar", role: "progressbar", "aria-valuenow": share.toFixed(0), "aria-valuemin": 0, "aria-valuemax": 100, "aria-label": r.name },
        Object.assign(el("div"), { style: "" })), el("small", {}, `${share.toFixed(1)} %, ${number(r.done)} of ${number(r.total)}, ${number(r.per_s)}/s` +
        (r.eta_s ? `, ${span(r.eta_s)} left` : "") + (r.throttled_by ? `; slowed: ${r.throttled_by}` : "") + (r.failed ? `; ${number(r.failed)} dead letters` : "")));
  }) : [el("p", { class: "muted" }, "None under way. A replay has a group of its own: it never counts as lag here.")]));
  [...$("replays").querySelectorAll(".bar > div")].forEach((bar, i) => { const r = s.replays[i]; bar.style.width = (r.total ? 100 * r.done / r.total : 100) + "%"; });
  const v = s.verify, d = s.dead_letters;
  pairs("checks", [...(v ? [["last verified", span(s.now - v.last_run) + " ago"], ["last clean", v.last_clean ? span(s.now - v.last_clean) + " ago" : "never"],
    ["cells that differ", number(v.cells.different || 0)], ["visible appeals", number(v.appeals)]] : [["verify", "no verify --watch runs"]]),
    ["dead letters open", d ? number(d.open) : "–"], ["settled, kept", d ? number(d.total - d.open) : "–"], ["of the last hour", d ? number(d.last_hour) : "–"], ...(d ? Object.entries(d.by_reason).map(([k, n]) => [k, number(n)]) : [])]);
  const events = ($("day").checked ? lastDay : history).events;
  $("events").replaceChildren(...(events.length ? [...events].reverse().slice(0, 20).map((e) => el("li", {},
    `${clock(e.from)} ${e.title}: `, e.until ? span(e.until - e.from) : el("b", {}, `for ${span(now() - e.from)} now`))) : [el("li", {}, "nothing")]));
  text("since", `The monitor runs for ${span(s.now - s.started)}.`);
}
function drawCustomers() {
  const c = state.customers;
  $("customers").hidden = !c;
  if (!c) return;
  const wanted = $("customer").value.trim().toLowerCase(), limit = span(c.complete_above_s);
  const found = c.rows.filter((row) => row.customer.toLowerCase().includes(wanted)), shown = found.slice(0, wanted ? 20 : 10);
  rows("customer-rows", shown.map((row) => [left(row.customer), span(row.seconds), number(row.messages)]));
  text("customers-rest", !c.late ? `Nobody is seen to be later than ${limit}.` : !found.length ? `Nobody of that name is among the ${c.rows.length} longest waits of ${c.late}; complete for those later than ${limit}.`
    : `${found.length > shown.length ? `and ${found.length - shown.length} more; ` : ""}complete for those later than ${limit}, as of ${clock(c.at)}`);
}
const NS = "http://www.w3.org/2000/svg";
function svg(name, attributes, content) {
  const made = document.createElementNS(NS, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (content != null) made.textContent = content;
  return made;
}
function chart(id, lines, unit, least) {
  const day = $("day").checked, shown = day ? lastDay : history;
  const box = $(id), w = Math.max(240, box.clientWidth), h = 150, x0 = 52, y0 = 8, y1 = h - 18, t1 = now(), t = shown.t;
  // As much of the last hour as is known, and at least five minutes.
  const long = day ? 86400 : t.length ? [300, 900, 1800, 3600].find((s) => t1 - t[0] <= s) || 3600 : 300, t0 = t1 - long;
  const x = (at) => x0 + (w - x0 - 6) * (at - t0) / long;
  let top = least;
  for (const [, values] of lines) for (const v of values) if (v > top) top = v;
  const step = 10 ** Math.floor(Math.log10(top)); top = Math.ceil(top / step) * step;
  const y = (v) => y1 - (y1 - y0) * v / top;
  const picture = svg("svg", { viewBox: `0 0 ${w} ${h}`, role: "img" });
  const newest = lines.map(([name, values]) => `${name} ${values.length && values[values.length - 1] != null ? unit(values[values.length - 1]) : "–"}`).join(", ");
  picture.setAttribute("aria-label", `${day ? "last 24 hours" : "last hour"}; now ${newest}; scale to ${unit(top)}`);
  for (const share of [0, 0.5, 1]) {
    picture.append(svg("line", { class: "rule", x1: x0, x2: w - 6, y1: y(top * share), y2: y(top * share) }),
      svg("text", { class: "axis", x: x0 - 6, y: y(top * share) + 4, "text-anchor": "end" }, unit(top * share)));
  }
  const every = { 300: 60, 900: 300, 1800: 600, 3600: 1200, 86400: 21600 }[long] * (w < 360 && long === 300 ? 2 : 1);
  if (day) for (let at = Math.ceil(t0 / every) * every; at <= t1; at += every) picture.append(svg("text", { class: "axis", x: x(at), y: h - 3,
    "text-anchor": at - t0 < 3600 ? "start" : "middle" }, new Date(at * 1000).toISOString().slice(11, 16) + (at + every > t1 ? " UTC" : "")));
  else for (let ago = 0; ago <= long; ago += every) picture.append(svg("text", { class: "axis", x: x(t1 - ago), y: h - 3,
    "text-anchor": ago === long ? "start" : ago ? "middle" : "end" }, ago ? `-${ago / 60} min` : "now"));
  for (const e of shown.events) if (e.level === "stuck") {
    const a = Math.max(x0, x(e.from)), b = x(e.until || t1);
    if (b > x0) picture.append(svg("rect", { class: "event", x: a, y: y0, width: Math.max(1, b - a), height: y1 - y0 }));
  }
  lines.forEach(([, values], i) => {
    let path = "", pen = false, before = 0;
    for (let k = 0; k < t.length; k++) {
      const v = values[k];
      if (v == null || t[k] < t0) { pen = false; continue; }
      path += `${pen && t[k] - before < (day ? 180 : 30) ? "L" : "M"}${x(t[k]).toFixed(1)} ${y(v).toFixed(1)}`;
      pen = true; before = t[k];
    }
    const line = svg("path", { d: path }); line.style.stroke = `var(--s${i % 4})`; if (i) line.style.strokeDasharray = ["", "6 3", "2 3", "8 3 2 3"][i % 4];
    picture.append(line);
  });
  const legend = el("div", { class: "legend" });
  lines.forEach(([name], i) => { const key = el("i"); key.style.borderTop = `3px ${["solid", "dashed", "dotted", "double"][i % 4]} var(--s${i % 4})`; legend.append(el("span", {}, key, name)); });
  box.replaceChildren(legend, picture);
}
function drawCharts() {
  const s = ($("day").checked ? lastDay : history).series, lags = Object.keys(s).filter((name) => name.startsWith("lag:"));
  chart("chart-lag", lags.map((name) => [name.slice(4), s[name]]), axis, 1);
  chart("chart-rate", [["in", s.produced || []], ["done", s.consumed || []]], (v) => number(v), 10);
  chart("chart-messages", [["waiting", s.messages || []]], (v) => number(v), 10);
}
async function get(path) {
  const answer = await fetch(path, { cache: "no-store", signal: AbortSignal.timeout(5000) });
  if (!answer.ok) throw new Error(answer.status);
  return answer.json();
}
async function askDay() {
  dayAsked = now();
  lastDay = await get("api/history?span=day&since=0");
}
async function refresh() {
  try {
    const newest = history.t.length ? history.t[history.t.length - 1] + 0.05 : 0;
    const [next, more] = await Promise.all([get("api/state"), get("api/history?since=" + newest)]);
    state = next; skew = next.now - Date.now() / 1000; failed = 0;
    if ($("day").checked && now() - dayAsked > DAY_EVERY_S) await askDay();
    const names = new Set([...Object.keys(history.series), ...Object.keys(more.series)]);
    for (const name of names) history.series[name] = [...(history.series[name] || Array(history.t.length).fill(null)), ...(more.series[name] || Array(more.t.length).fill(null))].slice(-720);
    history.t = [...history.t, ...more.t].slice(-720); history.events = more.events;
    text("group", `${next.name}, group ${next.group}`);
    $("all-installations").hidden = !next.fleet;
    if (next.fleet) $("all-installations").href = next.fleet;
    drawHeadline(); drawPath(); drawTables(); drawLists(); drawCharts(); drawCustomers(); tick();
    document.body.dataset.ready = "yes";
  } catch (error) {
    failed += 1;
    if (failed > 1) {
      document.body.dataset.level = "unknown"; text("level", LEVELS.unknown); text("title", "The monitor does not answer");
      text("sentence", "What is shown below is old. It is asked again every few seconds."); tick();
    }
  }
  setTimeout(refresh, document.hidden ? 5 * EVERY_MS : EVERY_MS);
}
$("all").addEventListener("change", () => state && drawTables());
$("customer").addEventListener("input", () => state && drawCustomers());
$("day").addEventListener("change", async () => {
  text("span", $("day").checked ? "Last 24 hours" : "Last hour");
  if ($("day").checked) await askDay().catch(() => { dayAsked = 0; });
  if (state) { drawLists(); drawCharts(); }
});
addEventListener("resize", () => state && drawCharts());
document.addEventListener("visibilitychange", () => document.hidden || (state && tick()));
setInterval(tick, 250);
refresh();
