/** Gradients by layer at initialization, on their way down from the last layer. */
class Depth extends Figure {
  static readouts = [
    ["0", ""],
    ["1", ""],
    ["2", ""],
    ["law", "the law"],
  ];
  static looks = ["course", "course dashes", "course plain"];

  build() {
    super.build();
    this.values.names.forEach((name, i) => {
      this.outputs[i].previousSibling.textContent = name;
      swatch(this.outputs[i], { class: Depth.looks[i] });
    });
    swatch(this.outputs.law, { class: "theory" });
  }

  layout(width) {
    const { layers, laws } = this.values;
    const top = Math.max(...this.arrays.squares.all, ...laws.map((law) => law ** (layers - 1)));
    const powers = Array.from({ length: Math.floor(Math.log10(top)) + 2 }, (_, k) => k - 1);
    const format = (power) => (power > 3 ? `10${RAISED[power]}` : `${10 ** power}`);
    const x = { domain: [0.5, layers + 0.5], ticks: [1, 6, 12, 18, 24].filter((k) => k <= layers), title: "layer" };
    const y = { domain: [-1, Math.log10(top) + 0.2], ticks: powers, format, title: "squared gradient, relative to the last layer’s" };
    const panel = (this.panel = new Panel(this.svg, { left: 52, top: 40, width: width - 62, height: 280 }, x, y));
    this.theory = draw("path", { class: "theory" }, panel.marks);
    this.lines = Depth.looks.map((look) => draw("path", { class: look }, panel.marks));
    this.guide = draw("line", { class: "guide", y1: panel.top, y2: panel.bottom }, panel.marks);
    this.dots = this.lines.map((_, i) => draw("circle", { r: 5, class: i < 2 ? "cross with-dot" : "cross without-dot" }, panel.above));
    this.align("layer", panel.x(1), panel.x(layers));
    return panel.bottom + 46;
  }

  grasp() {
    return ({ x }) => this.change({ layer: this.panel.x.invert(x) });
  }

  update() {
    const { batch, layer } = this.state;
    const { names, batches, layers, laws } = this.values;
    const { squares, growth } = this.arrays;
    const { x, y } = this.panel;
    const height = (value) => y(Math.log10(value));
    const all = Array.from({ length: layers }, (_, k) => k + 1);
    const law = (k) => laws[batch] ** (layers - k);
    set(this.theory, { d: line(all.map(x), all.map((k) => height(law(k)))) });
    set(this.guide, { x1: x(layer), x2: x(layer) });
    const told = names.map((name, i) => {
      const value = squares.at(batch, i, layer - 1);
      set(this.lines[i], { d: line(all.map(x), all.map((k) => height(squares.at(batch, i, k - 1)))) });
      set(this.dots[i], { cx: x(layer), cy: height(value) });
      this.tell(i, value, `${short(value)} (×${fixed(growth.at(batch, i), 2)} a layer)`);
      return `${name} ${short(value)}`;
    });
    this.tell("law", law(layer), `${short(law(layer))} (×${fixed(laws[batch], 2)} a layer)`);
    return (
      `Batches of ${batches[batch]}: the squared gradient at layer ${layer}, as a multiple of the last layer’s, is ` +
      `${told.join(", ")}; by the law ${short(law(layer))}.`
    );
  }
}

customElements.define("sn-depth", Depth);
