const ROOM = 124; // for the names at the right of a panel

/** Figure 5: steps to a target accuracy; measured on the left, the paper's anchors on the right. */
class Ladder extends Figure {
  static readouts = [];

  build() {
    super.build();
    this.readouts.remove();
    const told = { role: "region", "aria-label": "Steps to the target, as a table" };
    const box = make("div", { class: "scroll", tabindex: "0", ...told });
    this.handles.after(box);
    const table = make("table", {}, box);
    make("caption", {}, table, "Steps to the target, and how many times fewer than Inception’s");
    const head = make("tr", {}, make("thead", {}, table));
    make("td", {}, head);
    [this.heading] = ["", "ratio", "paper: steps", "ratio"].map((title) => make("th", { scope: "col" }, head, title));
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

  /** Which of the measured sets is shown. */
  get set() {
    return this.state.data ?? 0;
  }

  /** An array of that set. */
  measured(name) {
    return this.arrays[`${name}_${this.set}`];
  }

  /** The names of the two targets' handles: of that set, and of the paper. */
  get names() {
    return [this.values.targets[this.set], "paper"];
  }

  stroke(arm) {
    const dash = this.values.dashes[arm % this.values.dashes.length];
    const style = `stroke: var(--arm-${arm % 8})`;
    return { style, "stroke-dasharray": dash[1] ? dash.join(" ") : "none", class: "arm" };
  }

  fill(arm) {
    return `fill: var(--arm-${arm % 8})`;
  }

  layout(width) {
    this.laid = this.set;
    this.panels = this.plots(width);
    this.drops = this.panels.map((panel) =>
      this.values.arms.map((_, i) => draw("line", { ...this.stroke(i), "stroke-dasharray": "2 3" }, panel.above)),
    );
    this.drawMeasured(this.panels[0]);
    this.drawPaper(this.panels[1]);
    this.targets = this.panels.map((panel, i) => this.drawTarget(panel, this.names[i]));
    return this.panels[1].bottom + 46;
  }

  plots(width) {
    const beside = width >= 680;
    const space = beside ? (width - 2 * (44 + ROOM) - 24) / 2 : width - 44 - ROOM;
    const box = { left: 44, top: 40, width: space, height: 240 };
    const next = beside ? { ...box, left: space + ROOM + 112 } : { ...box, top: 380 };
    const [measured, paper] = this.names.map((name) => this.control(name));
    const { all } = this.measured("steps");
    const [first, last] = [all[0], all.at(-1)];
    const round = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 2e4, 5e4, 1e5];
    const by = measured.high > 60 ? 20 : 10;
    const tens = Array.from({ length: Math.floor(measured.high / by) + 1 }, (_, k) => k * by);
    const steps = { domain: [first, last], ticks: round.filter((tick) => tick >= first && tick <= last), log: true };
    const millions = { domain: [1, 40], ticks: [1, 2, 5, 10, 20, 40], log: true };
    const here = { domain: [0, measured.high], ticks: tens, title: `${this.values.data[this.set]}, measured: accuracy (%)` };
    const percents = [69, 70, 71, 72, 73, 74, 75];
    const there = { domain: [paper.low, paper.high], ticks: percents, title: "paper, ImageNet (%)" };
    return [
      new Panel(this.svg, box, { ...steps, title: "training steps" }, here),
      new Panel(this.svg, next, { ...millions, title: "million training steps" }, there),
    ];
  }

  /** Write the names of some arms at the right of a panel, each beside its height. */
  name(panel, arms, heights) {
    const places = spread(heights, 15, panel.top + 4, panel.bottom);
    arms.forEach((i, k) => {
      const [x, y] = [panel.right, places[k]];
      const lead = { d: `M${x + 2} ${heights[k]}L${x + 9} ${y}`, ...this.stroke(i), "stroke-dasharray": "none" };
      draw("path", lead, panel.above);
      draw("text", { class: "name", x: x + 12, y: y + 4, style: this.fill(i) }, panel.above, this.values.arms[i]);
    });
  }

  drawMeasured(panel) {
    const [steps, means] = [this.measured("steps"), this.measured("means")];
    const all = this.values.arms.map((_, i) => i);
    for (const i of all) panel.path(steps.all, means.row(i), this.stroke(i));
    this.name(panel, all, all.map((i) => panel.y(means.row(i).at(-1))));
    this.crosses = all.map((i) => draw("circle", { r: 5, class: "cross", style: this.fill(i) }, panel.above));
  }

