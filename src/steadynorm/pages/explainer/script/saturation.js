/** Figure 1: a batch on the sigmoid and on its slope; beside them, what is left of the gradient after some layers. */
class Saturation extends Figure {
  static readouts = [
    ["mean", "mean slope g′, as set above"],
    ["plain", "without normalization"],
    ["normed", "with batch norm"],
    ["share", "of a centred batch’s slope"],
    ["left", "left of the gradient after ten layers"],
  ];

  layout(width) {
    const x = { domain: [-9, 9], ticks: [-9, -6, -3, 0, 3, 6, 9] };
    const beside = width >= 680; // room for the chart of layers
    const box = { left: 44, width: beside ? Math.round(width * 0.64) - 60 : width - 60 };
    const top = { ...box, top: 34, height: 170 };
    const bottom = { ...box, top: 262, height: 120 };
    const heights = { domain: [0, 1], ticks: [0, 0.5, 1], title: "sigmoid g", letter: "g" };
    const slopes = { domain: [0, 0.25], ticks: [0, 0.125, 0.25], title: "its slope g′", letter: "slope" };
    this.guide = draw("line", { class: "guide", y1: top.top, y2: bottom.top + bottom.height + 60 }, this.svg);
    this.upper = new Panel(this.svg, top, x, heights);
    this.lower = new Panel(this.svg, bottom, { ...x, title: "pre-activation" }, slopes);
    const { curve, curve_g, curve_slope } = this.arrays;
    this.upper.path(curve.all, curve_g.all, { class: "curve" });
    this.lower.path(curve.all, curve_slope.all, { class: "curve" });
    this.level = draw("line", { class: "level", x1: box.left, x2: this.lower.right }, this.lower.above);
    const dots = (kind) => [this.upper, this.lower].map((panel) => draw("path", { class: kind }, panel.marks));
    this.ghosts = dots("ghost");
    this.dots = dots("dot");
    this.far = undefined;
    this.arrow = draw("path", { class: "arrow", "marker-end": "url(#head)" }, this.upper.above);
    this.arrowLabel = draw("text", { class: "note", "text-anchor": "middle" }, this.upper.above, "batch norm");
    this.levelLabel = draw("text", { class: "note strong", "data-letter": "slope" }, this.lower.above);
    const size = { viewBox: "0 0 8 8", refX: 7, refY: 4, markerWidth: 8, markerHeight: 8, orient: "auto" };
    const marker = draw("marker", { id: "head", ...size }, this.svg);
    draw("path", { d: "M0 0L8 4L0 8z", class: "head" }, marker);
    this.mean = draw("text", { class: "note", "text-anchor": "middle", y: top.top - 10, "data-letter": "mu" }, this.upper.above, "μ");
    if (beside) this.layoutLayers(width, box.left + box.width + 74);
    else this.layers = null;
    this.align("drift", this.upper.x(-6), this.upper.x(6));
    return this.lower.bottom + 46;
  }

  /** The share of a gradient that is left after 0, 1, 2 … layers, each time multiplied by the mean slope. */
  layoutLayers(width, left) {
    const powers = { 1: "1", 1e-5: "10⁻⁵", 1e-10: "10⁻¹⁰", 1e-15: "10⁻¹⁵", 1e-20: "10⁻²⁰", 1e-25: "10⁻²⁵" };
    const shares = { domain: [1e-25, 1], ticks: Object.keys(powers).map(Number), format: (tick) => powers[tick], log: true };
    const box = { left, width: width - left - 16, top: 34, height: this.lower.bottom - 34 };
    const layers = { domain: [0, 10], ticks: [0, 5, 10], title: "layers" };
    this.layers = new Panel(this.svg, box, layers, { ...shares, title: "left of the gradient" });
    const reference = draw("path", { class: "reference", fill: "none" }, this.layers.marks);
    const centre = Math.round(-this.controls[0].low / this.controls[0].step);
    const centred = this.arrays.left.row(centre, 0);
    const xs = Float32Array.from(centred, (_, layer) => this.layers.x(layer));
    set(reference, { d: line(xs, Float32Array.from(centred, this.layers.y)) });
    const end = { x: this.layers.right, y: this.layers.y(centred[10]) - 12, "text-anchor": "end" };
    draw("text", { class: "note", ...end }, this.layers.above, "centred");
    this.decay = draw("path", { class: "trace", fill: "none" }, this.layers.marks);
    this.decayDots = draw("path", { class: "tip" }, this.layers.marks);
    this.decayLabel = draw("text", { class: "note strong", "text-anchor": "end" }, this.layers.above);
  }

