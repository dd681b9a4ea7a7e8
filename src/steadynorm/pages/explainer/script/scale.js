/** Eq 7: two weights before batch norm, in their plane; what their length does, and what it does not. */
class Scale extends Figure {
  static readouts = [
    ["slope", "length of ∂ℓ/∂w"],
    ["product", "times ‖w‖: at any length"],
    ["moved", "change of y, beside length 1"],
    ["rate", "effective rate η/‖w‖²"],
    ["end", "‖w‖ after the last step"],
  ];
  static reach = 4.5;

  layout(width) {
    const beside = width >= 700;
    const side = beside ? Math.min(420, width * 0.5) : Math.min(width - 8, 420);
    const plane = { left: (beside ? 0 : (width - side) / 2) + 2, top: 10, width: side, height: side, room: 0 };
    const span = { domain: [-Scale.reach, Scale.reach], ticks: [] };
    this.plane = new Panel(this.svg, plane, span, span);
    this.svg.querySelector(".axes").remove(); // the plane has cross-hairs
    this.buildPlane(this.plane);
    const left = beside ? side + 68 : 44;
    const box = { left, width: width - left - 14, top: beside ? 34 : side + 60 };
    const ys = { domain: [-3, 3], ticks: [] };
    this.strip = new Panel(this.svg, { ...box, height: 34 }, { domain: [-3, 3], ticks: [-2, 0, 2] }, ys);
    draw("text", { class: "title", x: left, y: box.top - 10 }, this.strip.above, "output y of the 32 examples");
    this.ticks = draw("path", { class: "tallies" }, this.strip.marks);
    const { steps } = this.values;
    const x = { domain: [0, steps], ticks: [0, steps / 4, steps / 2, (3 * steps) / 4, steps] };
    const lengths = { domain: [0, 6], ticks: [0, 2, 4, 6], title: "length ‖w‖ while it trains" };
    const powers = { "-2": "0.01", "-1": "0.1", 0: "1", 1: "10" };
    const format = (tick) => powers[tick];
    const rates = { domain: [-2, 1.5], ticks: [-2, -1, 0, 1], format, title: "effective rate η/‖w‖²" };
    const next = { ...box, height: 110 };
    this.upper = new Panel(this.svg, { ...next, top: this.strip.bottom + 64 }, x, lengths);
    this.lower = new Panel(this.svg, { ...next, top: this.upper.bottom + 58 }, { ...x, title: "step" }, rates);
    this.courses = [this.upper, this.lower].map((panel) => {
      return ["reference", "course"].map((kind) => draw("path", { class: kind }, panel.marks));
    });
    const [cx, one] = [this.plane.x(0), this.plane.x(1) - this.plane.x(0)];
    this.radial = { x: (length) => cx + length * one, left: cx, right: this.plane.right, top: plane.top, height: side };
    return Math.max(this.lower.bottom, this.plane.bottom) + 46;
  }

  buildPlane(plane) {
    const { marks, x, y } = plane;
    draw("path", { class: "rail", d: `M${x(-9)} ${y(0)}H${x(9)}M${x(0)} ${y(-9)}V${y(9)}` }, marks);
    const rim = Array.from({ length: 181 }, (_, k) => (k * Math.PI) / 90);
    const out = rim.map((angle) => 2.7 + 0.85 * this.loss([Math.cos(angle), Math.sin(angle)]));
    const points = (radius) => [rim.map((a, k) => x(radius[k] * Math.cos(a))), rim.map((a, k) => y(radius[k] * Math.sin(a)))];
    draw("path", { class: "rim", d: `${line(...points(out))}z` }, marks);
    const least = out.indexOf(Math.min(...out));
    const at = { x: x((out[least] - 0.35) * Math.cos(rim[least])), y: y((out[least] - 0.35) * Math.sin(rim[least])) + 4 };
    draw("text", { class: "note", ...at, "text-anchor": "middle" }, marks, "least loss");
    this.circle = draw("circle", { class: "guide hollow", cx: x(0), cy: y(0) }, marks);
    this.trails = ["reference", "course"].map((kind) => draw("path", { class: kind }, marks));
    this.trail = draw("path", { class: "dot small" }, marks);
    this.unit = draw("path", { class: "reference" }, marks);
    this.stem = draw("path", { class: "stem" }, marks);
    this.slope = draw("path", { class: "slope" }, marks);
    this.tip = draw("g", { class: "grip" }, marks);
    draw("circle", { class: "reach", r: 22 }, this.tip);
    draw("circle", { class: "knob", r: 9 }, this.tip);
    this.drag(this.tip, (point) => this.grasp(point), true);
    this.label = draw("text", { class: "note strong", "text-anchor": "middle" }, plane.above, "w");
    this.slopeLabel = draw("text", { class: "note", "text-anchor": "middle" }, plane.above, "−η ∂ℓ/∂w");
  }

