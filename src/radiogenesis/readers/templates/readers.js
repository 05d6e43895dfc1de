// A reader study: shows one question after the other and keeps the answers. What an image is, the page does not know.
"use strict";
const study = JSON.parse(document.getElementById("study").textContent);
const bytes = Uint8Array.from(atob(study.images), (letter) => letter.charCodeAt(0));
const hounsfield = new Int16Array(bytes.buffer); // whole HU, little-endian, one image after the other
const P = study.pixels;
const COLUMNS = ["study", "reader", "task", "item", "number", "left", "answer", "seconds", "window_low", "window_high", "zoom"];
const SCALE = ["surely real", "probably real", "rather real", "rather drawn", "probably drawn", "surely drawn"];
const WINDOWS = [["Whole", -1000, 500], ["Lung", -1000, 0], ["Soft tissue", -160, 240]];
const $ = (id) => document.getElementById(id);

const state = { reader: "", answers: new Map(), order: [], at: 0, screen: "start", introduced: new Set(), kept: true, saved: true };
const view = { low: study.low, high: study.high, zoom: 1, x: 0, y: 0 };
const clock = { since: 0, before: 0 };

// Chance: the same for the same study, reader and item (FNV-1a, then mulberry32).
function hash(text) {
  let h = 2166136261;
  for (const letter of text) h = Math.imul(h ^ letter.codePointAt(0), 16777619);
  return h >>> 0;
}
function random(seed) {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}
function shuffled(list, draw) {
  const made = list.slice();
  for (let k = made.length - 1; k > 0; k--) {
    const other = Math.floor(draw() * (k + 1));
    [made[k], made[other]] = [made[other], made[k]];
  }
  return made;
}
function orderFor(reader) {
  return study.tasks.flatMap((task) => {
    const draw = random(hash(`${study.study}/${reader}/${task.task}`));
    return shuffled(task.items, draw).map((item) => ({ task, ...item, left: draw() < 0.5 ? 0 : 1 }));
  });
}

// What is kept: in the browser after every answer, and in a file that can be loaded again.
function csv() {
  const rows = state.order.filter((item) => state.answers.has(item.item)).map((item) => state.answers.get(item.item));
  return [COLUMNS.join(","), ...rows.map((row) => COLUMNS.map((name) => row[name]).join(","))].join("\n") + "\n";
}
function place() { return `radiogenesis-readers/${study.study}/${state.reader}`; }
function keep() {
  state.saved = false;
  try { localStorage.setItem(place(), csv()); state.kept = true; } catch { state.kept = false; }
}
function kept() {
  try { return localStorage.getItem(place()); } catch { state.kept = false; return null; }
}
function parsed(text) {
  const [head, ...lines] = text.trim().split(/\r?\n/).map((line) => line.split(","));
  if (head.join() !== COLUMNS.join()) throw new Error("This is no file of answers.");
  const rows = lines.map((cells) => Object.fromEntries(COLUMNS.map((name, k) => [name, cells[k]])));
  if (rows.some((row) => row.study !== study.study)) throw new Error("These answers are of another study.");
  if (new Set(rows.map((row) => row.reader)).size > 1) throw new Error("These answers are of several readers.");
  return rows;
}
function save() {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([csv()], { type: "text/csv" }));
  link.download = `answers-${study.study}-${state.reader}.csv`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  state.saved = true;
}

function begin(reader, rows) {
  state.reader = reader;
  state.order = orderFor(reader);
  const known = new Set(state.order.map((item) => item.item));
  for (const row of [...(rows || []), ...parsedOrNothing(kept())]) if (known.has(row.item)) state.answers.set(row.item, row);
  if (state.answers.size) keep();
  next();
}
function parsedOrNothing(text) {
  try { return text ? parsed(text) : []; } catch { return []; }
}
function next() {
  state.at = state.order.findIndex((item) => !state.answers.has(item.item));
  const item = state.order[state.at];
  clock.before = 0;
  if (!item) show("end");
  else if (!state.introduced.has(item.task.task)) show("intro");
  else show("item");
}

// Time counts while the page can be seen.
function startClock() { clock.since = document.hidden ? 0 : performance.now(); }
function stopClock() {
  if (clock.since) clock.before += (performance.now() - clock.since) / 1000;
  clock.since = 0;
}
document.addEventListener("visibilitychange", () => {
  if (state.screen !== "item") return;
  if (document.hidden) stopClock(); else startClock();
});

