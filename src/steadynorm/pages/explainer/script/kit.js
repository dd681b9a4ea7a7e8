"use strict";
// What the figures share. Each is a custom element in a file of its own; page.py strings the files together into one
// script. Python has computed every number: an element decodes its arrays, and maps numbers to pixels and to digits.
// The one sum done here is y = γx̂ + β of the third figure, in float32 as in torch.

const MINUS = "\u2212";
const fixed = (value, digits) => value.toFixed(digits).replace(/^-(?=.*[1-9])/, MINUS).replace(/^-/, "");
const plainly = (tick) => fixed(tick, String(tick).split(".")[1]?.length ?? 0);
const percent = (value) => `${fixed(value, 1)} %`;
const RAISED = { "-": "⁻", 0: "⁰", 1: "¹", 2: "²", 3: "³", 4: "⁴", 5: "⁵", 6: "⁶", 7: "⁷", 8: "⁸", 9: "⁹" };
// Whatever the size: 0.725, 1.5·10⁻⁶.
const short = (value) => {
  if (!Number.isFinite(value)) return "diverged";
  const size = Math.abs(value);
  if (size === 0) return "0";
  const plain = size < 100 ? value.toPrecision(3) : value.toFixed(0);
  if (size < 1e5 && size >= 1e-3) return plain.replace("-", MINUS);
  const [digits, power] = value.toExponential(1).replace("+", "").split("e");
  return `${digits.replace("-", MINUS)}·10${[...power].map((sign) => RAISED[sign]).join("")}`;
};

function make(tag, attributes, parent, text) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes ?? {})) element.setAttribute(name, value);
  if (text !== undefined) element.textContent = text;
  parent?.append(element);
  return element;
}

function draw(tag, attributes, parent, text) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  if (text !== undefined) element.textContent = text;
  parent.append(element);
  return element;
}

const set = (element, attributes) => {
  for (const name in attributes) element.setAttribute(name, attributes[name]);
};
/** A new text is laid out anew, be it the same. */
const write = (element, text) => {
  if (element.textContent !== text) element.textContent = text;
};
const show = (element, visible) => {
  element.style.visibility = visible ? "" : "hidden";
};
const clamp = (value, low, high) => Math.min(high, Math.max(low, value));

function scale(from, to, log = false) {
  const warp = log ? Math.log : (value) => value;
  const [a, b] = from.map(warp);
  const at = (value) => to[0] + ((warp(value) - a) / (b - a)) * (to[1] - to[0]);
  at.invert = (pixel) => a + ((pixel - to[0]) / (to[1] - to[0])) * (b - a);
  at.range = to;
  return at;
}

const line = (xs, ys) => {
  let path = "";
  for (let i = 0; i < xs.length; i++) path += `${i ? "L" : "M"}${xs[i].toFixed(2)} ${ys[i].toFixed(2)}`;
  return path;
};

/** Dots as one path: a browser styles and paints one element in a fraction of the time of fifty. */
const discs = (xs, ys, r) => {
  const round = `a${r} ${r} 0 1 0 ${2 * r} 0a${r} ${r} 0 1 0 ${-2 * r} 0z`;
  let path = "";
  for (let i = 0; i < xs.length; i++) path += `M${(xs[i] - r).toFixed(2)} ${ys[i].toFixed(2)}${round}`;
  return path;
};

/** Labels at the heights asked for, or as near as leaves them `gap` apart. */
function spread(heights, gap, low, high) {
  const order = heights.map((_, i) => i).sort((i, j) => heights[i] - heights[j]);
  const placed = [...heights];
  let floor = low;
  for (const i of order) floor = (placed[i] = Math.max(placed[i], floor)) + gap;
  let ceiling = high;
  for (const i of order.reverse()) ceiling = (placed[i] = Math.min(placed[i], ceiling)) - gap;
  return placed;
}

