/** Eq 5: four estimates of a variance, against the number of batches and against their size. */
class Population extends Figure {
  static readouts = [
    ["0", "mean of σ²"],
    ["1", "Eq 5"],
    ["2", "all values"],
    ["3", "moving average"],
  ];

  words({ name }, value) {
    return `${this.values[name === "size" ? "sizes" : "batches"][value]}`;
  }

  build() {
    super.build();
    this.values.names.forEach((_, i) => swatch(this.outputs[i], stroke(i, this.values.dashes)));
  }

  layout(width) {
    const { sizes, batches, names, dashes } = this.values;
    const beside = width >= 660;
    const space = beside ? (width - 36 - 64 - 16) / 2 : width - 52;
    const left = { left: 36, top: 40, width: space, height: 250 };
    const right = beside ? { ...left, left: 36 + space + 64 } : { ...left, top: 392 };
    const y = { domain: [0, 6], ticks: [0, 2, 4, 6], title: "estimate of the variance" };
    const round = [1, 2, 3, 5, 10, 20, 50, 100].map((count) => batches.indexOf(count));
    const by = (list, title, ticks) => ({ domain: [0, list.length - 1], ticks, title, format: (i) => `${list[i]}` });
    const counts = by(batches, "number of batches", round);
    const images = by(sizes, "examples in a batch, m", sizes.map((_, i) => i));
    this.panels = [new Panel(this.svg, left, counts, y), new Panel(this.svg, right, images, { ...y, title: "" })];
    this.parts = this.panels.map((panel) => this.furnish(panel, names, dashes));
    this.align("count", left.left, left.left + space);
    alignInCell(this, "size", right.left, right.left + space);
    return this.panels[1].bottom + 46;
  }

  furnish(panel, names, dashes) {
    const { left, right, top, bottom } = panel;
    const band = draw("path", { class: "band" }, panel.marks);
    const truth = panel.y(this.values.variance);
    draw("line", { class: "truth", x1: left, x2: right, y1: truth, y2: truth }, panel.marks);
    draw("text", { class: "note", x: right - 4, y: truth - 6, "text-anchor": "end" }, panel.above, `population: ${this.values.variance}`);
    const lines = names.map((_, i) => draw("path", { ...stroke(i, dashes), fill: "none" }, panel.marks));
    const guide = draw("line", { class: "guide", y1: top, y2: bottom }, panel.above);
    const dots = names.map((_, i) => draw("circle", { r: 5, class: "cross", style: `fill: var(--arm-${i})` }, panel.above));
    return { band, lines, guide, dots };
  }

  grasp({ x, y }) {
    const [one, other] = this.panels;
    const side = other.left > one.right ? x > one.right + 20 : y > one.bottom + 30;
    const panel = this.panels[Number(side)];
    return (point) => this.change({ [side ? "size" : "count"]: panel.x.invert(point.x) });
  }

  update() {
    const { data, band, size, count } = this.state;
    const { sizes, batches, names } = this.values;
    const { estimates } = this.arrays;
    const slices = [
      { list: batches, at: count, value: (name, i, k) => estimates.at(data, size, name, i, k) },
      { list: sizes, at: size, value: (name, i, k) => estimates.at(data, i, name, count, k) },
    ];
    slices.forEach(({ list, at, value }, side) => {
      const panel = this.panels[side];
      const { band: area, lines, guide, dots } = this.parts[side];
      const xs = list.map((_, i) => panel.x(i));
      const ys = (name, k) => list.map((_, i) => panel.y(value(name, i, k)));
      const back = [...xs].reverse();
      set(area, { d: `${line(xs, ys(band, 1))}${line(back, ys(band, 2).reverse()).replace("M", "L")}z` });
      area.style.fill = `var(--arm-${band})`;
      names.forEach((_, name) => set(lines[name], { d: line(xs, ys(name, 0)) }));
      const x = panel.x(at);
      set(guide, { x1: x, x2: x });
      names.forEach((_, name) => set(dots[name], { cx: x, cy: panel.y(estimates.at(data, size, name, count, 0)) }));
    });
    const told = names.map((name, i) => {
      const [mean, low, high] = [0, 1, 2].map((k) => estimates.at(data, size, i, count, k));
      this.tell(i, mean, `${fixed(mean, 2)} (${fixed(low, 1)} to ${fixed(high, 1)})`);
      return `${name} ${fixed(mean, 2)}`;
    });
    const what = data ? `${sizes[size]} maps` : `${sizes[size]} independent values`;
    const number = batches[count];
    return `After ${number} ${number > 1 ? "batches" : "batch"} of ${what}, of variance ${this.values.variance}: ${told.join(", ")}.`;
  }
}

customElements.define("sn-population", Population);
