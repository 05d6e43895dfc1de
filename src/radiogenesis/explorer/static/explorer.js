// Draws again when a slider moves, by whichever engine the page was written with (engine_*.js). Reads #content, written
// by explorer/page.py; loads nothing.

const content = JSON.parse(document.getElementById("content").textContent);
const { pixels, moves } = content;
const at = (id) => document.getElementById(id);
const AREA = pixels * pixels;
const KINDS = [["property", "Properties"], ["metagene", "Metagenes"], ["gene set", "Gene sets"], ["gene", "Genes"]];
const FAR = 2; // standard deviations of "low" and "high"
const SHOWN = 40; // sliders at a time

// What is packed in the page

async function unpacked(text) {
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).arrayBuffer();
}
const floats = async (text) => new Float32Array(await unpacked(text));

async function loaded() {
  const engine = await startEngine({ content, unpacked, floats });
  const model = async (name, length, codes, moved) => ({ name, length, codes: await floats(codes), moved: await floats(moved) });
  const s = content.shuffled;
  return {
    engine,
    own: await model("own", content.code, content.patients.codes, content.move_codes),
    shuffled: s && (await model("shuffled", s.code, s.codes, s.move_codes)),
  };
}

// The state: whose genes, on what, and how far each slider is moved

const start = () => ({ patient: 0, background: 0, noise: 0, amounts: {} });
let state = start();
let keptA = null;
let last = null; // the slider that was moved last
const shown = { view: "now", overlay: "none", window: Object.keys(content.windows)[0], kind: KINDS.find(([kind]) => moves.some((m) => m.kind === kind))[0], many: SHOWN };
const key = (move) => `${move.kind}:${move.name}`;
const index = new Map(moves.map((move, number) => [key(move), number]));

function codeOf(model, { patient, amounts }) {
  const code = model.codes.slice(patient * model.length, (patient + 1) * model.length);
  for (const [name, amount] of Object.entries(amounts)) {
    const row = index.get(name) * model.length;
    for (let k = 0; k < model.length; k++) code[k] += amount * model.moved[row + k];
  }
  return code;
}

// Drawing

async function draw(model, states, parts) {
  const wanted = states.map((one) => ({ background: one.background, noise: one.noise, code: codeOf(model, one) }));
  const { image, mask, weight } = await parts.engine.draw(model.name, wanted);
  const [low, high] = content.window;
  return states.map((_, row) => {
    const part = (values) => values.slice(row * AREA, (row + 1) * AREA);
    return { hu: part(image).map((v) => ((v + 1) * (high - low)) / 2 + low), mask: part(mask), weight: part(weight) };
  });
}

const asIs = (one) => ({ ...one, amounts: {} });
const moved = (one, name, amount) => ({ ...one, amounts: { ...one.amounts, [name]: amount } });

function panels(parts) {
  const { own, shuffled } = parts;
  if (shown.view === "low" && last) {
    return [-FAR, 0, FAR].map((amount) => ({
      model: own, state: moved(state, last, amount),
      caption: `${amount < 0 ? "low" : amount ? "high" : "middle"}: ${last.split(":").slice(1).join(":")} ${signed(amount)} SD`,
    }));
  }
  if (shown.view === "pair") {
    return [{ model: own, state: keptA ?? asIs(state), caption: keptA ? "A" : "A: all sliders at 0 (nothing was kept)" }, { model: own, state, caption: "B: as it is set" }];
  }
  if (shown.view === "shuffled" && shuffled) {
    return [{ model: own, state, caption: content.run }, { model: shuffled, state, caption: `${content.shuffled.run}: trained on shuffled genes` }];
  }
  return [{ model: own, state, caption: "" }];
}

// The drawing with all sliders at 0, which no slider changes: drawn once for each patient, background and noise.
const atRest = new Map();
async function still(model, one, parts) {
  const place = [model === parts.own, one.patient, one.background, one.noise].join();
  if (!atRest.has(place)) {
    if (atRest.size > 16) atRest.clear();
    atRest.set(place, (await draw(model, [asIs(one)], parts))[0]);
  }
  return atRest.get(place);
}

let busy = false;
let stale = false;
let drawings = [];

async function redraw(parts) {
  if (busy) { stale = true; return; }
  busy = true;
  try {
    await drawAll(parts);
  } catch (error) {
    at("measured").textContent = error.message;
  } finally {
    busy = false; // whatever happened, the next move is drawn
  }
}

