/** Eq 4: eight examples of one feature, each with the three paths of its gradient. */
class Gradient extends Figure {
  static readouts = [
    ["direct", "direct path"],
    ["variance", "through the variance σ²"],
    ["mean", "through the mean μ"],
    ["total", "their sum, ∂ℓ/∂x"],
    ["sum", "∂ℓ/∂x summed over the batch"],
  ];
  static row = 44;

  layout(width) {
    const beside = width >= 620;
    const height = 8 * Gradient.row;
    const space = beside ? (width - 60 - 60) * 0.46 : width - 52;
    const left = { left: 36, top: 40, width: space, height };
    const right = beside
      ? { ...left, left: space + 92, width: width - space - 108 }
      : { ...left, top: 40 + height + 112 };
    const lines = { domain: [0, 8], ticks: [] };
    const x = { domain: [-4, 4], ticks: [-4, -2, 0, 2, 4] };
    this.lines = this.buildBatch(new Panel(this.svg, left, { ...x, title: "value x of the feature" }, lines));
    this.buildGradients(new Panel(this.svg, right, { domain: [-1, 1], ticks: [] }, lines));
    return this.right.bottom + 46;
  }

  /** The rows on the left, and the scale that each is dragged by. */
  buildBatch(panel) {
    this.left = panel;
    this.spread = draw("rect", { class: "spread", y: panel.top, height: panel.height }, panel.marks);
    this.middle = draw("line", { class: "level", y1: panel.top, y2: panel.bottom }, panel.marks);
    this.middleLabel = draw("text", { class: "note", y: panel.top - 10, "text-anchor": "middle" }, panel.above, "μ ± σ");
    const centres = Array.from({ length: 8 }, (_, k) => panel.top + (k + 0.5) * Gradient.row);
    const rails = centres.map((y) => `M${panel.left} ${y}H${panel.right}`).join("");
    draw("path", { class: "rail", d: rails }, panel.marks);
    this.tick = draw("path", { class: "ghost" }, panel.marks);
    this.dots = draw("path", { class: "dot" }, panel.marks);
    this.arrows = draw("path", { class: "chevrons dark" }, panel.marks);
    this.chosenDot = draw("circle", { class: "dot chosen", r: 10 }, panel.marks);
    this.centres = centres;
    this.number(panel);
    for (let k = 1; k <= 8; k++) this.align(`x${k}`, panel.left, panel.right);
    const { x, left, right } = panel;
    return centres.map((y) => ({ x, left, right, top: y - 22, height: 44 }));
  }

  /** Write the examples' numbers at the left of a panel. */
  number({ left, top, above }) {
    for (let k = 0; k < 8; k++) {
      draw("text", { x: left - 12, y: top + (k + 0.5) * Gradient.row + 5, "text-anchor": "end" }, above, `${k + 1}`);
    }
  }

  buildGradients(panel) {
    this.right = panel;
    this.number(panel);
    this.band = draw("rect", { class: "chosen-row", x: panel.left, width: panel.width, height: Gradient.row }, panel.marks);
    this.zero = draw("path", { class: "zero" }, panel.marks);
    const kinds = ["direct", "variance", "mean"];
    this.links = draw("path", { class: "link" }, panel.marks);
    this.bars = kinds.map((kind) => draw("path", { class: `path ${kind}` }, panel.marks));
    this.before = draw("path", { class: "ghost" }, panel.marks);
    this.sums = draw("path", { class: "sum" }, panel.marks);
    this.ends = [-1, 0, 1].map((side) => {
      const at = panel.x(side);
      draw("line", { class: "tick", x1: at, x2: at, y1: panel.bottom, y2: panel.bottom + 5 }, panel.above);
      return draw("text", { x: at, y: panel.bottom + 19, "text-anchor": "middle" }, panel.above);
    });
    draw("text", { class: "title", x: panel.right, y: panel.bottom + 38, "text-anchor": "end" }, panel.above, "∂ℓ/∂x");
    let at = panel.left;
    for (const [kind, words] of [["direct", "direct"], ["variance", "+ by σ²"], ["mean", "+ by μ"]]) {
      draw("path", { class: `path ${kind}`, d: `M${at} ${panel.top - 18}h10v7h-10z` }, panel.above);
      const name = draw("text", { class: "note", x: at + 15, y: panel.top - 10 }, panel.above, words);
      at += 15 + name.getComputedTextLength() + 14;
    }
    draw("path", { class: "sum", d: diamonds([at + 6], [panel.top - 14.5], 6) }, panel.above);
    draw("text", { class: "note", x: at + 17, y: panel.top - 10 }, panel.above, "= sum");
  }

  /** A row is taken hold of anywhere, chosen by that, and moved by as much as the pointer. */
  grasp({ x, y }) {
    const panel = y > this.left.bottom + 30 && this.right.top > this.left.bottom ? this.right : this.left;
    const row = clamp(Math.floor((y - panel.top) / Gradient.row), 0, 7);
    const name = `x${row + 1}`;
    this.change({ example: row });
    const slip = this.state[name] - this.left.x.invert(x);
    return (point) => this.change({ [name]: this.left.x.invert(point.x) + slip });
  }