  loss(w) {
    return this.pass(w).loss;
  }

  /** Forward and backward on all examples, or on the eight from `first` on. */
  pass([a, b], first) {
    const { u, t, batch } = this.values;
    const m = first === undefined ? t.length : batch;
    const at = (i) => (first === undefined ? i : (first + i) % t.length);
    const z = Float64Array.from({ length: m }, (_, i) => a * u[0][at(i)] + b * u[1][at(i)]);
    const y = new Float64Array(m);
    const { invStd } = normalize(z, y, 0);
    const dy = y.map((value, i) => (value - t[at(i)]) / m);
    let loss = 0;
    for (let i = 0; i < m; i++) loss += (0.5 * (y[i] - t[at(i)]) ** 2) / m;
    const { direct, variance, mean } = normalizeBackward(dy, y, invStd);
    const slope = [0, 0];
    for (let i = 0; i < m; i++) {
      const dz = direct * dy[i] + variance * y[i] + mean;
      slope[0] += dz * u[0][at(i)];
      slope[1] += dz * u[1][at(i)];
    }
    return { y, loss, slope };
  }

  /** w at every step of descent. */
  descend(w, rate, decay) {
    const path = [w];
    for (let step = 0; step < this.values.steps; step++) {
      const { slope } = this.pass(w, step * this.values.batch);
      w = w.map((value, i) => value - rate * (slope[i] + decay * value));
      path.push(w);
    }
    return path;
  }

  grasp({ x, y }) {
    if (x > this.plane.right + 10 || y > this.plane.bottom + 10) return null;
    return (point) => {
      const [a, b] = [this.plane.x.invert(point.x), this.plane.y.invert(point.y)];
      const direction = ((Math.atan2(b, a) * 180) / Math.PI + 360) % 360;
      this.change({ length: Math.hypot(a, b), direction: direction > 359.5 ? 0 : direction });
    };
  }

  compute({ length, direction, rate, decay }) {
    const angle = (direction * Math.PI) / 180;
    const one = [Math.cos(angle), Math.sin(angle)];
    const w = one.map((value) => value * length);
    const [here, unit] = [this.pass(w), this.pass(one)];
    const lambda = this.values.decays[decay];
    const moved = Math.max(...here.y.map((value, i) => Math.abs(value - unit.y[i])));
    return { w, one, here, unit, moved, path: this.descend(w, rate, lambda), beside: this.descend(one, rate, lambda) };
  }

