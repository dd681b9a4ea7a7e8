/** Figure 1: a batch on the sigmoid and on its slope. */
class Saturation extends Figure {
  static readouts = [
    ["mean", "mean slope g′, as set above"],
    ["plain", "without normalization"],
    ["normed", "with batch norm"],
    ["share", "of a centred batch’s slope"],
  ];

  layout(width) {
    const x = { domain: [-9, 9], ticks: [-9, -6, -3, 0, 3, 6, 9] };
    const box = { left: 44, width: width - 60 };
    const top = { ...box, top: 34, height: 170 };
    const bottom = { ...box, top: 262, height: 120 };
    const heights = { domain: [0, 1], ticks: [0, 0.5, 1], title: "sigmoid g" };
    const slopes = { domain: [0, 0.25], ticks: [0, 0.125, 0.25], title: "its slope g′" };
    this.guide = draw("line", { class: "guide", y1: top.top, y2: bottom.top + bottom.height + 60 }, this.svg);
    this.upper = new Panel(this.svg, top, x, heights);
    this.lower = new Panel(this.svg, bottom, { ...x, title: "pre-activation" }, slopes);
    const { curve } = this.arrays;
    this.upper.path(curve.row(0), curve.row(1), { class: "curve" });
    this.lower.path(curve.row(0), curve.row(2), { class: "curve" });
    this.level = draw("line", { class: "level", x1: box.left, x2: this.lower.right }, this.lower.above);
    const dots = (kind) => [this.upper, this.lower].map((panel) => draw("path", { class: kind }, panel.marks));
    this.ghosts = dots("ghost");
    this.dots = dots("dot");
    this.far = undefined;
    this.arrow = draw("path", { class: "arrow", "marker-end": "url(#head)" }, this.upper.above);
    this.arrowLabel = draw("text", { class: "note", "text-anchor": "middle" }, this.upper.above, "batch norm");
    this.levelLabel = draw("text", { class: "note strong" }, this.lower.above);
    const size = { viewBox: "0 0 8 8", refX: 7, refY: 4, markerWidth: 8, markerHeight: 8, orient: "auto" };
    const marker = draw("marker", { id: "head", ...size }, this.svg);
    draw("path", { d: "M0 0L8 4L0 8z", class: "head" }, marker);
    this.align("drift", this.upper.x(-6), this.upper.x(6));
    return this.lower.bottom + 46;
  }

  grasp() {
    return ({ x }) => this.change({ drift: this.upper.x.invert(x) });
  }

  update() {
    const { drift, norm } = this.state;
    const frame = this.index("drift");
    const { z, g, slope, mean, share } = this.arrays;
    this.place(this.dots, z.row(frame, norm), g.row(frame, norm), slope.row(frame, norm));
    this.classList.toggle("with", norm === 1);
    const at = this.upper.x(drift);
    const far = norm === 1 && Math.abs(drift) >= 0.6;
    if (far) this.place(this.ghosts, z.row(frame, 0), g.row(frame, 0), slope.row(frame, 0));
    if (far !== this.far) for (const ghost of this.ghosts) show(ghost, far);
    this.far = far;
    set(this.guide, { x1: at, x2: at });
    const home = this.upper.x(0) + Math.sign(drift) * 4;
    const height = drift < 0 ? this.upper.y(0.86) : this.upper.y(0.14);
    set(this.arrow, { d: `M${at} ${height}L${home} ${height}` });
    set(this.arrowLabel, { x: (at + home) / 2, y: height - 8 });
    show(this.arrow, far);
    show(this.arrowLabel, far && Math.abs(at - home) > 90);
    const now = mean.at(frame, norm);
    const level = this.lower.y(now);
    set(this.level, { y1: level, y2: level });
    const left = drift >= 0;
    const side = left ? { x: this.lower.left + 4, "text-anchor": "start" } : { x: this.lower.right - 4, "text-anchor": "end" };
    set(this.levelLabel, { ...side, y: level - 7 });
    this.levelLabel.textContent = `mean ${fixed(now, 3)}`;
    this.tell("mean", now, fixed(now, 3));
    this.tell("plain", mean.at(frame, 0), fixed(mean.at(frame, 0), 3));
    this.tell("normed", mean.at(frame, 1), fixed(mean.at(frame, 1), 3));
    this.tell("share", share.at(frame, norm), `${fixed(100 * share.at(frame, norm), 0)} %`);
    return (
      `Drift ${fixed(drift, 1)}, ${norm ? "with batch norm" : "no normalization"}: the mean slope of the sigmoid is ` +
      `${fixed(now, 3)}, ${fixed(100 * share.at(frame, norm), 0)} % of a centred batch’s.`
    );
  }

  place([above, below], z, g, slope) {
    const xs = z.map(this.upper.x);
    set(above, { d: discs(xs, g.map(this.upper.y), 4.5) });
    set(below, { d: discs(xs, slope.map(this.lower.y), 4.5) });
  }
}

customElements.define("sn-saturation", Saturation);
