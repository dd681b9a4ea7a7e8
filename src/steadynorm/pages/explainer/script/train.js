// Rows are features, columns examples, as in the other sums of this page.
const ACTS = [
  { act: (y) => Math.max(y, 0), slope: (y) => (y > 0 ? 1 : 0), gain: Math.SQRT2 },
  { act: Math.tanh, slope: (_, a) => 1 - a * a, gain: 1 },
  { act: (y) => 1 / (1 + Math.exp(-y)), slope: (_, a) => a * (1 - a), gain: 1 },
];
const matrix = (rows, columns) => Array.from({ length: rows }, () => new Float64Array(columns));

/** A network of linear layers, each with batch norm or a bias, and a nonlinearity; at the end one logit. */
class Net {
  constructor({ weights, depth, width, activation, batchNorm, m, eps }) {
    Object.assign(this, { depth, width, batchNorm, m, eps, kind: ACTS[activation] });
    let from = 0;
    const take = (rows, columns, gain) => Array.from({ length: rows }, () => {
      const row = Float64Array.from(weights.subarray(from, from + columns), (value) => gain * value);
      from += columns;
      return row;
    });
    const vector = (value) => new Float64Array(width).fill(value);
    this.layers = Array.from({ length: depth }, (_, k) => {
      const w = take(width, k ? width : 2, this.kind.gain);
      const kept = { z: matrix(width, m), xHat: matrix(width, m), y: matrix(width, m), a: matrix(width, m), dy: matrix(width, m) };
      return { w, gamma: vector(1), shift: vector(0), invStd: vector(0), ...kept };
    });
    from = weights.length - width;
    [this.last] = take(1, width, 1);
    this.bias = 0;
  }

  /** The loss on a batch x (2 rows of m) with labels t, and one step down its gradient. */
  step(x, t, rate) {
    let h = x;
    for (const layer of this.layers) {
      this.forward(layer, h);
      h = layer.a;
    }
    const { m, width, last } = this;
    const z = new Float64Array(m).fill(this.bias);
    for (let i = 0; i < width; i++) for (let k = 0; k < m; k++) z[k] += last[i] * h[i][k];
    let loss = 0;
    let slope = 0;
    const dz = z.map((value, k) => {
      loss += (Math.max(value, 0) - value * t[k] + Math.log1p(Math.exp(-Math.abs(value)))) / m;
      return (1 / (1 + Math.exp(-value)) - t[k]) / m;
    });
    let da = matrix(width, m);
    for (let i = 0; i < width; i++) {
      let dw = 0;
      for (let k = 0; k < m; k++) {
        da[i][k] = last[i] * dz[k];
        dw += dz[k] * h[i][k];
      }
      last[i] -= rate * dw;
    }
    for (let k = 0; k < m; k++) slope += dz[k];
    this.bias -= rate * slope;
    for (let l = this.depth - 1; l >= 0; l--) da = this.backward(this.layers[l], l ? this.layers[l - 1].a : x, da, rate, l > 0);
    return loss;
  }

  forward({ w, gamma, shift, invStd, z, xHat, y, a }, h) {
    const { m, eps, kind } = this;
    for (let j = 0; j < w.length; j++) {
      const row = z[j].fill(0);
      for (let i = 0; i < h.length; i++) {
        const [value, column] = [w[j][i], h[i]];
        for (let k = 0; k < m; k++) row[k] += value * column[k];
      }
      if (this.batchNorm) invStd[j] = normalize(row, xHat[j], eps).invStd;
      const from = this.batchNorm ? xHat[j] : row;
      for (let k = 0; k < m; k++) {
        y[j][k] = gamma[j] * from[k] + shift[j];
        a[j][k] = kind.act(y[j][k]);
      }
    }
  }

  /** Take ∂ℓ/∂a through one layer, whose parameters take their step; return ∂ℓ/∂h. */
  backward({ w, gamma, shift, invStd, xHat, y, a, dy }, h, da, rate, further) {
    const { m, kind } = this;
    const dh = further ? matrix(h.length, m) : null;
    for (let j = 0; j < w.length; j++) {
      const row = dy[j];
      let [dShift, dGamma] = [0, 0];
      for (let k = 0; k < m; k++) {
        row[k] = da[j][k] * kind.slope(y[j][k], a[j][k]);
        dShift += row[k];
        dGamma += row[k] * xHat[j][k];
      }
      let dz = row;
      if (this.batchNorm) {
        const dxHat = row.map((value) => gamma[j] * value);
        const { direct, variance, mean } = normalizeBackward(dxHat, xHat[j], invStd[j]);
        dz = dxHat.map((value, k) => direct * value + variance * xHat[j][k] + mean);
        gamma[j] -= rate * dGamma;
      }
      shift[j] -= rate * dShift;
      for (let i = 0; i < h.length; i++) {
        let dw = 0;
        for (let k = 0; k < m; k++) dw += dz[k] * h[i][k];
        if (further) for (let k = 0; k < m; k++) dh[i][k] += w[j][i] * dz[k];
        w[j][i] -= rate * dw;
      }
    }
    return dh;
  }
}