function answer(value) {
  if (state.screen !== "item") return;
  stopClock();
  const item = state.order[state.at];
  const pair = item.images.length > 1;
  state.answers.set(item.item, {
    study: study.study, reader: state.reader, task: item.task.task, item: item.item, number: state.at + 1,
    left: pair ? "AB"[item.left] : "", answer: pair ? "AB"[value === "left" ? item.left : 1 - item.left] : value,
    seconds: clock.before.toFixed(2), window_low: view.low, window_high: view.high, zoom: view.zoom.toFixed(2),
  });
  keep();
  next();
}
function undo() {
  const item = state.order[(state.at < 0 ? state.order.length : state.at) - 1];
  if (!item || !state.answers.has(item.item)) return;
  const before = Number(state.answers.get(item.item).seconds);
  state.answers.delete(item.item);
  keep();
  next();
  clock.before = before;
}

// Screens.
function show(screen) {
  stopClock();
  state.screen = screen;
  for (const part of document.querySelectorAll("main > section")) part.hidden = part.id !== screen;
  $("bar").hidden = screen === "start";
  $("count").textContent = `${state.answers.size} of ${state.order.length}`;
  $("progress").max = state.order.length || 1;
  $("progress").value = state.answers.size;
  $("who").textContent = state.reader;
  $("lost").hidden = state.kept;
  if (screen === "intro") intro(state.order[state.at].task);
  if (screen === "item") present(state.order[state.at]);
  if (screen === "end") $("save-end").focus();
}
function intro(task) {
  const number = study.tasks.indexOf(task) + 1;
  $("intro-head").textContent = `Part ${number} of ${study.tasks.length}: ${task.title}`;
  $("intro-text").textContent = task.text;
  $("intro-keys").textContent = task.keys;
  $("intro-count").textContent = `${task.items.length} questions. There is no right or wrong on the way: you are not told.`;
  $("go").focus();
}
function present(item) {
  const pair = item.images.length > 1;
  $("question").textContent = item.question || item.task.question;
  $("right").hidden = !pair;
  $("scale").hidden = pair;
  $("sides").hidden = !pair;
  $("views").classList.toggle("pair", pair);
  Object.assign(view, { zoom: 1, x: 0, y: 0 });
  paint();
  $("question").focus();
  startClock();
}

// Images: the window makes them gray, the canvas makes them large.
const small = document.createElement("canvas");
small.width = small.height = P;
function gray(number) {
  const context = small.getContext("2d");
  const made = context.createImageData(P, P);
  const start = number * P * P, width = Math.max(1, view.high - view.low);
  for (let k = 0; k < P * P; k++) {
    const level = ((hounsfield[start + k] - view.low) / width) * 255; // clamped by the array
    made.data[4 * k] = made.data[4 * k + 1] = made.data[4 * k + 2] = level;
    made.data[4 * k + 3] = 255;
  }
  context.putImageData(made, 0, 0);
}
function paint() {
  if (state.screen !== "item") return;
  const item = state.order[state.at];
  const shown = item.images.length > 1 ? [item.images[item.left], item.images[1 - item.left]] : item.images;
  shown.forEach((number, k) => {
    const canvas = [$("left"), $("right")][k];
    const side = Math.max(P, Math.round(canvas.clientWidth * (window.devicePixelRatio || 1)));
    if (canvas.width !== side) canvas.width = canvas.height = side;
    gray(number);
    const context = canvas.getContext("2d");
    const size = side * view.zoom, corner = (side - size) / 2;
    context.imageSmoothingQuality = "high";
    context.clearRect(0, 0, side, side);
    context.drawImage(small, corner + view.x * side, corner + view.y * side, size, size);
  });
  $("low").value = view.low;
  $("high").value = view.high;
  $("window").textContent = `${view.low} to ${view.high} HU`.replaceAll("-", "−");
  $("zoom").textContent = `${view.zoom.toFixed(1)} ×`;
}
function setWindow(low, high) {
  view.low = Math.max(study.low, Math.min(low, study.high - 10));
  view.high = Math.min(study.high, Math.max(high, view.low + 10));
  paint();
}
function move(x, y) {
  const reach = (view.zoom - 1) / 2;
  view.x = Math.max(-reach, Math.min(reach, x));
  view.y = Math.max(-reach, Math.min(reach, y));
}
function zoom(factor) {
  view.zoom = Math.max(1, Math.min(8, view.zoom * factor));
  move(view.x, view.y);
  paint();
}
let preset = 0;
function nextWindow(step = 1) {
  preset = (preset + step + WINDOWS.length) % WINDOWS.length;
  setWindow(WINDOWS[preset][1], WINDOWS[preset][2]);
}

