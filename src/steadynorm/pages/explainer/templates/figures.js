"use strict";
// The five figures as custom elements. Python has computed every number: an element decodes its arrays, and maps
// numbers to pixels and to digits. The one sum done here is y = γx̂ + β of the third figure, in float32 as in torch.

const MINUS = "\u2212";
const fixed = (value, digits) => value.toFixed(digits).replace(/^-(?=.*[1-9])/, MINUS).replace(/^-/, "");
const percent = (value) => `${fixed(value, 1)} %`;
// Two digits whatever the size: 0.72, 1.5e−6.
const short = (value) => {
  if (!Number.isFinite(value)) return "diverged";
  const size = Math.abs(value);
  const text = size === 0 ? "0" : size >= 1e5 || size < 1e-3 ? value.toExponential(1) : size < 100 ? value.toPrecision(3) : value.toFixed(0);
  return text.replace("e+", "e").replaceAll("-", MINUS);
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
const move = (element, x, y) => {
  element.style.transform = `translate(${x.toFixed(2)}px, ${y.toFixed(2)}px)`;
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
      draw("text", { x: at, y: this.bottom + 19, "text-anchor": "middle" }, group, x.format(tick));
    }
    for (const tick of y.ticks) {
      const at = this.y(tick);
      draw("line", { class: "grid", x1: this.left, x2: this.right, y1: at, y2: at }, group);
      draw("text", { x: this.left - 7, y: at + 4, "text-anchor": "end" }, group, y.format(tick));
    }
    draw("line", { x1: this.left, x2: this.right, y1: this.bottom, y2: this.bottom }, group);
    if (x.title) draw("text", { class: "title", x: this.right, y: this.bottom + 38, "text-anchor": "end" }, group, x.title);
    if (y.title) draw("text", { class: "title", x: this.left, y: this.top - 10 }, group, y.title);
    const id = `clip-${++Panel.count}`;
    const clip = draw("clipPath", { id }, svg);
    draw("rect", { x: this.left - 6, y: this.top - 6, width: this.width + 12, height: this.height + 12 }, clip);
    this.marks = draw("g", { "clip-path": `url(#${id})` }, svg);
    this.above = draw("g", {}, svg);
  }
  static count = 0;
  path(xs, ys, attributes) {
    return draw("path", { d: line(Array.from(xs, this.x), Array.from(ys, this.y)), fill: "none", ...attributes }, this.marks);
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
    this.state = Object.fromEntries(this.controls.map(({ name, start }) => [name, start]));
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
    for (const [name, label] of this.constructor.readouts) {
      const pair = make("div", {}, this.readouts);
      make("dt", {}, pair, label);
      this.outputs[name] = make("dd", { "data-name": name }, pair);
    }
    this.addButtons(buttons);
    make("button", { type: "button", class: "reset" }, buttons, "Reset").onclick = () => this.reset();
    this.region = make("p", { class: "unseen", role: "status" }, live);
  }

  buildSlider({ name, label, low, high, step }) {
    const row = make("label", { class: "slider" }, this.handles);
    const input = make("input", { type: "range", name, min: low, max: high, step }, row);
    const words = make("span", {}, row, `${label} `);
    input.shown = make("output", {}, words);
    input.oninput = () => this.change({ [name]: input.valueAsNumber });
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
    this.change(Object.fromEntries(this.controls.map(({ name, start }) => [name, start])), true);
  }

  /** Take new values, each brought into its range and onto its grid; `glide` lets what moves take its time. */
  change(values, glide = false) {
    for (const control of this.controls) {
      const value = values[control.name];
      if (value === undefined || Number.isNaN(value)) continue;
      this.state[control.name] = settle(control, value);
    }
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
    const { low, step } = this.controls.find((control) => control.name === name);
    return Math.round((this.state[name] - low) / step);
  }

  fit(width) {
    if (!width || width === this.width) return;
    this.width = width;
    this.svg.replaceChildren();
    const height = this.layout(width);
    set(this.svg, { width, height, viewBox: `0 0 ${width} ${height}` });
    this.refresh();
  }

  refresh() {
    for (const control of this.controls) {
      const input = this.inputs[control.name];
      const value = this.state[control.name];
      if (control.options) {
        input.forEach((radio, index) => (radio.checked = index === value));
      } else {
        const digits = (String(control.step).split(".")[1] ?? "").length;
        input.value = value;
        input.shown.textContent = fixed(value, digits);
        input.setAttribute("aria-valuetext", fixed(value, digits));
      }
    }
    const sentence = this.update();
    this.svg.setAttribute("aria-label", sentence);
    clearTimeout(this.speaking);
    if (this.spoken !== undefined) this.speaking = setTimeout(() => (this.region.textContent = sentence), 350);
    this.spoken = sentence;
  }

  /** Write one number below the chart, with its full value beside it for whoever checks. */
  tell(name, value, text) {
    const output = this.outputs[name];
    output.textContent = text;
    output.dataset.value = value;
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

function decode({ shape, float32 }) {
  const bytes = Uint8Array.from(atob(float32), (letter) => letter.charCodeAt(0));
  const values = new Float32Array(bytes.buffer);
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

/** The state of all figures that are not at their start, in the page's address: #saturation:drift=2&norm=1;rate:rate=1 */
const Address = {
  figures: [],
  add(figure) {
    this.figures.push(figure);
    this.read(figure);
  },
  read(figure) {
    const part = location.hash.slice(1).split(";").find((text) => text.startsWith(`${figure.id}:`));
    const pairs = part ? [...new URLSearchParams(part.slice(figure.id.length + 1))] : [];
    const starts = figure.controls.map(({ name, start }) => [name, start]);
    const known = pairs.filter(([name, value]) => name in figure.state && value.trim() !== "" && Number.isFinite(+value));
    figure.change({ ...Object.fromEntries(starts), ...Object.fromEntries(known.map(([name, value]) => [name, +value])) });
  },
  text() {
    const parts = this.figures.map((figure) => {
      const moved = figure.controls.filter(({ name, start }) => figure.state[name] !== settle({ ...find(figure, name) }, start));
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
const find = (figure, name) => figure.controls.find((control) => control.name === name);

/** Figure 1: a batch on the sigmoid and on its slope. */
class Saturation extends Figure {
  static readouts = [
    ["mean", "mean slope g′, as set above"],
    ["plain", "without normalization"],
    ["normed", "with batch norm"],
    ["share", "of a centred batch’s slope"],
  ];

  layout(width) {
    const x = { domain: [-9, 9], ticks: [-9, -6, -3, 0, 3, 6, 9], format: (tick) => fixed(tick, 0) };
    const box = { left: 44, width: width - 60 };
    const top = { ...box, top: 34, height: 170 };
    const bottom = { ...box, top: 262, height: 120 };
    const heights = { domain: [0, 1], ticks: [0, 0.5, 1], format: (tick) => `${tick}`, title: "sigmoid g" };
    const slopes = { domain: [0, 0.25], ticks: [0, 0.125, 0.25], format: (tick) => `${tick}`, title: "its slope g′" };
    this.guide = draw("line", { class: "guide", y1: top.top, y2: bottom.top + bottom.height + 60 }, this.svg);
    this.upper = new Panel(this.svg, top, x, heights);
    this.lower = new Panel(this.svg, bottom, { ...x, title: "pre-activation" }, slopes);
    const { curve } = this.arrays;
    this.upper.path(curve.row(0), curve.row(1), { class: "curve" });
    this.lower.path(curve.row(0), curve.row(2), { class: "curve" });
    this.level = draw("line", { class: "level", x1: box.left, x2: this.lower.right }, this.lower.above);
    const dots = (panel, kind) =>
      Array.from(this.arrays.z.row(0, 0), () => draw("circle", { r: kind === "ghost" ? 3.5 : 4.5, class: kind }, panel.marks));
    this.ghosts = [dots(this.upper, "ghost"), dots(this.lower, "ghost")];
    this.dots = [dots(this.upper, "dot"), dots(this.lower, "dot")];
    this.far = undefined;
    this.arrow = draw("path", { class: "arrow", "marker-end": "url(#head)" }, this.upper.above);
    this.arrowLabel = draw("text", { class: "note", "text-anchor": "middle" }, this.upper.above, "batch norm");
    this.levelLabel = draw("text", { class: "note strong" }, this.lower.above);
    const marker = draw("marker", { id: "head", viewBox: "0 0 8 8", refX: 7, refY: 4, markerWidth: 8, markerHeight: 8, orient: "auto" }, this.svg);
    draw("path", { d: "M0 0L8 4L0 8z", class: "head" }, marker);
    this.align("drift", this.upper.x(-6), this.upper.x(6));
    if (!this.dragging) this.drag(this.svg, () => ({ x }) => this.change({ drift: this.upper.x.invert(x) }));
    this.dragging = true;
    return this.lower.bottom + 46;
  }

  update() {
    const { drift, norm } = this.state;
    const frame = this.index("drift");
    const { z, g, slope, mean, share } = this.arrays;
    this.place(this.dots, z.row(frame, norm), g.row(frame, norm), slope.row(frame, norm));
    this.classList.toggle("with", norm === 1);
    const at = this.upper.x(drift);
    const far = norm === 1 && Math.abs(drift) >= 0.6;
    if (far) this.place(this.ghosts, z.row(frame, 0), g.row(frame, 0), slope.row(frame, 0));
    if (far !== this.far) for (const ghost of this.ghosts.flat()) show(ghost, far);
    this.far = far;
    set(this.guide, { x1: at, x2: at });
    const home = this.upper.x(0) + Math.sign(drift) * 4;
    const height = drift < 0 ? this.upper.y(0.86) : this.upper.y(0.14);
    set(this.arrow, { d: `M${at} ${height}L${home} ${height}` });
    set(this.arrowLabel, { x: (at + home) / 2, y: height - 8 });
    show(this.arrow, far);
    show(this.arrowLabel, far && Math.abs(at - home) > 90);
    const now = mean.at(frame, norm);
    const level = this.lower.y(now);
    set(this.level, { y1: level, y2: level });
    const left = drift >= 0;
    set(this.levelLabel, { x: left ? this.lower.left + 4 : this.lower.right - 4, y: level - 7, "text-anchor": left ? "start" : "end" });
    this.levelLabel.textContent = `mean ${fixed(now, 3)}`;
    this.tell("mean", now, fixed(now, 3));
    this.tell("plain", mean.at(frame, 0), fixed(mean.at(frame, 0), 3));
    this.tell("normed", mean.at(frame, 1), fixed(mean.at(frame, 1), 3));
    this.tell("share", share.at(frame, norm), `${fixed(100 * share.at(frame, norm), 0)} %`);
    return (
      `Drift ${fixed(drift, 1)}, ${norm ? "with batch norm" : "no normalization"}: the mean slope of the sigmoid is ` +
      `${fixed(now, 3)}, ${fixed(100 * share.at(frame, norm), 0)} % of a centred batch’s.`
    );
  }

  place([above, below], z, g, slope) {
    for (let i = 0; i < z.length; i++) {
      const x = this.upper.x(z[i]);
      move(above[i], x, this.upper.y(g[i]));
      move(below[i], x, this.lower.y(slope[i]));
    }
  }
}

/** Figure 2: training one bias before a centring layer. */
class Bias extends Figure {
  static readouts = [
    ["b", "bias b"],
    ["gradient", "gradient used for b"],
    ["loss", "loss"],
    ["moved", "largest change of an output so far"],
  ];

  layout(width) {
    const x = { domain: [0, 200], ticks: [0, 50, 100, 150, 200], format: (tick) => `${tick}` };
    const box = { left: 44, width: width - 60 };
    const above = { ...box, top: 34, height: 150 };
    const below = { ...box, top: 242, height: 150 };
    this.guide = draw("line", { class: "guide", y1: above.top, y2: below.top + below.height + 60 }, this.svg);
    this.upper = new Panel(this.svg, above, x, { domain: [-2, 22], ticks: [0, 10, 20], format: (tick) => `${tick}`, title: "bias b" });
    this.lower = new Panel(this.svg, below, { ...x, title: "training step" }, {
      domain: [-2.5, 2.5], ticks: [-2, -1, 0, 1, 2], format: (tick) => fixed(tick, 0), title: "outputs of the layer, and the loss",
    });
    const clip = draw("clipPath", { id: "past" }, this.svg);
    this.past = draw("rect", { x: 0, y: 0, height: 500 }, clip);
    this.lines = [0, 1].map((mode) => {
      const column = (array) => Float32Array.from({ length: 201 }, (_, step) => array.at(step, mode));
      const steps = Float32Array.from({ length: 201 }, (_, step) => step);
      const group = (panel, past) => draw("g", past ? { "clip-path": "url(#past)" } : { class: "future" }, panel.marks);
      const upper = [group(this.upper, false), group(this.upper, true)];
      const lower = [group(this.lower, false), group(this.lower, true)];
      const add = (parents, panel, ys, kind) => {
        for (const parent of parents) parent.append(panel.path(steps, ys, { class: kind }));
      };
      add(upper, this.upper, column(this.arrays.b), "trace");
      for (let unit = 0; unit < 8; unit++) {
        add(lower, this.lower, Float32Array.from(steps, (step) => this.arrays.x_hat.at(step, mode, unit)), "output");
      }
      add(lower, this.lower, column(this.arrays.loss), "loss");
      return [...upper, ...lower];
    });
    this.dot = draw("circle", { r: 6, class: "dot" }, this.upper.above);
    this.lossDot = draw("circle", { r: 5, class: "loss-dot" }, this.lower.above);
    this.label = draw("text", { class: "note strong" }, this.upper.above);
    this.lossLabel = draw("text", { class: "note strong" }, this.lower.above);
    this.align("step", this.upper.left, this.upper.right);
    if (!this.dragging) this.drag(this.svg, () => ({ x }) => this.change({ step: this.upper.x.invert(x) }));
    this.dragging = true;
    return this.lower.bottom + 46;
  }

  update() {
    const { step, gradient: mode } = this.state;
    const { b, gradient, loss, moved } = this.arrays;
    this.classList.toggle("with", mode === 1);
    this.lines.forEach((groups, index) => groups.forEach((group) => show(group, index === mode)));
    const at = this.upper.x(step);
    set(this.guide, { x1: at, x2: at });
    set(this.past, { width: at });
    const now = b.at(step, mode);
    set(this.dot, { cx: at, cy: this.upper.y(now) });
    set(this.lossDot, { cx: at, cy: this.lower.y(loss.at(step, mode)) });
    const left = at > this.upper.left + 90;
    const text = { x: at + (left ? -10 : 10), "text-anchor": left ? "end" : "start" };
    set(this.label, { ...text, y: this.upper.y(now) - 9 });
    set(this.lossLabel, { ...text, y: this.lower.y(loss.at(step, mode)) - 9 });
    this.label.textContent = `b = ${fixed(now, 1)}`;
    this.lossLabel.textContent = `loss ${fixed(loss.at(step, mode), 3)}`;
    this.tell("b", now, Math.abs(now) < 1e-3 ? short(now) : fixed(now, 2));
    this.tell("gradient", gradient.at(step, mode), short(gradient.at(step, mode)));
    this.tell("loss", loss.at(step, mode), fixed(loss.at(step, mode), 4));
    this.tell("moved", moved.at(step, mode), short(moved.at(step, mode)));
    return (
      `Step ${step}, the mean ${mode ? "differentiated too" : "a constant"}: b is ${fixed(now, 1)}, ` +
      `the loss ${fixed(loss.at(step, mode), 3)}, and no output has changed by more than ${short(moved.at(step, mode))}.`
    );
  }
}

/** Figure 3: three lines, x above, x̂, y below. */
class Affine extends Figure {
  static readouts = [
    ["mean", "x: mean μ"],
    ["sigma", "x: spread σ"],
    ["y_mean", "y: mean"],
    ["y_spread", "y: spread"],
  ];

  addButtons(buttons) {
    make("button", { type: "button", class: "identity" }, buttons, "Set γ = σ, β = μ").onclick = () => {
      const [gamma, beta] = this.arrays.identity.row(this.state.batch);
      this.change({ gamma, beta }, true);
    };
  }

  layout(width) {
    const box = { left: 14, width: width - 28, height: 0 };
    const format = (tick) => fixed(tick, 0);
    const ticks = [-8, -6, -4, -2, 0, 2, 4, 6, 8];
    const x = { domain: [-8, 8], ticks: [], format };
    const y = { domain: [0, 1], ticks: [], format };
    this.tops = [76, 196, 316];
    this.panels = this.tops.map((top, row) => new Panel(this.svg, { ...box, top }, row === 2 ? { ...x, ticks } : x, y));
    this.x = this.panels[0].x;
    const clip = draw("clipPath", { id: "lines" }, this.svg);
    draw("rect", { x: 4, y: 0, width: width - 8, height: 400 }, clip);
    const group = draw("g", { "clip-path": "url(#lines)" }, this.svg);
    const zero = this.x(0);
    draw("line", { class: "grid", x1: zero, x2: zero, y1: 30, y2: this.tops[2] }, group);
    const each = (tag, attributes) => Array.from(this.arrays.x.row(0), () => draw(tag, attributes, group));
    this.threads = each("path", { class: "thread" });
    this.dots = ["raw", "normal", "result"].map((kind) => each("circle", { r: 4, class: `dot ${kind}` }));
    this.bars = this.tops.map((top, row) => {
      const bar = draw("g", { class: `bar ${["raw", "normal", "result"][row]}` }, this.svg);
      return { top: top - 22, line: draw("line", {}, bar), ends: [0, 1].map(() => draw(row === 2 ? "circle" : "line", row === 2 ? { r: 8 } : {}, bar)), centre: draw("circle", { r: row === 2 ? 8 : 4, class: "centre" }, bar) };
    });
    this.labels = this.tops.map((top) => draw("text", { class: "note", x: 14, y: top - 40 }, this.svg));
    if (!this.dragging) this.drag(this.svg, (point) => this.grasp(point));
    this.dragging = true;
    return 346;
  }

  /** What a press takes hold of: an end of y's bar scales, anything else shifts by as much as the pointer moves. */
  grasp({ x }) {
    const { gamma, beta } = this.state;
    const from = this.x.invert(x);
    const near = (value) => Math.abs(this.x(value) - x);
    for (const sign of [1, -1]) {
      const end = beta + sign * gamma;
      if (near(end) < 24 && near(end) <= near(beta)) {
        const slip = end - from;
        return (point) => this.change({ gamma: sign * (this.x.invert(point.x) + slip - beta) });
      }
    }
    return (point) => this.change({ beta: beta + this.x.invert(point.x) - from });
  }

  update() {
    const { gamma, beta, batch } = this.state;
    const { x, x_hat, mean, sigma, spread: one, identity, error } = this.arrays;
    const raw = x.row(batch);
    const normal = x_hat.row(batch);
    const result = (this.y = normal.map((value) => Math.fround(gamma * value) + beta)); // float32, as torch rounds it
    const lift = (i) => 7 * (((i * 0.618034) % 1) * 2 - 1); // lets dots of nearly one value be told apart
    for (let i = 0; i < raw.length; i++) {
      const spots = [raw[i], normal[i], result[i]].map((value, row) => [clamp(this.x(value), -99, this.width + 99), this.tops[row] + lift(i)]);
      spots.forEach(([left, top], row) => move(this.dots[row][i], left, top));
      this.threads[i].setAttribute("d", line(spots.map(([left]) => left), spots.map(([, top]) => top)));
    }
    const scaled = Math.abs(gamma) * one.at(batch);
    this.bar(0, mean.at(batch), sigma.at(batch));
    this.bar(1, 0, one.at(batch));
    this.bar(2, beta, gamma);
    this.labels[0].textContent = `x, with mean ${fixed(mean.at(batch), 2)} and spread ${fixed(sigma.at(batch), 2)}`;
    this.labels[1].textContent = `x̂, with mean 0 and spread ${fixed(one.at(batch), 2)}`;
    this.labels[2].textContent = `y = ${fixed(gamma, 2)} x̂ ${beta < 0 ? MINUS : "+"} ${fixed(Math.abs(beta), 2)}`;
    const [same, back] = identity.row(batch);
    const undone = gamma === same && beta === back;
    if (undone) this.labels[2].textContent += `, which is x to within ${short(error.at(batch))}`;
    this.classList.toggle("undone", undone);
    this.tell("mean", mean.at(batch), fixed(mean.at(batch), 2));
    this.tell("sigma", sigma.at(batch), fixed(sigma.at(batch), 2));
    this.tell("y_mean", beta, fixed(beta, 2));
    this.tell("y_spread", scaled, fixed(scaled, 2));
    return (
      `x has mean ${fixed(mean.at(batch), 2)} and spread ${fixed(sigma.at(batch), 2)}; x̂ has mean 0 and spread 1; with γ ` +
      `${fixed(gamma, 2)} and β ${fixed(beta, 2)}, y has mean ${fixed(beta, 2)} and spread ${fixed(scaled, 2)}` +
      (undone ? `, and is x to within ${short(error.at(batch))}.` : ".")
    );
  }

  bar(row, centre, half) {
    const { top, line: rule, ends, centre: dot } = this.bars[row];
    const [from, at, to] = [centre - half, centre, centre + half].map(this.x);
    set(rule, { x1: from, x2: to, y1: top, y2: top });
    set(dot, { cx: at, cy: top });
    [from, to].forEach((x, i) => set(ends[i], row === 2 ? { cx: x, cy: top } : { x1: x, x2: x, y1: top - 5, y2: top + 5 }));
  }
}

/** Figure 4: two landscapes, and the loss in the end against the rate. */
class Rate extends Figure {
  static readouts = [
    ["jagged", "jagged loss: descent"],
    ["jagged_end", "its loss after 40 steps"],
    ["smooth", "smooth loss: descent"],
    ["smooth_end", "its loss after 40 steps"],
  ];

  layout(width) {
    const beside = width >= 640;
    const space = beside ? (width - 60 - 16 - 44) / 2 : width - 60;
    const boxes = [0, 1].map((i) => ({ left: beside ? 44 + i * (space + 60) : 44, top: 34 + (beside ? 0 : i * 236), width: space, height: 150 }));
    const x = { domain: [-2.4, 2.4], ticks: [-2, -1, 0, 1, 2], format: (tick) => fixed(tick, 0), title: "parameter w" };
    const heights = [{ domain: [0, 15], ticks: [0, 5, 10, 15] }, { domain: [0, 3], ticks: [0, 1, 2, 3] }];
    const titles = ["jagged loss", "smooth loss"];
    this.panels = boxes.map((box, i) => new Panel(this.svg, box, x, { ...heights[i], format: (tick) => `${tick}`, title: titles[i] }));
    const { landscape, w, log_end: end } = this.arrays;
    this.balls = this.panels.map((panel, i) => {
      panel.path(landscape.row(0), landscape.row(i + 1), { class: "curve" });
      const group = draw("g", { class: ["without", "with"][i] }, panel.marks);
      const path = draw("path", { class: "steps", fill: "none" }, group);
      const dots = Array.from(w.row(0, 0), (_, step) => draw("circle", { r: step ? 3.5 : 6, class: step ? "dot" : "dot first" }, group));
      const note = draw("text", { class: "note strong", x: panel.right, y: panel.top - 10, "text-anchor": "end" }, panel.above);
      return { path, dots, note };
    });
    const top = boxes[1].top + 150 + 84;
    const rates = { domain: [0, 2.25], ticks: [0, 0.5, 1, 1.5, 2], format: (tick) => `${tick}`, title: "learning rate η" };
    const powers = { "-6": "10⁻⁶", "-3": "10⁻³", 0: "1", 3: "10³" };
    const levels = { domain: [-6, 3], ticks: [-6, -3, 0, 3], format: (tick) => powers[tick], title: "loss after 40 steps" };
    this.guide = draw("line", { class: "guide", y1: top, y2: top + 120 + 60 }, this.svg);
    this.strip = new Panel(this.svg, { left: 44, top, width: width - 60, height: 120 }, rates, levels);
    for (const [i, limit] of [0.4, 2].entries()) {
      const at = this.strip.x(limit);
      draw("line", { class: "limit", x1: at, x2: at, y1: top, y2: this.strip.bottom }, this.strip.above);
      draw("text", { class: "note", x: at - 5, y: top + 14, "text-anchor": "end" }, this.strip.above, `2/h = ${limit}`);
    }
    const grid = Float32Array.from({ length: end.all.length / 2 }, (_, k) => this.rateOf(k));
    this.marks = [0, 1].map((i) => {
      const kind = ["without", "with"][i];
      this.strip.path(grid, Float32Array.from(grid, (_, k) => end.at(k, i)), { class: `end ${kind}` });
      return draw("circle", { r: 5, class: `dot ${kind}` }, this.strip.above);
    });
    this.align("rate", this.strip.x(this.rateOf(0)), this.strip.right);
    if (!this.dragging) this.drag(this.svg, () => ({ x }) => this.change({ rate: this.strip.x.invert(x) }));
    this.dragging = true;
    return this.strip.bottom + 46;
  }

  rateOf(frame) {
    const { low, step } = this.controls[0];
    return low + frame * step;
  }

  update() {
    const frame = this.index("rate");
    const { w, height, end, log_end: log, diverged_at: diverged, outcome } = this.arrays;
    const at = this.strip.x(this.state.rate);
    set(this.guide, { x1: at, x2: at });
    const words = this.panels.map((panel, i) => {
      const { path, dots, note } = this.balls[i];
      const left = w.row(frame, i).filter((value) => !Number.isNaN(value));
      const far = (value, low, high) => clamp(value, low - 1e4, high + 1e4);
      const xs = Array.from(left, (value) => far(panel.x(value), panel.left, panel.right));
      const ys = Array.from(left, (_, step) => far(panel.y(height.at(frame, i, step)), panel.top, panel.bottom));
      set(path, { d: line(xs, ys) });
      dots.forEach((dot, step) => {
        show(dot, step < xs.length);
        if (step < xs.length) move(dot, xs[step], ys[step]);
      });
      set(this.marks[i], { cx: at, cy: this.strip.y(log.at(frame, i)) });
      const fate = this.values.outcomes[outcome.at(frame, i)];
      note.textContent = fate;
      const told = fate === "diverges" ? `diverges by step ${diverged.at(frame, i)}` : fate;
      const name = ["jagged", "smooth"][i];
      this.tell(name, diverged.at(frame, i), told);
      this.tell(`${name}_end`, end.at(frame, i), short(end.at(frame, i)));
      return `on the ${name} loss descent ${told}`;
    });
    return `At a learning rate of ${fixed(this.state.rate, 3)} ${words.join("; ")}.`;
  }
}

/** Figure 5: steps to a target accuracy; measured on the left, the paper's anchors on the right. */
class Ladder extends Figure {
  static readouts = [];

  build() {
    super.build();
    this.readouts.remove();
    const box = make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Steps to the target, as a table" });
    this.handles.after(box);
    const table = make("table", {}, box);
    make("caption", {}, table, "Steps to the target, and how many times fewer than Inception’s");
    const head = make("tr", {}, make("thead", {}, table));
    for (const title of ["", `${this.values.data}: steps`, "ratio", "paper: steps", "ratio"]) make(title ? "th" : "td", title ? { scope: "col" } : {}, head, title);
    const body = make("tbody", {}, table);
    this.cells = this.values.arms.map((arm, i) => {
      const row = make("tr", {}, body);
      const name = make("th", { scope: "row" }, row);
      const swatch = draw("svg", { class: "swatch", width: 34, height: 10, "aria-hidden": "true" }, name);
      draw("line", { x1: 0, x2: 34, y1: 5, y2: 5, ...this.stroke(i) }, swatch);
      name.append(arm);
      return [0, 1, 2, 3].map((column) => make("td", { "data-name": `${arm}:${column}` }, row));
    });
  }

  stroke(arm) {
    const dash = this.values.dashes[arm % this.values.dashes.length];
    return { style: `stroke: var(--arm-${arm % 8})`, "stroke-dasharray": dash[1] ? dash.join(" ") : "none", class: "arm" };
  }

  layout(width) {
    const beside = width >= 680;
    const room = 124; // for the names at the right
    const space = beside ? (width - 2 * (44 + room) - 24) / 2 : width - 44 - room;
    const boxes = [0, 1].map((i) => ({ left: 44 + (beside ? i * (space + 44 + room + 24) : 0), top: 40 + (beside ? 0 : i * 340), width: space, height: 240 }));
    const [measured, paper] = this.controls;
    const { steps, means, paper_steps: anchors, paper_best: best } = this.arrays;
    const [first, last] = [steps.all[0], steps.all.at(-1)];
    const doublings = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 2e4, 5e4, 1e5].filter((tick) => tick >= first && tick <= last);
    const tens = (high, by) => Array.from({ length: Math.floor(high / by) + 1 }, (_, k) => k * by);
    const thin = (tick) => `${tick}`;
    this.panels = [
      new Panel(this.svg, boxes[0],
        { domain: [first, last], log: true, ticks: doublings, format: thin, title: "training steps" },
        { domain: [0, measured.high], ticks: tens(measured.high, measured.high > 60 ? 20 : 10), format: thin, title: `${this.values.data}, measured: accuracy (%)` }),
      new Panel(this.svg, boxes[1],
        { domain: [1, 40], log: true, ticks: [1, 2, 5, 10, 20, 40], format: thin, title: "million training steps" },
        { domain: [paper.low, paper.high], ticks: [69, 70, 71, 72, 73, 74, 75], format: thin, title: "paper, ImageNet (%)" }),
    ];
    const [left, right] = this.panels;
    const { arms } = this.values;
    const label = (panel, heights, names) => {
      const gap = spread(heights, 15, panel.top + 4, panel.bottom);
      names.forEach((i, k) => {
        draw("path", { d: `M${panel.right + 2} ${heights[k]}L${panel.right + 9} ${gap[k]}`, ...this.stroke(i), "stroke-dasharray": "none" }, panel.above);
        draw("text", { class: "name", x: panel.right + 12, y: gap[k] + 4, style: `fill: var(--arm-${i % 8})` }, panel.above, arms[i]);
      });
    };
    const known = arms.map((_, i) => i).filter((i) => best.all[i] >= paper.low);
    label(left, arms.map((_, i) => left.y(means.row(i).at(-1))), arms.map((_, i) => i));
    label(right, known.map((i) => right.y(best.all[i])), known);
    draw("text", { class: "note", x: right.right + 12, y: right.top - 10 }, right.above, "best");
    arms.forEach((_, i) => left.path(steps.all, means.row(i), this.stroke(i)));
    for (const i of known) {
      draw("line", { x1: right.right - 8, x2: right.right + 2, y1: right.y(best.all[i]), y2: right.y(best.all[i]), ...this.stroke(i), "stroke-dasharray": "none" }, right.above);
    }
    const order = known.filter((i) => !Number.isNaN(anchors.all[i])).sort((i, j) => anchors.all[i] - anchors.all[j]);
    const drop = (panel) => arms.map((_, i) => draw("line", { ...this.stroke(i), "stroke-dasharray": "2 3" }, panel.above));
    this.drops = this.panels.map(drop);
    this.crosses = arms.map((_, i) => draw("circle", { r: 5, class: "cross", style: `fill: var(--arm-${i % 8})` }, left.above));
    order.forEach((i, k) => {
      const [x, y] = [right.x(anchors.all[i] / 1e6), right.y(this.values.anchor)];
      draw("path", { d: `M${x} ${y - 7}L${x + 7} ${y}L${x} ${y + 7}L${x - 7} ${y}z`, class: "cross", style: `fill: var(--arm-${i % 8})` }, right.above);
      draw("text", { class: "note", x: Math.min(x, right.right - 30), y: y + (k % 2 ? 42 : 24), "text-anchor": "middle", style: `fill: var(--arm-${i % 8})` }, right.above, arms[i]);
    });
    this.targets = this.panels.map((panel, i) => {
      const group = draw("g", { class: "target" }, this.svg);
      draw("line", { x1: panel.left, x2: panel.right, y1: 0, y2: 0 }, group);
      const text = draw("text", { class: "note strong", x: panel.left + 14, y: -9 }, group);
      const grip = draw("g", { class: "grip" }, group);
      draw("circle", { r: 22, cx: panel.left, class: "reach" }, grip);
      draw("circle", { r: 9, cx: panel.left, class: "knob" }, grip);
      draw("path", { d: `M${panel.left - 3.5} -2L${panel.left} -5.5L${panel.left + 3.5} -2M${panel.left - 3.5} 2L${panel.left} 5.5L${panel.left + 3.5} 2`, class: "chevrons" }, grip);
      const follow = () => ({ y }) => this.change({ [this.controls[i].name]: panel.y.invert(y) });
      this.drag(grip, follow, true);
      return { group, text };
    });
    const pick = ({ x, y }) => {
      const i = this.panels.findIndex((panel) => x > panel.left - 20 && x < panel.right + room && y > panel.top - 12 && y < panel.bottom + 12);
      return i < 0 ? null : (at) => this.change({ [this.controls[i].name]: this.panels[i].y.invert(at.y) });
    };
    if (!this.dragging) this.drag(this.svg, (point) => this.pick(point));
    this.dragging = true;
    this.pick = pick;
    return boxes[1].top + 240 + 46;
  }

  update() {
    const { target, paper } = this.state;
    const { steps, means, spent, ratio, paper_steps: anchors, paper_best: best, paper_ratio: times } = this.arrays;
    const frame = this.index("target");
    [target, paper].forEach((value, i) => {
      this.targets[i].group.setAttribute("transform", `translate(0 ${this.panels[i].y(value).toFixed(2)})`);
      this.targets[i].text.textContent = percent(value);
    });
    const exact = Math.abs(paper - this.values.anchor) < 0.05;
    const [left, right] = this.panels;
    const reached = this.values.arms.map((arm, i) => {
      const at = spent.at(frame, i);
      const there = !Number.isNaN(at);
      show(this.crosses[i], there);
      show(this.drops[0][i], there);
      if (there) {
        const x = left.x(at);
        const y = left.y(means.at(i, steps.all.indexOf(at)));
        set(this.crosses[i], { cx: x, cy: y });
        set(this.drops[0][i], { x1: x, x2: x, y1: y, y2: left.bottom });
      }
      const known = !Number.isNaN(anchors.all[i]);
      show(this.drops[1][i], exact && known);
      if (known) {
        const x = right.x(anchors.all[i] / 1e6);
        set(this.drops[1][i], { x1: x, x2: x, y1: right.y(this.values.anchor), y2: right.bottom });
      }
      const texts = [
        there ? `${at}` : "not reached",
        there && !Number.isNaN(ratio.at(frame, i)) ? fixed(ratio.at(frame, i), 2) : "–",
        this.published(paper, anchors.all[i], best.all[i], exact),
        exact && known ? fixed(times.all[i], 1) : "–",
      ];
      this.cells[i].forEach((cell, column) => (cell.textContent = texts[column]));
      this.cells[i][0].dataset.value = at;
      this.cells[i][1].dataset.value = ratio.at(frame, i);
      return `${arm} ${there ? `${at} steps` : "not"}`;
    });
    return `To ${percent(target)} on ${this.values.data}: ${reached.join(", ")}. The paper’s target is at ${percent(paper)}.`;
  }

  /** What the paper's few numbers say of a target: it gives steps for one target only. */
  published(target, steps, best, exact) {
    if (Number.isNaN(best) || target > best + 0.05) return "not reached";
    if (Number.isNaN(steps)) return "steps not given";
    const millions = `${fixed(steps / 1e6, 1)} M`;
    if (exact) return millions;
    return target < this.values.anchor ? `at most ${millions}` : `after ${millions}`;
  }
}

for (const [name, element] of Object.entries({ saturation: Saturation, bias: Bias, affine: Affine, rate: Rate, ladder: Ladder })) {
  customElements.define(`sn-${name}`, element);
}
addEventListener("hashchange", () => Address.figures.forEach((figure) => Address.read(figure)));
const linked = Address.figures.find((figure) => location.hash.includes(`${figure.id}:`));
linked?.scrollIntoView({ block: "center" });

// In a notebook each figure is a frame of its own, as high as what it holds.
if (location.protocol === "about:" && window.frameElement) {
  new ResizeObserver(([entry]) => {
    window.frameElement.style.height = `${Math.ceil(entry.contentRect.height) + 2}px`;
  }).observe(document.body);
}
