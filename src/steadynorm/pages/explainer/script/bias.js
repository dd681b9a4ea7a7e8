/** Figure 2: training one bias before a centring layer; and one weight before a scaling layer. */
class Bias extends Figure {
  static readouts = [
    ["b", "bias b"],
    ["gradient", "gradient used for it"],
    ["loss", "loss"],
    ["moved", "change of the outputs so far"],
  ];

  build() {
    super.build();
    this.sum = make("p", { class: "live-sum" });
    this.handles.after(this.sum);
  }

  layout(width) {
    const x = { domain: [0, 200], ticks: [0, 50, 100, 150, 200] };
    const beside = width >= 680; // room for the climb
    const box = { left: 44, width: beside ? Math.round(width * 0.64) - 60 : width - 60 };
    const above = { ...box, top: 34, height: 150 };
    const below = { ...box, top: 242, height: 150 };
    this.guide = draw("line", { class: "guide", y1: above.top, y2: below.top + below.height + 60 }, this.svg);
    const uppers = [
      { domain: [-2, 22], ticks: [0, 10, 20], title: "bias b", letter: "b" },
      { domain: [-2, 22], ticks: [0, 10, 20], title: "bias b", letter: "b" },
      { domain: [-1.1, 1.1], ticks: [-1, 0, 1], title: "weight w" },
    ];
    this.frames = uppers.map(() => draw("g", {}, this.svg));
    this.uppers = uppers.map((y, mode) => new Panel(this.frames[mode], above, x, y));
    const y = { domain: [-2.5, 2.5], ticks: [-2, -1, 0, 1, 2], title: "outputs x̂ of the layer, and the loss", letter: "x-hat" };
    this.lower = new Panel(this.svg, below, { ...x, title: "training step" }, y);
    const clip = draw("clipPath", { id: "past" }, this.svg);
    this.past = draw("rect", { x: 0, y: 0, height: 500 }, clip);
    this.lines = uppers.map((_, mode) => this.drawMode(mode));
    this.dot = draw("circle", { r: 6, class: "dot" }, this.svg);
    this.lossDot = draw("circle", { r: 5, class: "loss-dot" }, this.lower.above);
    this.label = draw("text", { class: "note strong", "data-letter": "b" }, this.svg);
    this.lossLabel = draw("text", { class: "note strong", "data-letter": "loss" }, this.lower.above);
    this.far = beside ? this.drawClimb(width, box.left + box.width + 74) : null;
    this.align("step", this.lower.left, this.lower.right);
    return this.lower.bottom + 46;
  }

  drawMode(mode) {
    const column = (array) => Float32Array.from({ length: 201 }, (_, step) => array.at(step, mode));
    const steps = Float32Array.from({ length: 201 }, (_, step) => step);
    const group = (panel, past) => draw("g", past ? { "clip-path": "url(#past)" } : { class: "future" }, panel.marks);
    const upper = [group(this.uppers[mode], false), group(this.uppers[mode], true)];
    const lower = [group(this.lower, false), group(this.lower, true)];
    const add = (parents, panel, ys, kind) => {
      for (const parent of parents) parent.append(panel.path(steps, ys, { class: kind }));
    };
    add(upper, this.uppers[mode], column(this.arrays.b), "trace");
    for (let unit = 0; unit < 8; unit++) {
      add(lower, this.lower, Float32Array.from(steps, (step) => this.arrays.x_hat.at(step, mode, unit)), "output");
    }
    add(lower, this.lower, column(this.arrays.loss), "loss");
    return lower;
  }