for (const canvas of [$("left"), $("right")]) {
  canvas.addEventListener("wheel", (event) => { event.preventDefault(); zoom(event.deltaY < 0 ? 1.2 : 1 / 1.2); }, { passive: false });
  canvas.addEventListener("pointermove", (event) => {
    if (!event.buttons || !canvas.clientWidth) return;
    move(view.x + event.movementX / canvas.clientWidth, view.y + event.movementY / canvas.clientWidth);
    paint();
  });
  canvas.addEventListener("pointerdown", (event) => canvas.setPointerCapture(event.pointerId));
  canvas.addEventListener("dblclick", () => zoom(1 / 8));
}

SCALE.forEach((text, k) => {
  const button = document.createElement("button");
  button.type = "button";
  const digit = document.createElement("b"), words = document.createElement("span");
  digit.textContent = String(k + 1);
  words.textContent = text;
  button.append(digit, words);
  button.addEventListener("click", () => answer(k + 1));
  $("scale").append(button);
});
WINDOWS.forEach(([name, low, high], k) => {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = name;
  button.addEventListener("click", () => { preset = k; setWindow(low, high); });
  $("presets").append(button);
});

function start() {
  const reader = $("reader").value.trim();
  if (!/^[A-Za-z0-9_-]{1,32}$/.test(reader)) {
    $("said").textContent = "Write the code that you were given: letters, digits, - and _.";
    return;
  }
  begin(reader);
}
async function load() {
  const file = $("file").files[0];
  $("file").value = "";
  if (!file) return;
  try {
    const rows = parsed(await file.text());
    if (!rows.length) throw new Error("There are no answers in this file.");
    begin(rows[0].reader, rows);
  } catch (error) {
    $("said").textContent = error.message;
  }
}
const click = (id, act) => $(id).addEventListener("click", act);
click("start-go", start);
click("go", () => { state.introduced.add(state.order[state.at].task.task); show("item"); });
click("pick-left", () => answer("left"));
click("pick-right", () => answer("right"));
click("undo", undo);
click("save", save);
click("save-end", save);
click("closer", () => zoom(1.25));
click("farther", () => zoom(1 / 1.25));
click("theme", () => {
  const dark = getComputedStyle(document.documentElement).colorScheme === "dark";
  document.documentElement.dataset.theme = dark ? "light" : "dark";
});
$("file").addEventListener("change", load);
$("low").addEventListener("input", () => setWindow(Number($("low").value), view.high));
$("high").addEventListener("input", () => setWindow(view.low, Number($("high").value)));
window.addEventListener("resize", paint);
window.addEventListener("beforeunload", (event) => { if (!state.kept && !state.saved) event.preventDefault(); });

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const typing = event.target instanceof HTMLInputElement;
  if (event.key === "Enter" && event.target === $("reader")) return start();
  if (state.screen !== "item" || typing) return;
  const pair = state.order[state.at].images.length > 1;
  const acts = {
    "+": () => zoom(1.25), "=": () => zoom(1.25), "-": () => zoom(1 / 1.25), "0": () => zoom(1 / 8),
    w: () => nextWindow(), W: () => nextWindow(-1), s: save, Backspace: undo,
    "[": () => setWindow(view.low - 50, view.high - 50), "]": () => setWindow(view.low + 50, view.high + 50),
  };
  if (pair) Object.assign(acts, { ArrowLeft: () => answer("left"), ArrowRight: () => answer("right") });
  else for (let k = 1; k <= SCALE.length; k++) acts[k] = () => answer(k);
  if (acts[event.key]) { event.preventDefault(); acts[event.key](); }
});
$("reader").focus();