/** Two networks in training; every step that was taken is kept: its losses, and its densities by layer. */
class Run {
  static bins = 33;

  constructor({ x, t, weights }, options) {
    Object.assign(this, { x, t, ...options, losses: [[], []], densities: [[], []], sizes: [[], []] });
    this.nets = [false, true].map((batchNorm) => new Net({ ...options, weights, batchNorm }));
  }

  get steps() {
    return this.losses[0].length;
  }

  advance() {
    const { m, t, x, rate, steps } = this;
    const at = Array.from({ length: m }, (_, k) => (steps * m + k) % t.length);
    const batch = [0, 1].map((row) => Float64Array.from(at, (k) => x.row(row)[k]));
    const labels = Float64Array.from(at, (k) => t[k]);
    this.nets.forEach((net, i) => {
      const before = this.losses[i].at(-1);
      const loss = before === undefined || Number.isFinite(before) ? net.step(batch, labels, rate) : NaN;
      this.losses[i].push(loss);
      this.densities[i].push(net.layers.map(({ y }) => this.density(y, (value) => (value + 4) / 8)));
      const size = (value) => (Math.log10(Math.abs(value) * m) + 8) / 9;
      this.densities[i].at(-1).push(...net.layers.map(({ dy }) => this.density(dy, size)));
      let square = 0;
      for (const row of net.layers[0].dy) for (const value of row) square += (value * m) ** 2;
      this.sizes[i].push(Math.sqrt(square / (m * net.width)));
    });
  }

  /** How values, brought to a place from 0 to 1, are spread; what lies beyond an end counts there. */
  density(rows, place) {
    const counts = new Float32Array(Run.bins);
    for (const row of rows) {
      for (const value of row) counts[clamp(Math.round(place(value) * (Run.bins - 1)) || 0, 0, Run.bins - 1)] += 1;
    }
    const most = Math.max(...counts);
    return counts.map((count) => count / most);
  }
}

/** Two networks, trained here. */
class Train extends Figure {
  static height = 176; // of all layers together
  static readouts = [
    ["without", "loss without batch norm, last ten"],
    ["with", "loss with it"],
    ["slope_without", "gradient in the first layer, without"],
    ["slope_with", "and with"],
  ];

  words({ name }, value) {
    return name === "rate" ? `${this.values.rates[value]}` : `${value}`;
  }

  addButtons(buttons) {
    this.addPlay(buttons, "step", 30);
  }

  layout(width) {
    const { steps } = this.values;
    const x = { domain: [0, steps], ticks: [0, 50, 100, 150, 200], title: "step" };
    const names = { "-3": "0.001", "-2": "0.01", "-1": "0.1", 0: "1", 1: "10" };
    const y = { domain: [-3, 1], ticks: [-3, -2, -1, 0, 1], format: (k) => names[k], title: "loss on the batch; mean of the last ten" };
    this.upper = new Panel(this.svg, { left: 48, top: 34, width: width - 64, height: 190 }, x, y);
    this.raw = ["course plain future", "course future"].map((look) => draw("path", { class: look }, this.upper.marks));
    this.courses = ["course plain", "course"].map((look) => draw("path", { class: look }, this.upper.marks));
    this.guide = draw("line", { class: "guide", y1: this.upper.top, y2: this.upper.bottom }, this.upper.marks);
    this.top = this.upper.bottom + 92;
    const space = (width - 48 - 16 - 3 * 12) / 4;
    this.columns = [0, 1, 2, 3].map((k) => ({ left: 48 + k * (space + 12) + (k > 1 ? 6 : 0), width: space - 2 }));
    const narrow = width < 560;
    const titles = narrow ? ["without", "", "with", ""] : ["without batch norm", "", "with batch norm", ""];
    this.columns.forEach(({ left }, k) => {
      draw("text", { class: "title", x: left, y: this.top - 26 }, this.svg, titles[k]);
      draw("text", { class: "note", x: left, y: this.top - 8 }, this.svg, k % 2 ? "gradients" : narrow ? "inputs" : "inputs of the nonlinearity");
    });
    this.labels = Array.from({ length: Math.max(...this.values.depths) }, () => draw("text", { x: 40, "text-anchor": "end" }, this.svg));
    this.rails = draw("path", { class: "rail" }, this.svg);
    this.hills = this.columns.map((_, k) => draw("path", { class: `hill ${k > 1 ? "with" : "without"}` }, this.svg));
    this.align("step", this.upper.left, this.upper.right);
    return this.top + Train.height + 12;
  }