async function drawAll(parts) {
  do {
    stale = false;
    const wanted = panels(parts);
    const began = performance.now();
    const made = [];
    for (const model of new Set(wanted.map((one) => one.model))) {
      const mine = wanted.filter((one) => one.model === model);
      const drawn = await draw(model, mine.map((one) => one.state), parts);
      for (const [row, one] of mine.entries()) made.push({ ...one, ...drawn[row], before: await still(model, one.state, parts) });
    }
    drawings = wanted.map((one) => made.find((other) => other.state === one.state && other.model === one.model));
    paint();
    tell(performance.now() - began);
    await new Promise(requestAnimationFrame);
  } while (stale);
}

// Pictures

function grey(hu) {
  const [low, high] = content.windows[shown.window];
  return Math.min(255, Math.max(0, (255 * (hu - low)) / (high - low)));
}

function outlined(mask, i) {
  if (mask[i] < 0.5) return false;
  const x = i % pixels;
  return [x && i - 1, x < pixels - 1 && i + 1, i - pixels, i + pixels].some((j) => j !== false && j >= 0 && j < AREA && mask[j] < 0.5);
}

function colors({ hu, mask, weight, before }) {
  const rgba = new Uint8ClampedArray(4 * AREA);
  for (let i = 0; i < AREA; i++) {
    let [r, g, b] = Array(3).fill(grey(hu[i]));
    if (shown.overlay === "mask" && outlined(mask, i)) [r, g, b] = [255, 146, 43];
    if (shown.overlay === "weight") [r, g, b] = [r * (1 - 0.6 * weight[i]) + 153 * weight[i], g * (1 - 0.6 * weight[i]), b * (1 - 0.6 * weight[i]) + 90 * weight[i]];
    if (shown.overlay === "difference") {
      const d = Math.max(-1, Math.min(1, (hu[i] - before.hu[i]) / 300));
      const share = Math.abs(d);
      [r, g, b] = [r * (1 - share) + (d > 0 ? 255 : 40) * share, g * (1 - share) + 110 * share, b * (1 - share) + (d > 0 ? 40 : 255) * share];
    }
    rgba.set([r, g, b, 255], 4 * i);
  }
  return new ImageData(rgba, pixels, pixels);
}

function paint() {
  const views = at("views");
  while (views.children.length > drawings.length) views.lastChild.remove();
  drawings.forEach((drawing, number) => {
    let figure = views.children[number];
    if (!figure) {
      figure = document.createElement("figure");
      const canvas = document.createElement("canvas");
      canvas.width = canvas.height = Math.max(384, pixels * 3);
      canvas.setAttribute("role", "img");
      figure.append(canvas, document.createElement("figcaption"));
      views.append(figure);
    }
    const [canvas, caption] = figure.children;
    const small = new OffscreenCanvas(pixels, pixels);
    small.getContext("2d").putImageData(colors(drawing), 0, 0);
    canvas.getContext("2d").drawImage(small, 0, 0, canvas.width, canvas.height);
    canvas.setAttribute("aria-label", `drawn lesion ${drawing.caption}, ${inWords(measured(drawing))}`);
    caption.textContent = drawing.caption;
  });
}

// Numbers

function measured({ hu, mask }) {
  let area = 0;
  let sum = 0;
  for (let i = 0; i < AREA; i++) if (mask[i] >= 0.5) { area++; sum += hu[i]; }
  return { diameter: 2 * Math.sqrt(area / Math.PI) * content.pixel_mm, mean: area ? sum / area : NaN };
}
const inUnit = (stored) => `${(stored * content.level[0] + content.level[1]).toFixed(content.unit === "HU" ? 0 : 2).replace("-", "−")} ${content.unit}`;
const inWords = ({ diameter, mean }) => diameter ? `diameter ${diameter.toFixed(1)} mm, mean inside ${inUnit(mean)}` : "no lesion";
const signed = (value) => `${value > 0 ? "+" : value < 0 ? "−" : ""}${Math.abs(value)}`;

function tell(milliseconds) {
  const [first] = drawings;
  const words = drawings.length > 1 ? drawings.map((one) => inWords(measured(one))).join(" · ") : `${inWords(measured(first))} (all sliders at 0: ${inWords(measured(first.before))})`;
  at("measured").textContent = words;
  at("measured").title = `drawn in ${milliseconds.toFixed(0)} ms; the diameter of a circle as large as the mask`;
}

// Sliders

const effects = (move) => move.evidence.filter((e) => e[3]).length ? move.evidence.filter((e) => e[3]) : move.evidence;
const supported = (move) => move.evidence.some((e) => e[3]);