/** A plot: a rectangle with a scale each way, its axes drawn. Children go into `marks`, which is clipped to it. */
class Panel {
  constructor(svg, box, x, y) {
    Object.assign(this, box);
    this.right = box.left + box.width;
    this.bottom = box.top + box.height;
    this.x = scale(x.domain, [this.left, this.right], x.log);
    this.y = scale(y.domain, [this.bottom, this.top], y.log);
    const group = draw("g", { class: "axes" }, svg);
    for (const tick of x.ticks) {
      const at = this.x(tick);
      draw("line", { x1: at, x2: at, y1: this.bottom, y2: this.bottom + 5 }, group);
      draw("text", { x: at, y: this.bottom + 19, "text-anchor": "middle" }, group, (x.format ?? plainly)(tick));
    }
    for (const tick of y.ticks) {
      const at = this.y(tick);
      draw("line", { class: "grid", x1: this.left, x2: this.right, y1: at, y2: at }, group);
      draw("text", { x: this.left - 7, y: at + 4, "text-anchor": "end" }, group, (y.format ?? plainly)(tick));
    }
    draw("line", { x1: this.left, x2: this.right, y1: this.bottom, y2: this.bottom }, group);
    const below = { class: "title", x: this.right, y: this.bottom + 38, "text-anchor": "end" };
    if (x.title) draw("text", below, group, x.title);
    const letter = y.letter ? { "data-letter": y.letter } : {};
    if (y.title) draw("text", { class: "title", x: this.left, y: this.top - 10, ...letter }, group, y.title);
    const id = `clip-${++Panel.count}`;
    const clip = draw("clipPath", { id }, svg);
    const above = box.ceiling ? 0 : 6; // room for marks that stand on the frame, unless what leaves it goes on upwards
    const size = { width: this.width + 12, height: this.height + above + 6 };
    draw("rect", { x: this.left - 6, y: this.top - above, ...size }, clip);
    this.marks = draw("g", { "clip-path": `url(#${id})` }, svg);
    this.above = draw("g", {}, svg);
  }
  static count = 0;
  path(xs, ys, attributes) {
    const d = line(Array.from(xs, this.x), Array.from(ys, this.y));
    return draw("path", { d, fill: "none", ...attributes }, this.marks);
  }
}

/** What all figures share: controls, state, address, drag, reset, words for those who do not see. */
class Figure extends HTMLElement {
  connectedCallback() {
    if (this.svg) return;
    const data = JSON.parse(this.querySelector("script").textContent);
    this.values = data.values;
    this.controls = data.controls;
    this.arrays = Object.fromEntries(Object.entries(data.arrays).map(([name, packed]) => [name, decode(packed)]));
    this.state = this.starts();
    this.still = matchMedia("(prefers-reduced-motion: reduce)");
    this.build();
    this.classList.add("is-live");
    Address.add(this);
    new ResizeObserver(([entry]) => this.fit(Math.floor(entry.contentRect.width))).observe(this);
  }

  build() {
    const live = make("div", { class: "live" });
    this.querySelector(".still").after(live);
    this.choices = make("div", { class: "choices" }, live);
    this.chart = make("div", { class: "chart" }, live);
    this.svg = draw("svg", { role: "img" }, this.chart);
    this.handles = make("div", { class: "handles" }, live);
    this.readouts = make("dl", { class: "readouts" }, live);
    const buttons = make("div", { class: "buttons" }, live);
    this.inputs = {};
    for (const control of this.controls) {
      this.inputs[control.name] = control.options ? this.buildChoice(control) : this.buildSlider(control);
    }
    this.outputs = {};
    this.quotes = {};
    for (const [name, label] of this.constructor.readouts) {
      const pair = make("div", {}, this.readouts);
      make("dt", {}, pair, label);
      this.outputs[name] = make("dd", { "data-name": name }, pair);
    }
    this.drag(this.svg, (point) => this.grasp(point));
    this.addButtons(buttons);
    make("button", { type: "button", class: "reset" }, buttons, "Reset").onclick = () => this.reset();
    this.region = make("p", { class: "unseen", role: "status" }, live);
  }

  buildSlider({ name, label, low, high, step, letter }) {
    const row = make("label", { class: "slider", ...(letter && { "data-letter": letter }) }, this.handles);
    const input = make("input", { type: "range", name, min: low, max: high, step }, row);
    const words = make("span", {}, row, `${label} `);
    input.shown = make("output", {}, words);
    input.oninput = () => {
      this.stopPlaying?.();
      this.change({ [name]: input.valueAsNumber });
    };
    return input;
  }

  buildChoice({ name, label, options }) {
    const group = make("fieldset", {}, this.choices);
    make("legend", {}, group, label);
    return options.map((option, index) => {
      const row = make("label", {}, group);
      const input = make("input", { type: "radio", name: `${this.id}-${name}`, value: index }, row);
      make("span", {}, row, option);
      input.onchange = () => this.change({ [name]: index }, true);
      return input;
    });
  }

  addButtons() {}

  reset() {
    this.stopPlaying?.();
    this.change(this.starts(), true);
  }

  starts() {
    return Object.fromEntries(this.controls.map(({ name, start }) => [name, start]));
  }

  /** Take new values, each brought into its range and onto its grid; `glide` lets what moves take its time. */
  change(values, glide = false) {
    const before = { ...this.state };
    for (const control of this.controls) {
      const value = values[control.name];
      if (value === undefined || Number.isNaN(value)) continue;
      this.state[control.name] = settle(control, value);
    }
    if (this.controls.every(({ name }) => this.state[name] === before[name])) return; // within one step of the grid
    if (glide && !this.still.matches) {
      this.classList.add("glides");
      clearTimeout(this.gliding);
      this.gliding = setTimeout(() => this.classList.remove("glides"), 500);
    }
    if (this.width) this.refresh();
    Address.write();
  }