  grasp({ y }) {
    if (y > this.upper.bottom + 50) return null;
    return ({ x }) => this.change({ step: this.upper.x.invert(x) });
  }

  options() {
    const { activation, depth, batch, rate } = this.state;
    const { rates, depths, batches, width, eps } = this.values;
    return { activation, depth: depths[depth], m: batches[batch], rate: rates[rate], width, eps };
  }

  update() {
    const options = this.options();
    const key = Object.values(options).join();
    if (key !== this.key) {
      this.key = key;
      const { x, t, weights } = this.arrays;
      this.run = new Run({ x, t: t.all, weights: weights.all }, options);
    }
    const { run } = this;
    const { step } = this.state;
    while (run.steps <= step) run.advance();
    this.runAhead();
    this.drawLosses(step);
    this.drawLayers(run.densities, step, options.depth);
    const [without, within] = run.losses.map((losses) => this.lately(losses, step));
    this.tell("without", without, short(without));
    this.tell("with", within, short(within));
    this.tell("slope_without", run.sizes[0][step], short(run.sizes[0][step]));
    this.tell("slope_with", run.sizes[1][step], short(run.sizes[1][step]));
    return (
      `Step ${step} of ${options.depth} hidden layers, batches of ${options.m}, rate ${options.rate}: the loss of the last ` +
      `ten steps is ${short(without)} without batch norm and ${short(within)} with it.`
    );
  }

  /** The mean loss of the last ten steps. */
  lately(losses, step) {
    const last = losses.slice(Math.max(0, step - 9), step + 1);
    return last.reduce((sum, loss) => sum + loss, 0) / last.length;
  }

  /** Train on to the last step while nothing else is to be done, a few milliseconds at a time, once somebody is here. */
  runAhead() {
    const touched = this.controls.some((control) => this.state[control.name] !== control.start);
    if (!touched || this.ahead || this.run.steps > this.values.steps) return;
    this.ahead = setTimeout(() => {
      this.ahead = null;
      const began = performance.now();
      while (this.run.steps <= this.values.steps && performance.now() - began < 6) this.run.advance();
      this.runAhead();
    }, 16);
  }

  drawLosses(step) {
    const { x, y } = this.upper;
    this.run.losses.forEach((losses, i) => {
      const shown = losses.slice(0, step + 1).filter(Number.isFinite);
      const height = (loss) => y(Math.log10(clamp(loss, 1e-5, 11)));
      const xs = shown.map((_, k) => x(k));
      const means = shown.map((_, k) => this.lately(shown, k));
      set(this.raw[i], { d: line(xs, shown.map(height)) });
      set(this.courses[i], { d: line(xs, means.map(height)) });
    });
    set(this.guide, { x1: x(step), x2: x(step) });
  }

  drawLayers(densities, step, depth) {
    let rails = "";
    const row = Train.height / depth;
    const base = (layer) => this.top + (depth - layer) * row - 2; // the last layer on top
    this.labels.forEach((label, l) => {
      write(label, l < depth ? `${l + 1}` : "");
      set(label, { y: base(l) });
    });
    this.columns.forEach(({ left, width }, column) => {
      const layers = densities[column > 1 ? 1 : 0][step];
      let hills = "";
      for (let layer = 0; layer < depth; layer++) {
        const foot = base(layer);
        rails += `M${left.toFixed(1)} ${foot}h${width.toFixed(1)}`;
        const heights = layers[layer + (column % 2) * depth];
        const every = width / (heights.length - 1);
        hills += `M${left.toFixed(1)} ${foot}`;
        heights.forEach((share, k) => (hills += `L${(left + k * every).toFixed(1)} ${(foot - share * (row - 5)).toFixed(1)}`));
        hills += `L${(left + width).toFixed(1)} ${foot}z`;
      }
      set(this.hills[column], { d: hills });
    });
    set(this.rails, { d: rails });
  }
}

customElements.define("sn-train", Train);