function matching() {
  const words = at("search").value.trim().toLowerCase();
  const mine = moves.filter((move) => (words ? `${move.name} ${move.detail}`.toLowerCase().includes(words) : move.kind === shown.kind));
  const rank = (move) => (key(move) in state.amounts ? 0 : supported(move) ? 1 : 2);
  const size = (move) => Math.max(0, ...move.evidence.map((e) => Math.abs(e[4] ?? 0)));
  const exact = (move) => (words && move.name.toLowerCase() === words ? -1 : 0);
  return mine.sort((a, b) => exact(a) - exact(b) || rank(a) - rank(b) || size(b) - size(a));
}

function element(tag, className, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text) made.textContent = text;
  return made;
}

function slider(move, parts) {
  const name = key(move);
  const row = element("div", `move${supported(move) ? "" : " grey"}${name === last ? " last" : ""}`);
  row.dataset.move = name;
  const head = element("div", "head");
  const label = element("label", "name", move.name);
  const amount = element("output", "", `${signed(state.amounts[name] ?? 0)} SD`);
  head.append(label, amount);
  const input = Object.assign(document.createElement("input"), { type: "range", min: -3, max: 3, step: 0.1, value: state.amounts[name] ?? 0 });
  input.id = `move-${index.get(name)}`;
  label.htmlFor = input.id;
  const evidence = element("p", "evidence");
  const words = move.kind === "property" ? ["Predicted from genes. ", "Not predicted from genes. "] : ["Above chance. ", "Not above chance. "];
  const tag = element("span", "tag", words[supported(move) ? 0 : 1]);
  evidence.append(tag, supported(move) ? effects(move).slice(0, 3).map((e) => `${e[0]}: ${e[1]}`).join("; ") : move.why);
  evidence.id = `evidence-${index.get(name)}`;
  input.setAttribute("aria-describedby", evidence.id);
  input.addEventListener("input", () => {
    const value = Number(input.value);
    if (value) state.amounts[name] = value; else delete state.amounts[name];
    amount.textContent = `${signed(value)} SD`;
    choose(name);
    redraw(parts);
  });
  row.append(head);
  if (move.detail) row.append(element("div", "detail", move.detail));
  row.append(input, evidence);
  return row;
}

function choose(name) {
  last = name;
  for (const row of document.querySelectorAll(".move")) row.classList.toggle("last", row.dataset.move === name);
}

function list(parts) {
  const found = matching();
  at("sliders").replaceChildren(...found.slice(0, shown.many).map((move) => slider(move, parts)));
  at("more").hidden = found.length <= shown.many;
  const good = found.filter(supported).length;
  at("about").textContent = `${found.length} ${found.length === 1 ? "slider" : "sliders"}, ${good} ${shown.kind === "property" ? "predicted from genes better than by chance" : "with an effect above chance"}. One standard deviation (SD) is that over the training patients.${shown.kind === "gene" ? " A gene moves with the genes that go with it over patients." : ""}`;
  for (const tab of at("tabs").children) tab.setAttribute("aria-selected", String(tab.dataset.kind === shown.kind));
}

function tabs(parts) {
  for (const [kind, label] of KINDS) {
    const count = moves.filter((move) => move.kind === kind).length;
    if (!count) continue;
    const tab = element("button", "", `${label} (${count})`);
    tab.type = "button";
    tab.dataset.kind = kind;
    tab.setAttribute("role", "tab");
    tab.addEventListener("click", () => { Object.assign(shown, { kind, many: SHOWN }); at("search").value = ""; list(parts); });
    at("tabs").append(tab);
  }
}

function links(parts) {
  const rows = moves.filter((m) => m.kind === "metagene" || m.kind === "gene set").flatMap((m) => m.evidence.map((e) => [m, e]));
  rows.sort((a, b) => Number(b[1][3]) - Number(a[1][3]) || Math.abs(b[1][4] ?? 0) - Math.abs(a[1][4] ?? 0));
  at("evidence").hidden = !rows.length;
  at("links").replaceChildren(...rows.slice(0, 200).map(([move, [feature, text, verdict, good]]) => {
    const row = element("tr", good ? "" : "grey");
    const button = element("button", "", move.name);
    button.type = "button";
    button.addEventListener("click", () => follow(move, parts));
    const cell = element("td");
    cell.append(button);
    row.append(cell, ...[feature, text, verdict].map((words) => element("td", "", words)));
    return row;
  }));
}

