/** Figure 3: three lines, x above, x̂, y below. */
class Affine extends Figure {
  static readouts = [
    ["mean", "x: mean μ"],
    ["sigma", "x: std σ"],
    ["y_mean", "y: mean"],
    ["y_std", "y: std"],
  ];

  addButtons(buttons) {
    make("button", { type: "button", class: "identity" }, buttons, "Set γ = σ, β = μ").onclick = () => {
      const [gamma, beta] = this.arrays.identity.row(this.state.batch);
      this.change({ gamma, beta }, true);
    };
  }

  layout(width) {
    const box = { left: 14, width: width - 28, height: 0 };
    const ticks = [-8, -6, -4, -2, 0, 2, 4, 6, 8];
    const x = { domain: [-8, 8], ticks: [] };
    const y = { domain: [0, 1], ticks: [] };
    this.tops = [76, 196, 316];
    this.panels = this.tops.map((top, row) => new Panel(this.svg, { ...box, top }, row === 2 ? { ...x, ticks } : x, y));
    this.x = this.panels[0].x;
    const clip = draw("clipPath", { id: "lines" }, this.svg);
    draw("rect", { x: 4, y: 0, width: width - 8, height: 400 }, clip);
    const group = draw("g", { "clip-path": "url(#lines)" }, this.svg);
    const zero = this.x(0);
    draw("line", { class: "grid", x1: zero, x2: zero, y1: 30, y2: this.tops[2] }, group);
    this.hills = ["raw", "normal", "result"].map((kind) => draw("path", { class: `hill ${kind}` }, group));
    this.threads = draw("path", { class: "thread" }, group);
    this.dots = ["raw", "normal", "result"].map((kind) => draw("path", { class: `dot ${kind}` }, group));
    this.bars = this.tops.map((top, row) => {
      const bar = draw("g", { class: `bar ${["raw", "normal", "result"][row]}` }, this.svg);
      const held = row === 2; // the bar of y may be taken hold of
      const [middle, width] = [["mu", "sigma"], ["", ""], ["beta", "gamma"]][row];
      const rule = draw("line", { "data-letter": width }, bar);
      const end = () => draw(held ? "circle" : "line", { ...(held && { r: 8 }), "data-letter": width }, bar);
      const ends = [end(), end()];
      const centre = draw("circle", { r: held ? 8 : 4, class: "centre", "data-letter": middle }, bar);
      return { top: top - 22, held, rule, ends, centre };
    });
    const letters = ["x", "x-hat", "y"];
    this.labels = this.tops.map((top, row) =>
      draw("text", { class: "note", x: 14, y: top - 40, "data-letter": letters[row] }, this.svg),
    );
    const edges = [{ x: 14, dy: -58 }, { x: width - 14, dy: -44, "text-anchor": "end" }];
    const words = (y, edge) => draw("text", { class: "note strong", ...edge, y }, this.svg);
    this.beyond = this.tops.map((top) => edges.map((edge) => words(top, edge)));
    return 346;
  }

  /** What a press takes hold of: an end of y's bar scales, anything else shifts by as much as the pointer moves. */
  grasp({ x }) {
    const { gamma, beta } = this.state;
    const from = this.x.invert(x);
    const near = (value) => Math.abs(this.x(value) - x);
    for (const sign of [1, -1]) {
      const end = beta + sign * gamma;
      if (near(end) < 24 && near(end) <= near(beta)) {
        const slip = end - from;
        return (point) => this.change({ gamma: sign * (this.x.invert(point.x) + slip - beta) });
      }
    }
    return (point) => this.change({ beta: beta + this.x.invert(point.x) - from });
  }