  /** Which frame of the arrays belongs to a slider's value. */
  index(name) {
    const { low, step } = this.control(name);
    return Math.round((this.state[name] - low) / step);
  }

  control(name) {
    return this.controls.find((control) => control.name === name);
  }

  fit(width) {
    if (!width || width === this.width) return;
    this.width = width;
    this.arrange();
    this.refresh();
  }

  /** Lay the chart out anew. */
  arrange() {
    this.svg.replaceChildren();
    const { width } = this;
    const height = this.layout(width);
    set(this.svg, { width, height, viewBox: `0 0 ${width} ${height}` });
  }

  refresh() {
    for (const control of this.controls) {
      const input = this.inputs[control.name];
      const value = this.state[control.name];
      if (control.options) {
        input.forEach((radio, index) => (radio.checked = index === value));
      } else {
        const words = this.words(control, value);
        input.value = value;
        write(input.shown, words);
        input.setAttribute("aria-valuetext", words);
      }
    }
    const sentence = this.update();
    this.svg.setAttribute("aria-label", sentence);
    clearTimeout(this.speaking);
    if (this.spoken !== undefined) this.speaking = setTimeout(() => (this.region.textContent = sentence), 350);
    this.spoken = sentence;
  }

  /** A slider's value as the reader sees it. */
  words({ step }, value) {
    return fixed(value, (String(step).split(".")[1] ?? "").length);
  }

  /** Write one number below the chart, with its full value beside it for whoever checks, and wherever the text around
   * the figure quotes it. */
  tell(name, value, text) {
    const output = this.outputs[name];
    write(output, text);
    output.dataset.value = value;
    this.quotes[name] ??= [...document.querySelectorAll(`[data-live="${this.id}.${name}"]`)];
    for (const quote of this.quotes[name]) write(quote, text);
  }

  /** A button that runs a slider from its low end to its high one, `perSecond` steps a second, and stops it. */
  addPlay(buttons, name, perSecond) {
    const { low, high, step } = this.control(name);
    const button = make("button", { type: "button", class: "play" }, buttons, "Play");
    let began = null;
    const stop = () => {
      began = null;
      write(button, "Play");
    };
    const run = (now) => {
      if (began === null) return;
      const value = low + ((now - began) / 1000) * perSecond * step;
      this.change({ [name]: value });
      if (this.state[name] >= high) stop();
      else requestAnimationFrame(run);
    };
    button.onclick = () => {
      if (began !== null) return stop();
      const at = this.state[name] < high ? this.state[name] : low;
      began = performance.now() - ((at - low) / step / perSecond) * 1000;
      write(button, "Pause");
      requestAnimationFrame(run);
    };
    this.stopPlaying = stop;
  }

  /** Put a slider under a panel, so that its thumb stands below the value that the chart shows. */
  align(name, from, to) {
    const half = 14; // of the thumb
    const { style } = this.inputs[name];
    style.marginLeft = `${from - half}px`;
    style.width = `${to - from + 2 * half}px`;
  }

  /** Follow the pointer from wherever it goes down until it is released, beyond the chart's edge too. `begin` may
   * return what to do on each move. A finger takes hold by moving sideways, and up and down it scrolls the page; unless
   * the target is `free`, a grip that is there to be pulled any way. */
  drag(target, begin, free = false) {
    if (free) target.addEventListener("touchstart", (event) => event.preventDefault(), { passive: false });
    let follow = null;
    let pending = null;
    const point = (event) => {
      const box = this.svg.getBoundingClientRect();
      return { x: event.clientX - box.left, y: event.clientY - box.top };
    };
    target.addEventListener("pointerdown", (event) => {
      if (event.button !== 0 || !event.isPrimary) return;
      event.stopPropagation();
      if (event.pointerType !== "touch" || free) {
        target.setPointerCapture(event.pointerId);
        this.stopPlaying?.();
        follow = begin(point(event));
        follow?.(point(event));
        this.classList.add("drags");
      } else {
        pending = point(event);
      }
    });
    target.addEventListener("pointermove", (event) => {
      const at = point(event);
      if (pending && Math.abs(at.x - pending.x) > Math.max(4, Math.abs(at.y - pending.y))) {
        target.setPointerCapture(event.pointerId);
        this.stopPlaying?.();
        follow = begin(pending);
        pending = null;
      }
      follow?.(at);
    });
    const end = (event) => {
      if (pending && event.type === "pointerup") begin(pending)?.(pending);
      follow = pending = null;
      this.classList.remove("drags");
    };
    target.addEventListener("pointerup", end);
    target.addEventListener("pointercancel", end);
  }
}