  update() {
    const { length, direction, rate } = this.state;
    const now = (this.now = this.compute(this.state));
    const slope = Math.hypot(...now.here.slope);
    const end = Math.hypot(...now.path.at(-1));
    this.drawPlane(now, length, rate);
    this.drawCourses(now, rate);
    const ys = now.here.y;
    const { x, top, bottom } = this.strip;
    set(this.ticks, { d: Array.from(ys, (y) => `M${x(y).toFixed(2)} ${top + 8}V${bottom - 4}`).join("") });
    this.tell("slope", slope, fixed(slope, 3));
    this.tell("product", slope * length, fixed(slope * length, 3));
    this.tell("moved", now.moved, short(now.moved));
    this.tell("rate", rate / length ** 2, short(rate / length ** 2));
    this.tell("end", end, fixed(end, 2));
    return (
      `w of length ${fixed(length, 2)} in direction ${direction}°: the loss is ${fixed(now.here.loss, 3)} as at every ` +
      `length, its gradient has length ${fixed(slope, 3)}, and a rate of ${fixed(rate, 1)} acts like ` +
      `${short(rate / length ** 2)} at length 1. After ${this.values.steps} steps w is ${fixed(end, 2)} long.`
    );
  }

  drawPlane({ w, one, here, unit, path, beside }, length, rate) {
    const { x, y } = this.plane;
    const at = ([a, b]) => `${x(a).toFixed(2)} ${y(b).toFixed(2)}`;
    const arrow = (from, to, size) => {
      const [dx, dy] = [x(to[0]) - x(from[0]), y(to[1]) - y(from[1])];
      const far = Math.hypot(dx, dy);
      if (far < 1e-3) return "";
      const [ex, ey] = [(dx / far) * Math.min(size, far), (dy / far) * Math.min(size, far)];
      const [px, py] = [x(to[0]) - ex, y(to[1]) - ey];
      const wing = (s) => `${(px - s * ey * 0.5).toFixed(2)} ${(py + s * ex * 0.5).toFixed(2)}`;
      return `M${at(from)}L${at(to)}M${wing(1)}L${at(to)}L${wing(-1)}`;
    };
    const down = (v, { slope }) => v.map((value, i) => value - rate * slope[i]);
    set(this.circle, { r: length * (x(1) - x(0)) });
    const trace = (points) => line(points.map(([a]) => x(a)), points.map(([, b]) => y(b)));
    const visible = (points) => points.map(([a, b]) => [clamp(a, -99, 99), clamp(b, -99, 99)]);
    set(this.trails[0], { d: trace(visible(beside)) });
    set(this.trails[1], { d: trace(visible(path)) });
    const some = visible(path).filter((_, k) => k % 4 === 0);
    set(this.trail, { d: discs(some.map(([a]) => x(a)), some.map(([, b]) => y(b)), 2) });
    set(this.unit, { d: `M${at([0, 0])}L${at(one)}${arrow(one, down(one, unit), 7)}` });
    const tip = down(w, here);
    set(this.stem, { d: `M${at([0, 0])}L${at(w)}` });
    set(this.slope, { d: arrow(w, tip, 9) });
    set(this.tip, { transform: `translate(${at(w)})` });
    // The names beside their arrows, on the side where the steps do not go.
    const turn = Math.sign(w[0] * (tip[1] - w[1]) - w[1] * (tip[0] - w[0])) || 1;
    const [ux, uy] = one;
    const [lx, ly] = [x(w[0] / 2) + turn * uy * 14, y(w[1] / 2) + turn * ux * 14];
    set(this.label, { x: lx, y: ly + 5 });
    const gx = clamp(x(tip[0]) + ux * 40, this.plane.left + 34, this.plane.right - 34);
    const gy = clamp(y(tip[1]) - uy * 18 + 4, this.plane.top + 12, this.plane.bottom - 4);
    set(this.slopeLabel, { x: gx, y: gy });
  }

  drawCourses({ path, beside }, rate) {
    [beside, path].forEach((points, k) => {
      const norms = points.map((w) => Math.hypot(...w));
      const xs = points.map((_, step) => this.upper.x(step));
      const { upper, lower } = this;
      set(this.courses[0][k], { d: line(xs, norms.map((norm) => upper.y(Math.min(norm, 9)))) });
      set(this.courses[1][k], { d: line(xs, norms.map((norm) => lower.y(Math.log10(rate / norm ** 2)))) });
    });
  }
}

customElements.define("sn-scale", Scale);