  update() {
    const { gamma, beta, batch } = this.state;
    const { x, x_hat, mean, sigma, std: one, identity, error } = this.arrays;
    const raw = x.row(batch);
    const normal = x_hat.row(batch);
    const result = (this.y = normal.map((value) => Math.fround(gamma * value) + beta)); // float32, as torch rounds it
    const lift = (i) => 7 * (((i * 0.618034) % 1) * 2 - 1); // lets dots of nearly one value be told apart
    const near = (value) => clamp(this.x(value), -99, this.width + 99);
    const lefts = [raw, normal, result].map((values) => values.map(near));
    const tops = this.tops.map((top) => raw.map((_, i) => top + lift(i)));
    const ways = [[mean.at(batch), sigma.at(batch)], [0, 1], [beta, gamma]];
    this.hills.forEach((hill, row) => set(hill, { d: this.hill(batch, this.tops[row], ...ways[row]) }));
    [raw, normal, result].forEach((values, row) => this.count(row, values));
    this.dots.forEach((dots, row) => set(dots, { d: discs(lefts[row], tops[row], 4) }));
    const column = (rows, i) => rows.map((row) => row[i]);
    set(this.threads, { d: Array.from(raw, (_, i) => line(column(lefts, i), column(tops, i))).join("") });
    const scaled = Math.abs(gamma) * one.at(batch);
    this.bar(0, mean.at(batch), sigma.at(batch));
    this.bar(1, 0, one.at(batch));
    this.bar(2, beta, gamma);
    this.labels[0].textContent = `x, with mean ${fixed(mean.at(batch), 2)} and std ${fixed(sigma.at(batch), 2)}`;
    this.labels[1].textContent = `x̂, with mean 0 and std ${fixed(one.at(batch), 2)}`;
    this.labels[2].textContent = `y = ${fixed(gamma, 2)} x̂ ${beta < 0 ? MINUS : "+"} ${fixed(Math.abs(beta), 2)}`;
    const [same, back] = identity.row(batch);
    const undone = gamma === same && beta === back;
    if (undone) this.labels[2].textContent += `, which is x to within ${short(error.at(batch))}`;
    this.classList.toggle("undone", undone);
    this.tell("mean", mean.at(batch), fixed(mean.at(batch), 2));
    this.tell("sigma", sigma.at(batch), fixed(sigma.at(batch), 2));
    this.tell("y_mean", beta, fixed(beta, 2));
    this.tell("y_std", scaled, fixed(scaled, 2));
    const away = result.filter((value) => Math.abs(value) > 8).length;
    return (
      `x has mean ${fixed(mean.at(batch), 2)} and std ${fixed(sigma.at(batch), 2)}; x̂ has mean 0 and std 1; ` +
      `with γ ${fixed(gamma, 2)} and β ${fixed(beta, 2)}, y has mean ${fixed(beta, 2)} and std ${fixed(scaled, 2)}` +
      (away ? `; ${away} of its values lie beyond the chart` : "") +
      (undone ? `, and is x to within ${short(error.at(batch))}.` : ".")
    );
  }

  /** The density of x̂, shifted and scaled, over a line; cut off where a narrow batch would reach the line above. */
  hill(batch, top, shift, scale) {
    const { grid, density } = this.arrays;
    const xs = Float32Array.from(grid.all, (t) => clamp(this.x(shift + scale * t), -99, this.width + 99));
    const height = (d) => top - Math.min(66, (90 * d) / Math.max(Math.abs(scale), 1e-3));
    return `${line(xs, Float32Array.from(density.row(batch), height))}L${xs.at(-1)} ${top}L${xs[0]} ${top}z`;
  }

  /** What the line has no room for is counted at its ends. */
  count(row, values) {
    const [low, high] = [values.filter((value) => value < -8).length, values.filter((value) => value > 8).length];
    write(this.beyond[row][0], low ? `← ${low} more` : "");
    write(this.beyond[row][1], high ? `${high} more →` : "");
  }

  bar(row, centre, half) {
    const { top, held, rule, ends, centre: dot } = this.bars[row];
    const [from, at, to] = [centre - half, centre, centre + half].map(this.x);
    set(rule, { x1: from, x2: to, y1: top, y2: top });
    set(dot, { cx: at, cy: top });
    const end = (x) => (held ? { cx: x, cy: top } : { x1: x, x2: x, y1: top - 5, y2: top + 5 });
    [from, to].forEach((x, i) => set(ends[i], end(x)));
  }
}

customElements.define("sn-affine", Affine);