  /** The anchors as diamonds, and at the right the best of each arm, whose steps are not given. */
  drawPaper(panel) {
    const { paper_steps: steps, paper_best: best } = this.arrays;
    const known = this.values.arms.map((_, i) => i).filter((i) => best.all[i] >= this.control("paper").low);
    this.name(panel, known, known.map((i) => panel.y(best.all[i])));
    draw("text", { class: "note", x: panel.right + 12, y: panel.top - 10 }, panel.above, "best");
    for (const i of known) {
      const y = panel.y(best.all[i]);
      const stub = { x1: panel.right - 8, x2: panel.right + 2, y1: y, y2: y };
      draw("line", { ...stub, ...this.stroke(i), "stroke-dasharray": "none" }, panel.above);
    }
    const anchors = known.filter((i) => !Number.isNaN(steps.all[i])).sort((i, j) => steps.all[i] - steps.all[j]);
    anchors.forEach((i, k) => {
      const [x, y] = [panel.x(steps.all[i] / 1e6), panel.y(this.values.anchor)];
      set(this.drops[1][i], { x1: x, x2: x, y1: y, y2: panel.bottom });
      const diamond = `M${x} ${y - 7}L${x + 7} ${y}L${x} ${y + 7}L${x - 7} ${y}z`;
      draw("path", { d: diamond, class: "cross", style: this.fill(i) }, panel.above);
      const place = { x: Math.min(x, panel.right - 30), y: y + (k % 2 ? 42 : 24), "text-anchor": "middle" };
      draw("text", { class: "note", ...place, style: this.fill(i) }, panel.above, this.values.arms[i]);
    });
  }

  /** The dashed line across a panel, with a grip that a finger may pull up and down. */
  drawTarget(panel, name) {
    const { left, right } = panel;
    const group = draw("g", { class: "target" }, this.svg);
    draw("line", { x1: left, x2: right, y1: 0, y2: 0 }, group);
    const text = draw("text", { class: "note strong", x: left + 14, y: -9 }, group);
    const grip = draw("g", { class: "grip" }, group);
    draw("circle", { r: 22, cx: left, class: "reach" }, grip);
    draw("circle", { r: 9, cx: left, class: "knob" }, grip);
    const [a, b] = [left - 3.5, left + 3.5];
    draw("path", { d: `M${a} -2L${left} -5.5L${b} -2M${a} 2L${left} 5.5L${b} 2`, class: "chevrons" }, grip);
    this.drag(grip, () => ({ y }) => this.change({ [name]: panel.y.invert(y) }), true);
    return { group, text };
  }

  grasp({ x, y }) {
    const i = this.panels.findIndex((panel) => x < panel.right + ROOM && y < panel.bottom + 12);
    return i < 0 ? null : (at) => this.change({ [this.names[i]]: this.panels[i].y.invert(at.y) });
  }

  update() {
    if (this.laid !== this.set) this.arrange(); // another set has other axes
    const [target, paper] = this.names.map((name) => this.state[name]);
    const { paper_steps: anchors, paper_best: best, paper_ratio: times } = this.arrays;
    const [steps, means, spent, ratio] = ["steps", "means", "spent", "ratio"].map((name) => this.measured(name));
    const data = this.values.data[this.set];
    for (const name of this.values.targets) this.inputs[name].closest("label").hidden = name !== this.names[0];
    write(this.heading, `${data}: steps`);
    const frame = this.index(this.names[0]);
    [target, paper].forEach((value, i) => {
      this.targets[i].group.setAttribute("transform", `translate(0 ${this.panels[i].y(value).toFixed(2)})`);
      write(this.targets[i].text, percent(value));
    });
    const exact = Math.abs(paper - this.values.anchor) < 0.05;
    const [left] = this.panels;
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
      const texts = [
        there ? `${at}` : "not reached",
        there && !Number.isNaN(ratio.at(frame, i)) ? fixed(ratio.at(frame, i), 2) : "–",
        this.published(paper, anchors.all[i], best.all[i], exact),
        exact && known ? fixed(times.all[i], 1) : "–",
      ];
      this.cells[i].forEach((cell, column) => write(cell, texts[column]));
      this.cells[i][0].dataset.value = at;
      this.cells[i][1].dataset.value = ratio.at(frame, i);
      return `${arm} ${there ? `${at} steps` : "not"}`;
    });
    const ours = `To ${percent(target)} on ${data}: ${reached.join(", ")}.`;
    return `${ours} The paper’s target is at ${percent(paper)}.`;
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

customElements.define("sn-ladder", Ladder);