/** An array as frames.py packs it: float32, or 16 bits between a low and a high end, of which the last is NaN. */
function decode({ shape, float32, uint16, low, high }) {
  const bytes = Uint8Array.from(atob(float32 ?? uint16), (letter) => letter.charCodeAt(0));
  const unpack = (word) => (word === 65535 ? NaN : low + ((high - low) * word) / 65534);
  const values = float32 ? new Float32Array(bytes.buffer) : Float32Array.from(new Uint16Array(bytes.buffer), unpack);
  const sizes = shape.map((_, axis) => shape.slice(axis + 1).reduce((product, size) => product * size, 1));
  const begin = (indices) => indices.reduce((sum, index, axis) => sum + index * sizes[axis], 0);
  return {
    at: (...indices) => values[begin(indices)],
    row: (...indices) => values.subarray(begin(indices), begin(indices) + sizes[indices.length - 1]),
    all: values,
  };
}

function settle(control, value) {
  if (control.options) return clamp(Math.round(value), 0, control.options.length - 1);
  const within = clamp(value, control.low, control.high);
  if (control.continuous) return Math.fround(within);
  return Number((control.low + Math.round((within - control.low) / control.step) * control.step).toFixed(6));
}

/** The state of all figures that are not at their start, in the page's address: #bias:step=9&gradient=1;rate:rate=1 */
const Address = {
  figures: [],
  add(figure) {
    this.figures.push(figure);
    this.read(figure);
  },
  read(figure) {
    const part = location.hash.slice(1).split(";").find((text) => text.startsWith(`${figure.id}:`));
    const pairs = part ? [...new URLSearchParams(part.slice(figure.id.length + 1))] : [];
    const sound = ([name, value]) => name in figure.state && value.trim() !== "" && Number.isFinite(+value);
    const known = pairs.filter(sound).map(([name, value]) => [name, +value]);
    figure.change({ ...figure.starts(), ...Object.fromEntries(known) });
  },
  text() {
    const parts = this.figures.map((figure) => {
      const moved = figure.controls.filter((control) => figure.state[control.name] !== settle(control, control.start));
      const words = moved.map(({ name }) => `${name}=${Number(figure.state[name].toPrecision(9))}`);
      return words.length ? `${figure.id}:${words.join("&")}` : "";
    });
    return parts.filter(Boolean).join(";");
  },
  write() {
    if (location.protocol === "about:") return; // in a notebook's frame the address belongs to nobody
    clearTimeout(this.writing);
    this.writing = setTimeout(() => {
      const text = this.text();
      if (text !== location.hash.slice(1) && (text || location.hash.includes(":"))) {
        history.replaceState(null, "", text ? `#${text}` : location.pathname + location.search);
      }
    }, 200);
  },
};

// The arithmetic of the figures that compute while one plays with them, in float64: one feature at a time, its values
// in a row. The tests hold each of these sums to the library's.

/** Eq 2: fills `xHat`, and returns the mean and 1/√(σ² + ε). */
function normalize(x, xHat, eps) {
  const m = x.length;
  let mean = 0;
  for (let i = 0; i < m; i++) mean += x[i];
  mean /= m;
  let square = 0;
  for (let i = 0; i < m; i++) square += (xHat[i] = x[i] - mean) * xHat[i];
  const invStd = 1 / Math.sqrt(square / m + eps);
  for (let i = 0; i < m; i++) xHat[i] *= invStd;
  return { mean, invStd };
}

/** Eq 4 in three numbers: ∂ℓ/∂xᵢ is `direct`·∂ℓ/∂x̂ᵢ, plus `variance`·x̂ᵢ through σ², plus `mean` through μ. */
function normalizeBackward(dxHat, xHat, invStd) {
  const m = xHat.length;
  let sum = 0;
  let along = 0;
  for (let i = 0; i < m; i++) {
    sum += dxHat[i];
    along += dxHat[i] * xHat[i];
  }
  return { direct: invStd, variance: (-along * invStd) / m, mean: (-sum * invStd) / m };
}

// Lines that colour and dash tell apart, and sliders side by side.

const stroke = (arm, dashes) => {
  const dash = dashes[arm % dashes.length];
  return { class: "arm", style: `stroke: var(--arm-${arm % 8})`, "stroke-dasharray": dash[1] ? dash.join(" ") : "none" };
};

/** A sample of a line before a readout's label, in place of a legend. */
function swatch(output, attributes) {
  const svg = draw("svg", { class: "swatch", width: 26, height: 10, "aria-hidden": "true" }, output.previousSibling);
  draw("line", { x1: 0, x2: 26, y1: 5, y2: 5, ...attributes }, svg);
  output.previousSibling.prepend(svg);
}

/** As `align`, of a slider that has others at its left. */
function alignInCell(figure, name, from, to) {
  const before = figure.inputs[name].closest("label").offsetLeft - figure.handles.offsetLeft;
  figure.align(name, from - before, to - before);
}
