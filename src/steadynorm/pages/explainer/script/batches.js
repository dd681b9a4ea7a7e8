/** Accuracy against the examples that are normalized together; batch norm's line stays, its company is chosen. */
class Batches extends Figure {
  static readouts = [0, 1, 2, 3, 4].map((slot) => [`${slot}`, ""]);

  words(_, value) {
    return `${this.values.sizes[value]}`;
  }

  build() {
    super.build();
    for (const slot in this.outputs) {
      const label = this.outputs[slot].previousSibling;
      swatch(this.outputs[slot], stroke(Number(slot), this.values.dashes));
      this.outputs[slot].label = label.appendChild(document.createTextNode(""));
    }
  }

  layout(width) {
    const { sizes, dashes } = this.values;
    const all = this.arrays.accuracies.all.filter((value) => !Number.isNaN(value));
    const [low, high] = [Math.floor(Math.min(...all) / 10) * 10, Math.ceil(Math.max(...all) / 10) * 10];
    const ticks = Array.from({ length: (high - low) / 10 + 1 }, (_, k) => low + 10 * k);
    const x = { domain: [-0.15, sizes.length - 0.85], ticks: sizes.map((_, i) => i), format: (i) => `${sizes[i]}` };
    const box = { left: 36, top: 40, width: width - 36 - 10, height: 260 };
    const y = { domain: [low, high], ticks, title: "test accuracy (%)" };
    const panel = (this.panel = new Panel(this.svg, box, { ...x, title: "examples normalized together, m" }, y));
    this.lines = Object.keys(this.outputs).map((slot) => {
      const look = stroke(Number(slot), dashes);
      const seeds = draw("path", { ...look, "stroke-dasharray": "none", opacity: 0.5 }, panel.marks);
      const course = draw("path", { ...look, fill: "none" }, panel.marks);
      return { seeds, course, dots: draw("path", { class: "cross", style: `fill: var(--arm-${slot})` }, panel.above) };
    });
    this.guide = draw("line", { class: "guide", y1: panel.top, y2: panel.bottom }, panel.marks);
    this.align("size", panel.x(0), panel.x(sizes.length - 1));
    return panel.bottom + 46;
  }

  grasp() {
    return ({ x }) => this.change({ size: this.panel.x.invert(x) });
  }

  update() {
    const { group, size } = this.state;
    const { names, sizes, groups } = this.values;
    const { accuracies } = this.arrays;
    const { x, y } = this.panel;
    const xs = sizes.map((_, i) => x(i));
    set(this.guide, { x1: x(size), x2: x(size) });
    const told = [];
    this.lines.forEach(({ seeds, course, dots }, slot) => {
      const arm = groups[group][slot];
      const output = this.outputs[slot];
      output.parentNode.hidden = arm === undefined;
      const at = (k) => (arm === undefined ? [] : sizes.map((_, i) => y(accuracies.at(arm, i, k))));
      const aside = (slot - 2) * 4; // the seeds of several methods, side by side
      const [means, lows, highs] = [at(0), at(1), at(2)];
      const places = arm === undefined ? [] : xs.map((place) => place + aside);
      set(course, { d: line(places, means) });
      set(dots, { d: discs(places, means, 4) });
      set(seeds, { d: places.map((place, i) => `M${place.toFixed(2)} ${lows[i].toFixed(2)}V${highs[i].toFixed(2)}`).join("") });
      if (arm === undefined) return;
      const [mean, low, high] = [0, 1, 2].map((k) => accuracies.at(arm, size, k));
      write(output.label, names[arm]);
      this.tell(slot, mean, `${percent(mean)} (${fixed(low, 1)} to ${fixed(high, 1)})`);
      told.push(`${names[arm]} ${percent(mean)}`);
    });
    return `With ${sizes[size]} images normalized together: ${told.join(", ")}.`;
  }
}

customElements.define("sn-batches", Batches);