function follow(move, parts) {
  Object.assign(shown, { kind: move.kind, view: "low", many: SHOWN });
  at("search").value = move.name;
  last = key(move);
  checked();
  list(parts);
  redraw(parts);
  at("views").scrollIntoView({ block: "nearest" });
}

// Choices, links, files

function options(id, names) {
  at(id).replaceChildren(...names.map((name, value) => Object.assign(element("option", "", name), { value })));
}

function checked() {
  for (const name of ["view", "overlay"]) {
    for (const input of document.getElementsByName(name)) input.checked = input.value === shown[name];
  }
  for (const name of ["patient", "background", "noise"]) at(name).value = state[name];
  at("window").value = shown.window;
}

function encoded() {
  const bytes = new TextEncoder().encode(JSON.stringify({ ...state, last, view: shown.view, overlay: shown.overlay, window: shown.window }));
  return btoa(String.fromCharCode(...bytes)).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

function decoded(text) {
  const raw = JSON.parse(new TextDecoder().decode(Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (c) => c.charCodeAt(0))));
  const within = (value, count) => (Number.isInteger(value) && value >= 0 && value < count ? value : 0);
  const amounts = {};
  for (const [name, amount] of Object.entries(raw.amounts ?? {})) {
    if (index.has(name) && Number.isFinite(amount)) amounts[name] = Math.max(-3, Math.min(3, amount));
  }
  return {
    state: { patient: within(raw.patient, content.patients.names.length), background: within(raw.background, content.backgrounds.names.length), noise: within(raw.noise, content.noise.count), amounts },
    last: index.has(raw.last) ? raw.last : null,
    view: ["now", "low", "pair", "shuffled"].includes(raw.view) ? raw.view : "now",
    overlay: ["none", "mask", "weight", "difference"].includes(raw.overlay) ? raw.overlay : "none",
    window: raw.window in content.windows ? raw.window : Object.keys(content.windows)[0],
  };
}
const linked = (address) => { const found = /#s=([\w-]+)/.exec(address); return found && decoded(found[1]); };

function say(words) { at("said").textContent = words; }

async function copyLink() {
  const address = `${location.href.split(/[?#]/)[0]}#s=${encoded()}`; // without the token of a server
  history.replaceState(null, "", `#s=${encoded()}`);
  try {
    await navigator.clipboard.writeText(address);
    say("copied");
  } catch {
    at("pasted").value = address;
    at("pasted").select();
    say("copy it from the field");
  }
}

function save(name, blob) {
  const anchor = Object.assign(document.createElement("a"), { href: URL.createObjectURL(blob), download: name });
  anchor.click();
  setTimeout(() => URL.revokeObjectURL(anchor.href), 1000);
}

function savePicture() {
  const canvases = [...document.querySelectorAll("#views canvas")];
  const side = canvases[0].width;
  const whole = Object.assign(document.createElement("canvas"), { width: side * canvases.length, height: side + 40 });
  const context = whole.getContext("2d");
  context.fillRect(0, 0, whole.width, whole.height);
  context.fillStyle = "#fff";
  context.font = "14px sans-serif";
  canvases.forEach((canvas, number) => {
    context.drawImage(canvas, number * side, 0);
    context.fillText(drawings[number].caption || "as it is set", number * side + 8, side + 16, side - 16);
  });
  context.fillText(`drawn by ${content.run}; not a real lesion`, 8, side + 34, whole.width - 16);
  whole.toBlob((blob) => save("lesion.png", blob));
}

function csvCell(value) {
  const text = String(value);
  const plain = typeof value === "number" || !/^[=+\-@\t\r]/.test(text) ? text : `'${text}`; // no spreadsheet runs it
  return `"${plain.replaceAll('"', '""')}"`;
}

function saveTable() {
  const rows = [["kind", "name", "standard deviations", "evidence"]];
  for (const [name, amount] of Object.entries(state.amounts)) {
    const move = moves[index.get(name)];
    rows.push([move.kind, move.name, amount, supported(move) ? effects(move).map((e) => `${e[0]}: ${e[1]}`).join("; ") : `not above chance: ${move.why}`]);
  }
  rows.push(["genes of", content.patients.names[state.patient], "", ""], ["on", content.backgrounds.names[state.background], "", `noise ${state.noise + 1}`]);
  drawings.forEach((one) => rows.push(["drawn", one.caption || "as it is set", "", inWords(measured(one))]));
  for (const [name, value] of Object.entries(content.provenance)) rows.push(["about", name, "", value]);
  save("settings.csv", new Blob([rows.map((row) => row.map(csvCell).join(",")).join("\r\n")], { type: "text/csv" }));
}

function take(found) {
  state = found.state;
  last = found.last;
  Object.assign(shown, { view: found.view, overlay: found.overlay, window: found.window });
  if (shown.view === "shuffled" && !content.shuffled) shown.view = "now";
}

// Everything together

function listen(parts) {
  const again = () => { checked(); redraw(parts); };
  for (const name of ["patient", "background", "noise"]) at(name).addEventListener("change", (event) => { state[name] = Number(event.target.value); again(); });
  at("window").addEventListener("change", (event) => { shown.window = event.target.value; again(); });
  for (const name of ["view", "overlay"]) {
    for (const input of document.getElementsByName(name)) input.addEventListener("change", () => { shown[name] = input.value; again(); });
  }
  at("search").addEventListener("input", () => { shown.many = SHOWN; list(parts); });
  at("more").addEventListener("click", () => { shown.many += SHOWN; list(parts); });
  const reset = () => { state = { ...state, amounts: {} }; list(parts); again(); };
  const keep = () => { keptA = structuredClone(state); say("kept as A"); if (shown.view === "pair") again(); };
  at("reset").addEventListener("click", reset);
  at("keep").addEventListener("click", keep);
  at("picture").addEventListener("click", savePicture);
  at("table").addEventListener("click", saveTable);
  at("link").addEventListener("click", copyLink);
  at("pasted").addEventListener("input", (event) => {
    let found = null;
    try { found = linked(event.target.value); } catch { /* not a link of this page */ }
    if (!found) { say(event.target.value ? "not a link of this page" : ""); return; }
    keptA = found.state;
    shown.view = "pair";
    say("shown as A");
    again();
  });
  const next = (name, count) => { state[name] = (state[name] + 1) % count; again(); };
  const views = ["now", "low", "pair", ...(content.shuffled ? ["shuffled"] : [])];
  const keys = {
    p: () => next("patient", content.patients.names.length), b: () => next("background", content.backgrounds.names.length),
    n: () => next("noise", content.noise.count), a: keep, 0: reset, "/": () => at("search").focus(),
    v: () => { shown.view = views[(views.indexOf(shown.view) + 1) % views.length]; again(); },
  };
  ["none", "mask", "weight", "difference"].forEach((overlay, number) => { keys[number + 1] = () => { shown.overlay = overlay; again(); }; });
  document.addEventListener("keydown", (event) => {
    const typing = event.target.matches("input[type=text], input[type=search], select");
    if (typing || event.ctrlKey || event.metaKey || event.altKey || !(event.key in keys)) return;
    event.preventDefault();
    keys[event.key]();
  });
  window.addEventListener("hashchange", () => {
    try { const found = linked(location.href); if (found) { take(found); list(parts); again(); } } catch { say("the link is damaged: nothing of it was used"); }
  });
}

// A scan of one's own, where a server reads it

function scans(parts) {
  const inputs = [at("files"), at("folder")].filter(Boolean);
  const tell = (words) => { at("scan").textContent = words; };
  for (const input of inputs) {
    input.addEventListener("change", async () => {
      if (!input.files.length) return;
      inputs.forEach((one) => { one.disabled = true; });
      tell(`Reading ${input.files.length} ${input.files.length === 1 ? "file" : "files"} …`);
      try {
        const { names, first, said } = await parts.engine.read(input.files);
        content.backgrounds.names = names;
        atRest.clear();
        if (keptA && keptA.background >= first) keptA = null;
        options("background", names);
        state.background = first;
        tell(said);
        checked();
        redraw(parts);
      } catch (error) {
        tell(error.message);
      } finally {
        inputs.forEach((one) => { one.disabled = false; one.value = ""; });
      }
    });
  }
}

async function main() {
  options("patient", content.patients.names);
  options("background", content.backgrounds.names);
  options("noise", Array.from({ length: content.noise.count }, (_, number) => number + 1));
  const parts = await loaded();
  try { const found = linked(location.href); if (found) take(found); } catch { say("the link is damaged: nothing of it was used"); }
  tabs(parts);
  listen(parts);
  scans(parts);
  links(parts);
  list(parts);
  checked();
  await redraw(parts);
  document.documentElement.dataset.state = "ready";
  window.explorer = { draw: (states) => draw(parts.own, states, parts), drawings: () => drawings, state: () => state, idle: () => !busy }; // for tests
}

main().catch((error) => { document.documentElement.dataset.state = "failed"; at("measured").textContent = `The page could not be started in this browser: ${error.message}`; });
