"use strict";
// Plots, sliders through pictures, sorting, a legend. Nothing here asks for anything outside of this file.

const root = document.documentElement;
const dark = matchMedia("(prefers-color-scheme: dark)");
const narrow = matchMedia("(max-width: 600px)");
const all = (selector, within = document) => [...within.querySelectorAll(selector)];
const parsed = (script) => JSON.parse(script.textContent);

// ---- colours: names of style.css, so that plots follow the dark mode
const named = (name) => getComputedStyle(root).getPropertyValue(name).trim();
const channels = (hex) => [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16));
const rgb = (numbers, alpha = 1) => `rgba(${numbers.map(Math.round).join(",")},${alpha})`;

function color(text) {
  if (text.startsWith("mix:")) {
    const [noise, signal] = [channels(named("--1")), channels(named("--0"))];
    return rgb(noise.map((from, i) => from + (signal[i] - from) * Number(text.slice(4))));
  }
  const [name, alpha] = text.split("/");
  return rgb(channels(named(name)), alpha);
}

function themed(node, key) {
  if (key === "color" || key === "fillcolor") return color(node);
  if (node === null || typeof node !== "object" || typeof node[0] === "number") return node;
  if (Array.isArray(node)) return node.map((each) => themed(each));
  return Object.fromEntries(Object.entries(node).map(([name, value]) => [name, themed(value, name)]));
}

function axis(own) {
  const quiet = { gridcolor: named("--grid"), linecolor: named("--faint"), zeroline: false, automargin: true };
  const words = { exponentformat: "power", tickfont: { size: 12, color: named("--quiet") }, fixedrange: matchMedia("(pointer: coarse)").matches };
  const title = { ...own.title, font: { size: 12.5, color: named("--quiet") }, standoff: 8 };
  return { ...quiet, ...words, tickangle: own.type === "category" ? "auto" : 0, ...own, title };
}

function layout(own, lines) {
  const legend = { orientation: "h", y: -0.24, yanchor: "top", x: 0, font: { size: 12 }, itemsizing: "constant" };
  return {
    font: { family: getComputedStyle(document.body).fontFamily, size: 13, color: named("--ink") },
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
    margin: { l: 8, r: 14, t: 12, b: 8 }, showlegend: lines > 1, legend,
    hovermode: lines > 3 ? "closest" : "x unified",
    hoverlabel: { bgcolor: named("--card"), bordercolor: named("--faint"), font: { color: named("--ink"), size: 12.5 }, namelength: 60 },
    ...own,
    xaxis: axis(own.xaxis), yaxis: axis(own.yaxis),
    annotations: (own.annotations || []).map((mark) => ({ font: { size: 12, color: named("--quiet") }, bgcolor: named("--card"), ...mark })),
    shapes: (own.shapes || []).map((shape) => ({ line: { color: named("--faint"), width: 1.5 }, ...shape })),
  };
}

// ---- plots: drawn when they come near the screen
const specs = new Map(all(".plot").map((figure) => [figure.querySelector(".canvas"), parsed(figure.querySelector("script"))]));
const hidden = new Set();
const drawn = new Set();

function draw(canvas) {
  const spec = specs.get(canvas);
  const data = themed(spec.data).map((trace) => ({ ...trace, visible: !hidden.has(trace.meta?.job) }));
  const shown = data.filter((trace) => trace.showlegend !== false).length;
  drawn.add(canvas);
  return Plotly.react(canvas, data, layout(spec.layout, shown), { displayModeBar: false, responsive: true });
}

async function unpack(id) {
  const text = atob(document.getElementById(id).textContent);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).text();
}

async function plots() {
  const script = document.createElement("script");
  script.textContent = await unpack("plotly");
  document.head.append(script);
  const near = new IntersectionObserver((entries) => {
    for (const { isIntersecting, target } of entries) {
      if (!isIntersecting || drawn.has(target)) continue;
      near.unobserve(target);
      draw(target);
    }
    root.dataset.ready = "true";
  }, { rootMargin: "500px" });
  for (const canvas of specs.keys()) near.observe(canvas);
  const again = () => drawn.forEach(draw);
  dark.addEventListener("change", again);
  addEventListener("beforeprint", () => specs.forEach((_, canvas) => draw(canvas)));
}

// ---- sliders through pictures
function player(figure) {
  const [pictures, labels] = all("script", figure).map(parsed);
  const image = figure.querySelector("img"), output = figure.querySelector("output");
  const range = figure.querySelector("input"), button = figure.querySelector(".play");
  let at = Number(figure.dataset.start), timer = null;

  function show(i) {
    at = (i + pictures.length) % pictures.length;
    image.src = pictures[at];
    image.alt = `${figure.dataset.what}, ${labels[at]}`;
    output.value = labels[at];
    if (!range) return;
    range.value = at;
    range.setAttribute("aria-valuetext", labels[at]);
  }
  function stop() {
    clearInterval(timer);
    timer = null;
    button.setAttribute("aria-pressed", "false");
  }
  function play() {
    if (at === pictures.length - 1) show(0);
    timer = setInterval(() => (at === pictures.length - 1 ? stop() : show(at + 1)), Math.max(80, Math.min(350, 6000 / pictures.length)));
    button.setAttribute("aria-pressed", "true");
  }
  show(at);
  if (!range) return;
  range.addEventListener("input", () => { stop(); show(Number(range.value)); });
  button.addEventListener("click", () => (timer ? stop() : play()));
  figure.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!step || event.target === range) return; // a slider moves by itself
    event.preventDefault();
    stop();
    show(at + step);
  });
}

// ---- tables that sort: numbers by size, words by the alphabet, what is missing last
function sort(table, column) {
  const heads = all("thead th", table), head = heads[column];
  const up = head.getAttribute("aria-sort") !== "ascending";
  heads.forEach((each) => each.removeAttribute("aria-sort"));
  head.setAttribute("aria-sort", up ? "ascending" : "descending");
  const value = (row) => row.cells[column].dataset.value;
  const compare = (a, b) => {
    if (a === "" || b === "") return (a === "") - (b === "");
    const difference = Number.isNaN(Number(a)) || Number.isNaN(Number(b)) ? a.localeCompare(b) : a - b;
    return up ? difference : -difference;
  };
  const body = table.tBodies[0];
  body.append(...[...body.rows].sort((a, b) => compare(value(a), value(b))));
}

// ---- a legend of jobs for all plots
function toggle(button) {
  const job = Number(button.dataset.job), shown = button.getAttribute("aria-pressed") === "false";
  button.setAttribute("aria-pressed", String(shown));
  shown ? hidden.delete(job) : hidden.add(job);
  drawn.forEach(draw);
}

async function copy(button) {
  const code = button.parentElement.querySelector("code");
  try {
    await navigator.clipboard.writeText(code.textContent);
    button.textContent = "copied";
  } catch {
    getSelection().selectAllChildren(code);
  }
}

all(".player").forEach(player);
all(".sortable").forEach((table) => all("thead button", table).forEach((button, i) => button.addEventListener("click", () => sort(table, i))));
all(".legend button").forEach((button) => button.addEventListener("click", () => toggle(button)));
all(".copy").forEach((button) => button.addEventListener("click", () => copy(button)));
if ("DecompressionStream" in window) plots();
else all(".canvas").forEach((canvas) => (canvas.textContent = "This browser is too old for the plots (2023 or newer is needed)."));