  /** Both passes, at any state. */
  compute(state) {
    const x = Float64Array.from({ length: 8 }, (_, k) => state[`x${k + 1}`]);
    const xHat = new Float64Array(8);
    const { mean, invStd } = normalize(x, xHat, this.values.eps);
    const kinds = [(k) => Number(k === state.example), () => 1, (k) => xHat[k], (k) => this.values.draws[k]];
    const dy = Float64Array.from(x, (_, k) => kinds[state.push](k));
    const factors = normalizeBackward(dy, xHat, invStd);
    const direct = dy.map((value) => factors.direct * value);
    const variance = xHat.map((value) => factors.variance * value);
    const through = xHat.map(() => factors.mean);
    const total = direct.map((value, k) => value + variance[k] + factors.mean);
    return { x, mean, sigma: Math.sqrt(1 / invStd ** 2 - this.values.eps), direct, variance, through, total };
  }

  update() {
    const now = (this.now = this.compute(this.state));
    const { push, example } = this.state;
    this.first = this.compute({ ...this.starts(), push, example });
    for (let k = 0; k < 8; k++) this.inputs[`x${k + 1}`].closest("label").hidden = k !== example;
    this.drawBatch(now, example);
    this.drawGradients(now, example);
    const told = { direct: now.direct[example], variance: now.variance[example], mean: now.through[example] };
    for (const name in told) this.tell(name, told[name], signed(told[name]));
    const sum = now.total.reduce((a, b) => a + b);
    this.tell("total", now.total[example], signed(now.total[example]));
    this.tell("sum", sum, signed(sum));
    return (
      `Example ${example + 1} at ${fixed(now.x[example], 2)}, the loss pushing ${this.pushed()}: its ∂ℓ/∂x is ` +
      `${signed(now.total[example])}, of which ${signed(told.direct)} directly, ${signed(told.variance)} through the ` +
      `variance and ${signed(told.mean)} through the mean. The eight are ${Array.from(now.total, signed).join(", ")}.`
    );
  }

  pushed() {
    const { push } = this.state;
    return this.control("push").options[push];
  }

  drawBatch({ x, mean, sigma }, example) {
    const at = this.left.x;
    const xs = Array.from(x, at);
    const other = (values) => Array.from(values).filter((_, k) => k !== example);
    set(this.dots, { d: discs(other(xs), other(this.centres), 9) });
    const [cx, cy] = [xs[example], this.centres[example]];
    set(this.chosenDot, { cx, cy });
    set(this.arrows, { d: `M${cx - 15} ${cy - 5}l-5 5l5 5M${cx + 15} ${cy - 5}l5 5l-5 5` });
    const moved = xs.map((_, k) => k).filter((k) => x[k] !== this.first.x[k]);
    set(this.tick, { d: discs(moved.map((k) => at(this.first.x[k])), moved.map((k) => this.centres[k]), 6) });
    set(this.middle, { x1: at(mean), x2: at(mean) });
    set(this.middleLabel, { x: at(mean) });
    set(this.spread, { x: at(mean - sigma), width: at(mean + sigma) - at(mean - sigma) });
  }

  /** Bars from where the one above ends; the axis doubles when they need it. */
  drawGradients({ direct, variance, through, total }, example) {
    const { left, width, top } = this.right;
    const size = (k) => Math.max(Math.abs(direct[k]), Math.abs(direct[k] + variance[k]), Math.abs(total[k]));
    const most = Math.max(...Array.from(total, (_, k) => size(k)), ...this.first.total.map(Math.abs), 0.5);
    const half = [0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500].find((end) => end >= most) ?? most;
    const at = scale([-half, half], [left, left + width]);
    const columns = [direct, variance, through];
    const bars = ["", "", ""];
    let links = "";
    for (let k = 0; k < 8; k++) {
      let from = 0;
      const y = top + k * Gradient.row + 5;
      columns.forEach((column, path) => {
        const to = from + column[k];
        const [a, b] = [at(from), at(to)];
        bars[path] += `M${a.toFixed(2)} ${y + 9 * path}H${b.toFixed(2)}v7H${a.toFixed(2)}z`;
        links += `M${b.toFixed(2)} ${y + 9 * path}v${path < 2 ? 9 : 15}`;
        from = to;
      });
    }
    bars.forEach((d, path) => set(this.bars[path], { d }));
    set(this.links, { d: links });
    const ys = this.centres.map((_, k) => top + (k + 0.5) * Gradient.row + 14);
    set(this.sums, { d: diamonds(Array.from(total, at), ys, 6) });
    set(this.before, { d: discs(Array.from(this.first.total, at), ys, 6) });
    set(this.zero, { d: `M${at(0)} ${top}V${this.right.bottom}` });
    set(this.band, { y: top + example * Gradient.row });
    this.ends.forEach((text, i) => write(text, plainly((i - 1) * half)));
  }
}

const diamonds = (xs, ys, r) =>
  Array.from(xs, (x, i) => `M${(x - r).toFixed(2)} ${ys[i]}l${r} ${-r}l${r} ${r}l${-r} ${r}z`).join("");
const signed = (value) => (Math.abs(value) < 5e-4 ? "0" : fixed(value, 3));

customElements.define("sn-gradient", Gradient);
