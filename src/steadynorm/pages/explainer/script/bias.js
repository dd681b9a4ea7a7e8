/** Figure 2: training one bias before a centring layer. */
class Bias extends Figure {
  static readouts = [
    ["b", "bias b"],
    ["gradient", "gradient used for b"],
    ["loss", "loss"],
    ["moved", "largest change of an output so far"],
  ];

  layout(width) {
    const x = { domain: [0, 200], ticks: [0, 50, 100, 150, 200] };
    const box = { left: 44, width: width - 60 };
    const above = { ...box, top: 34, height: 150 };
    const below = { ...box, top: 242, height: 150 };
    this.guide = draw("line", { class: "guide", y1: above.top, y2: below.top + below.height + 60 }, this.svg);
    this.upper = new Panel(this.svg, above, x, { domain: [-2, 22], ticks: [0, 10, 20], title: "bias b" });
    const y = { domain: [-2.5, 2.5], ticks: [-2, -1, 0, 1, 2], title: "outputs of the layer, and the loss" };
    this.lower = new Panel(this.svg, below, { ...x, title: "training step" }, y);
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
    return this.lower.bottom + 46;
  }

  grasp() {
    return ({ x }) => this.change({ step: this.upper.x.invert(x) });
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
      `the loss ${fixed(loss.at(step, mode), 3)}, and no output has changed by more than ` +
      `${short(moved.at(step, mode))}.`
    );
  }
}

customElements.define("sn-bias", Bias);
