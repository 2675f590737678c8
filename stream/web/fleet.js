// Asks /api/fleet every two seconds; draws a row for each installation. Nothing is sent, nothing is kept elsewhere.
"use strict";
const $ = (id) => document.getElementById(id);
const EVERY_MS = 2000;
const TAGS = { fresh: "OK", busy: "WARN", late: "WARN", stuck: "STALL", silent: "STALL", unknown: "odd" };
const NEEDS = ["silent", "stuck", "unknown"];
let failed = 0;

const number = (n) => n == null ? "–" : n.toLocaleString("en");
function span(s) {
  if (s == null) return "–";
  if (s < 10) return (s % 1 ? s.toFixed(1) : s) + " s";
  s = Math.round(s);
  if (s < 60) return s + " s";
  if (s < 3600) return Math.floor(s / 60) + " min" + (s % 60 ? ` ${s % 60} s` : "");
  if (s < 86400) return Math.floor(s / 3600) + " h " + Math.floor(s % 3600 / 60) + " min";
  return Math.floor(s / 86400) + " d " + Math.floor(s % 86400 / 3600) + " h";
}
function el(name, attributes, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}
const text = (id, value) => { if ($(id).textContent !== value) $(id).textContent = value; };

function lines(row) {
  const tag = el("span", { class: "tag " + (TAGS[row.level] || "odd") }, row.level);
  const page = el("a", { href: `installation/${encodeURIComponent(row.name)}/` }, row.name);
  const said = row.level === "fresh" ? [] : [el("tr", { class: "said" }, el("td", { colspan: 10 }, row.sentence))];
  return [el("tr", { "data-name": row.name }, el("td", {}, page), el("td", {}, tag), el("td", { class: "n" }, span(row.freshness_s)),
    el("td", { class: "n" }, number(row.messages)), el("td", { class: "n" }, number(row.workers)), el("td", { class: "opt" }, row.slot),
    el("td", { class: "n opt" }, number(row.open_dead_letters)), el("td", { class: "opt" }, row.replays.join(", ")),
    el("td", { class: "opt" }, row.verify), el("td", { class: "opt" }, row.identity ? row.identity[0] || "" : "")), ...said];
}
function draw(found) {
  const bad = found.rows.filter((row) => NEEDS.includes(row.level)), late = found.rows.filter((row) => row.level === "late");
  document.body.dataset.level = bad.length ? "stuck" : late.length ? "late" : "fresh";
  text("level", bad.length ? "Action needed" : late.length ? "Attention" : "All is well");
  text("title", `${found.rows.length} installations, ${bad.length ? `${bad.length} need an operator` : "none needs an operator"}`);
  text("sentence", bad.length ? `${bad[0].name}: ${bad[0].sentence}` : "");
  text("clock", new Date(found.now * 1000).toISOString().replace("T", " ").slice(0, 19) + " UTC");
  const focused = document.activeElement && document.activeElement.closest("[data-name]");
  const name = focused && focused.dataset.name;
  $("fleet").tBodies[0].replaceChildren(...found.rows.flatMap(lines));
  if (name) for (const row of document.querySelectorAll("[data-name]")) if (row.dataset.name === name) row.querySelector("a").focus();
  document.body.dataset.ready = "yes";
}
async function refresh() {
  try {
    const answer = await fetch("api/fleet", { cache: "no-store", signal: AbortSignal.timeout(5000) });
    if (!answer.ok) throw new Error(answer.status);
    draw(await answer.json());
    failed = 0;
  } catch (error) {
    failed += 1;
    if (failed > 1) { document.body.dataset.level = "unknown"; text("level", "Not known"); text("title", "The monitor does not answer"); text("sentence", "What is shown below is old."); }
  }
  setTimeout(refresh, document.hidden ? 5 * EVERY_MS : EVERY_MS);
}
refresh();
