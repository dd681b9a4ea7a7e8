/** Figure 4: two landscapes, and the loss in the end against the rate. */
class Rate extends Figure {
  static readouts = [
    ["jagged", "jagged loss: descent"],
    ["jagged_end", "its loss at this step"],
    ["smooth", "smooth loss: descent"],
    ["smooth_end", "its loss at this step"],
  ];

  addButtons(buttons) {
    this.addPlay(buttons, "step", 8);
  }

  layout(width) {
    const beside = width >= 640;
    const space = beside ? (width - 60 - 16 - 44) / 2 : width - 60;
    const box = { left: 44, top: 34, width: space, height: 150, ceiling: true };
    const boxes = [box, beside ? { ...box, left: space + 104 } : { ...box, top: 270 }];
    const x = { domain: [-2.4, 2.4], ticks: [-2, -1, 0, 1, 2], title: "parameter w" };
    const heights = { domain: [0, 15], ticks: [0, 5, 10, 15] }; // the same for both
    const titles = ["jagged loss", "smooth loss"];
    this.panels = boxes.map((box, i) => new Panel(this.svg, box, x, { ...heights, title: titles[i] }));
    const { landscape } = this.arrays;
    this.balls = this.panels.map((panel, i) => {
      panel.path(landscape.row(0), landscape.row(i + 1), { class: "curve" });
      const group = draw("g", { class: ["without", "with"][i] }, panel.marks);
      const path = draw("path", { class: "steps", fill: "none" }, group);
      const dots = draw("path", { class: "dot" }, group);
      const ball = draw("circle", { r: 7, class: "dot first" }, group);
      const corner = { x: panel.right, y: panel.top - 10, "text-anchor": "end" };
      const note = draw("text", { class: "note strong", ...corner }, panel.above);
      return { path, dots, ball, note };
    });
    this.layoutStrip(width, boxes[1].top + 150 + 84);
    this.align("rate", this.strip.x(this.rateOf(0)), this.strip.right);
    return this.strip.bottom + 46;
  }

  layoutStrip(width, top) {
    const { log_end: end } = this.arrays;
    const rates = { domain: [0, 2.25], ticks: [0, 0.5, 1, 1.5, 2], title: "learning rate η" };
    const powers = { "-6": "10⁻⁶", "-3": "10⁻³", 0: "1", 3: "10³" };
    const format = (tick) => powers[tick];
    const title = `loss after ${this.values.steps} steps`;
    const levels = { domain: [-6, 3], ticks: [-6, -3, 0, 3], format, title };
    this.guide = draw("line", { class: "guide", y1: top, y2: top + 120 + 60, "data-letter": "eta" }, this.svg);
    this.strip = new Panel(this.svg, { left: 44, top, width: width - 60, height: 120 }, rates, levels);
    for (const limit of this.values.limits) {
      const at = this.strip.x(limit);
      const words = { class: "note", x: at - 5, y: top + 14, "text-anchor": "end", "data-letter": "h" };
      draw("line", { class: "limit", x1: at, x2: at, y1: top, y2: this.strip.bottom }, this.strip.above);
      draw("text", words, this.strip.above, `2/h = ${limit}`);
    }
    const grid = Float32Array.from({ length: end.all.length / 2 }, (_, k) => this.rateOf(k));
    this.marks = [0, 1].map((i) => {
      const kind = ["without", "with"][i];
      this.strip.path(grid, Float32Array.from(grid, (_, k) => end.at(k, i)), { class: `end ${kind}` });
      return draw("circle", { r: 5, class: `dot ${kind}` }, this.strip.above);
    });
  }

  rateOf(frame) {
    const { low, step } = this.controls[0];
    return low + frame * step;
  }

  /** The lowest chart sets the rate, a landscape the step: from its left edge to its right one. */
  grasp({ x, y }) {
    const panel = this.panels.find(({ left, right, bottom, top }) => x > left && x < right && y > top - 30 && y < bottom + 30);
    if (!panel) return (at) => this.change({ rate: this.strip.x.invert(at.x) });
    return (at) => this.change({ step: ((at.x - panel.left) / panel.width) * this.values.steps });
  }

  update() {
    const frame = this.index("rate");
    const { step } = this.state;
    const { w, height, log_end: log, diverged_at: diverged, outcome } = this.arrays;
    const at = this.strip.x(this.state.rate);
    set(this.guide, { x1: at, x2: at });
    const words = this.panels.map((panel, i) => {
      const { path, dots, ball, note } = this.balls[i];
      const left = w.row(frame, i).subarray(0, step + 1).filter((value) => !Number.isNaN(value));
      const far = (value, low, high) => clamp(value, low - 1e4, high + 1e4);
      const xs = Array.from(left, (value) => far(panel.x(value), panel.left, panel.right));
      const ys = Array.from(left, (_, k) => far(panel.y(height.at(frame, i, k)), panel.top, panel.bottom));
      set(path, { d: line(xs, ys) });
      set(dots, { d: discs(xs.slice(0, -1), ys.slice(0, -1), 3) });
      set(ball, { cx: xs.at(-1), cy: ys.at(-1) });
      set(this.marks[i], { cx: at, cy: this.strip.y(log.at(frame, i)) });
      const fate = this.values.outcomes[outcome.at(frame, i)];
      write(note, fate);
      const told = diverged.at(frame, i) > 0 ? `diverges by step ${diverged.at(frame, i)}` : fate;
      const name = ["jagged", "smooth"][i];
      this.tell(name, diverged.at(frame, i), told);
      this.tell(`${name}_end`, height.at(frame, i, step), short(height.at(frame, i, step)));
      return `on the ${name} loss descent ${told}, and at step ${step} its loss is ${short(height.at(frame, i, step))}`;
    });
    return `At a learning rate of ${fixed(this.state.rate, 3)} ${words.join("; ")}.`;
  }
}

customElements.define("sn-rate", Rate);