  /** The batch is taken where it is held; elsewhere the chart moves it to the pointer. */
  grasp({ x }) {
    const from = this.upper.x.invert(x);
    const { drift } = this.state;
    const slip = Math.abs(from - drift) < 2.5 ? drift - from : 0;
    return (point) => this.change({ drift: this.upper.x.invert(point.x) + slip });
  }

  update() {
    const { drift, norm } = this.state;
    const frame = this.index("drift");
    const { z, g, slope, z_normed, g_normed, slope_normed, mean, share, left } = this.arrays;
    const plain = [z.row(frame), g.row(frame), slope.row(frame)];
    this.place(this.dots, ...(norm ? [z_normed.all, g_normed.all, slope_normed.all] : plain));
    this.classList.toggle("with", norm === 1);
    const at = this.upper.x(drift);
    const far = norm === 1 && Math.abs(drift) >= 0.6;
    if (far) this.place(this.ghosts, ...plain);
    if (far !== this.far) for (const ghost of this.ghosts) show(ghost, far);
    this.far = far;
    set(this.guide, { x1: at, x2: at });
    set(this.mean, { x: at });
    show(this.mean, drift > -4.5);
    const home = this.upper.x(0) + Math.sign(drift) * 4;
    const height = drift < 0 ? this.upper.y(0.86) : this.upper.y(0.14);
    set(this.arrow, { d: `M${at} ${height}L${home} ${height}` });
    set(this.arrowLabel, { x: (at + home) / 2, y: height - 8 });
    show(this.arrow, far);
    show(this.arrowLabel, far && Math.abs(at - home) > 90);
    const now = mean.at(frame, norm);
    const level = this.lower.y(now);
    set(this.level, { y1: level, y2: level });
    const side = drift >= 0 ? { x: this.lower.left + 4, "text-anchor": "start" } : { x: this.lower.right - 4, "text-anchor": "end" };
    set(this.levelLabel, { ...side, y: level - 7 });
    write(this.levelLabel, `mean ${fixed(now, 3)}`);
    const ten = left.at(frame, norm, 10);
    if (this.layers) this.decayAt(left.row(frame, norm), ten);
    this.tell("mean", now, fixed(now, 3));
    this.tell("plain", mean.at(frame, 0), fixed(mean.at(frame, 0), 3));
    this.tell("normed", mean.at(frame, 1), fixed(mean.at(frame, 1), 3));
    this.tell("share", share.at(frame, norm), `${fixed(100 * share.at(frame, norm), 0)} %`);
    this.tell("left", ten, short(ten));
    return (
      `Drift ${fixed(drift, 1)}, ${norm ? "with batch norm" : "no normalization"}: the mean slope of the sigmoid is ` +
      `${fixed(now, 3)}, ${fixed(100 * share.at(frame, norm), 0)} % of a centred batch’s; ten such layers leave ` +
      `${short(ten)} of a gradient.`
    );
  }

  place([above, below], z, g, slope) {
    const xs = z.map(this.upper.x);
    set(above, { d: discs(xs, g.map(this.upper.y), 4.5) });
    set(below, { d: discs(xs, slope.map(this.lower.y), 4.5) });
  }

  decayAt(shares, ten) {
    const { x, y } = this.layers;
    const xs = Float32Array.from(shares, (_, layer) => x(layer));
    const at = (values) => Float32Array.from(values, y);
    set(this.decay, { d: line(xs, at(shares)) });
    set(this.decayDots, { d: discs(xs, at(shares), 3.5) });
    set(this.decayLabel, { x: x(10) - 2, y: clamp(y(ten) + 22, 0, this.layers.bottom - 6) });
    write(this.decayLabel, short(ten));
  }
}

customElements.define("sn-saturation", Saturation);