  /** The same bias until it stands still, on logarithmic axes. */
  drawClimb(width, left) {
    const frame = draw("g", {}, this.svg);
    const box = { left, width: width - left - 16, top: 34, height: this.lower.bottom - 34 };
    const powers = { 1: "1", 1e2: "10²", 1e4: "10⁴", 1e6: "10⁶", 1e8: "10⁸" };
    const ticks = Object.keys(powers).map(Number);
    const format = (tick) => powers[tick];
    const steps = { domain: [1, 1e8], ticks, format, log: true, title: "steps" };
    const panel = new Panel(frame, box, steps, { domain: [0.1, 1e7], ticks: ticks.slice(0, 4), format, log: true, title: "b, much later" });
    const { climb_steps: counts, climb } = this.arrays;
    const [last, top] = [counts.all.at(-1), climb.all.at(-1)];
    panel.path([...counts.all, 1e8], [...climb.all, top], { class: "trace" });
    draw("circle", { class: "cross", cx: panel.x(last), cy: panel.y(top), r: 5, style: "fill: var(--tone)" }, panel.above);
    const told = ["float32 stalls", `at ${top.toLocaleString("en")}`, "and never overflows"];
    told.forEach((words, i) => {
      const place = { x: panel.right, y: panel.bottom - 46 + 17 * i, "text-anchor": "end" };
      draw("text", { class: `note${i === 1 ? " strong" : ""}`, ...place }, panel.above, words);
    });
    return frame;
  }

  grasp() {
    return ({ x }) => this.change({ step: this.lower.x.invert(x) });
  }

  update() {
    const { step, gradient: mode } = this.state;
    const { b, gradient, loss, moved } = this.arrays;
    const upper = this.uppers[mode];
    this.classList.toggle("with", mode === 1);
    this.lines.forEach((groups, index) => groups.forEach((group) => show(group, index === mode)));
    this.frames.forEach((frame, index) => (frame.style.display = index === mode ? "" : "none"));
    if (this.far) this.far.style.display = mode === 0 ? "" : "none";
    const at = this.lower.x(step);
    set(this.guide, { x1: at, x2: at });
    set(this.past, { width: at });
    const now = b.at(step, mode);
    const name = mode === 2 ? "w" : "b";
    set(this.dot, { cx: at, cy: upper.y(now) });
    set(this.lossDot, { cx: at, cy: this.lower.y(loss.at(step, mode)) });
    const left = at > this.lower.left + 90;
    const text = { x: at + (left ? -10 : 10), "text-anchor": left ? "end" : "start" };
    set(this.label, { ...text, y: upper.y(now) - 9 });
    set(this.lossLabel, { ...text, y: this.lower.y(loss.at(step, mode)) - 9 });
    write(this.label, `${name} = ${fixed(now, mode === 2 ? 2 : 1)}`);
    write(this.lossLabel, `loss ${fixed(loss.at(step, mode), 3)}`);
    write(this.outputs.b.previousSibling, mode === 2 ? "weight w" : "bias b");
    const shown = fixed(now, 1);
    const sums = [
      `x̂ = (u + ${shown}) ${MINUS} E[u + ${shown}]: the ${shown} cancels, and x̂ is u ${MINUS} E[u]`,
      `x̂ = (u + ${shown}) ${MINUS} E[u + ${shown}]: descent knows it, and leaves b alone`,
      `x̂ = ${fixed(now, 2)}·u / σ(${fixed(now, 2)}·u): of w only the sign counts, yet the slope is 1/|w| steep`,
    ];
    write(this.sum, sums[mode]);
    this.tell("b", now, Math.abs(now) < 1e-3 ? short(now) : fixed(now, 2));
    this.tell("gradient", gradient.at(step, mode), short(gradient.at(step, mode)));
    this.tell("loss", loss.at(step, mode), fixed(loss.at(step, mode), 4));
    this.tell("moved", moved.at(step, mode), short(moved.at(step, mode)));
    const taken = this.controls[1].options[mode];
    return (
      `Step ${step}, descent takes ${taken}: ${name} is ${fixed(now, 1)}, the loss ${fixed(loss.at(step, mode), 3)}, ` +
      `and no output is further than ${short(moved.at(step, mode))} from where it began.`
    );
  }
}

customElements.define("sn-bias", Bias);
