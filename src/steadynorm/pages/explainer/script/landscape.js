/** The loss along the gradient at one step of training, and how much it varies at all of them. */
class Landscape extends Figure {
  static readouts = [
    ["0", ""],
    ["1", ""],
    ["2", ""],
  ];
  static looks = ["course plain", "course", "course dashes"];

  build() {
    super.build();
    this.values.names.forEach((name, i) => {
      this.outputs[i].previousSibling.textContent = name;
      swatch(this.outputs[i], { class: Landscape.looks[i] });
    });
  }

  words({ low, step }, value) {
    return fixed(low + Math.round((value - low) / step) * step, 0);
  }

  layout(width) {
    const beside = width >= 660;
    const space = beside ? (width - 44 - 60 - 20) / 2 : width - 60;
    const box = { left: 44, top: 40, width: space, height: 240 };
    const next = beside ? { ...box, left: box.left + space + 60 } : { ...box, top: 390 };
    const { low, high } = this.control("step");
    const eta = { domain: [0, 1], ticks: [], title: "" };
    this.left = new Panel(this.svg, box, eta, { domain: [0, 4], ticks: [0, 1, 2, 3, 4], title: "loss along the gradient" });
    this.ends = [0, 0.5, 1].map((share) => {
      const anchor = share === 1 ? "end" : "middle";
      return draw("text", { x: this.left.x(share), y: this.left.bottom + 19, "text-anchor": anchor }, this.left.above);
    });
    const below = { class: "title", x: this.left.right, y: this.left.bottom + 38, "text-anchor": "end" };
    this.name = draw("text", below, this.left.above);
    const powers = { "-2": "0.01", "-1": "0.1", 0: "1", 1: "10", 2: "100" };
    const ranges = { domain: [-2.2, 2], ticks: [-2, -1, 0, 1, 2], format: (k) => powers[k], title: "its range, highest less lowest" };
    const steps = { domain: [low, high], ticks: [0, 40, 80, 120, 160].filter((k) => k <= high), title: "step of training" };
    this.right = new Panel(this.svg, next, steps, ranges);
    const lines = (panel) => Landscape.looks.map((look) => draw("path", { class: look }, panel.marks));
    [this.walks, this.courses] = [lines(this.left), lines(this.right)];
    this.guide = draw("line", { class: "guide", y1: next.top, y2: this.right.bottom }, this.right.marks);
    this.dots = this.courses.map((_, i) => {
      return draw("circle", { r: 5, class: `cross ${i ? "with" : "without"}-dot` }, this.right.above);
    });
    this.align("step", this.right.x(low), this.right.right);
    return this.right.bottom + 46;
  }

  grasp() {
    return ({ x }) => this.change({ step: this.right.x.invert(x) });
  }

  update() {
    const { measure, step } = this.state;
    const { names, ends, points } = this.values;
    const { along, spread } = this.arrays;
    const at = this.index("step");
    const end = ends[measure];
    const xs = Array.from({ length: points }, (_, k) => this.left.x(k / (points - 1)));
    this.ends.forEach((text, k) => write(text, plainly(Number(((end * k) / 2).toFixed(2)))));
    write(this.name, measure ? "η, as a share of ‖W‖" : "η");
    const { low, high, step: every } = this.control("step");
    const all = Array.from({ length: Math.round((high - low) / every) + 1 }, (_, k) => k);
    const height = (k, i) => this.right.y(Math.log10(Math.max(spread.at(k, measure, i), 1e-9)));
    const told = names.map((name, i) => {
      const losses = Array.from({ length: points }, (_, k) => this.left.y(Math.min(along.at(at, measure, i, k), 9)));
      set(this.walks[i], { d: line(xs, losses) });
      set(this.courses[i], { d: line(all.map((k) => this.right.x(low + k * every)), all.map((k) => height(k, i))) });
      set(this.dots[i], { cx: this.right.x(step), cy: height(at, i) });
      const range = spread.at(at, measure, i);
      this.tell(i, range, short(range));
      return `${name} by ${short(range)}`;
    });
    set(this.guide, { x1: this.right.x(step), x2: this.right.x(step) });
    const how = measure ? `a walk of ${end} of each layer’s length` : `a walk of η = ${end}`;
    return `At step ${step} the loss varies along the gradient, over ${how}: ${told.join(", ")}.`;
  }
}

customElements.define("sn-landscape", Landscape);
