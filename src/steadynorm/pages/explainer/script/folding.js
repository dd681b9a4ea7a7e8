/** Eq 6: the affine map of a batch norm goes over into a convolution, bit by bit; the output tells whether it may. */
class Folding extends Figure {
  static readouts = [
    ["scale", "batch norm: scale left"],
    ["shift", "shift left"],
    ["bias", "convolution: bias"],
    ["difference", "largest change of the output"],
    ["wrong", "pixels that changed"],
  ];

  words(control, value) {
    return control.name === "melt" ? `${fixed(100 * value, 0)} %` : super.words(control, value);
  }

  layout(width) {
    const beside = width >= 700;
    const cell = beside ? 20 : 18;
    const side = 8 * cell;
    const box = { width: 128, height: 166 };
    const [first, last] = [4, width - side - 4];
    const top = 44;
    const between = (last - (first + side) - 2 * box.width) / 3;
    const left = beside ? first + side + between : width / 2 - box.width - 14;
    const height = beside ? top - 3 : top + side + 40;
    this.slots = [left, beside ? left + box.width + between : width / 2 + 14];
    this.box = { ...box, top: height };
    this.cell = cell;
    const middle = [this.slots[0] + 64, this.slots[1] + 64];
    const over = `M${first + side} ${top + side / 2}H${last}`;
    const round = `M${middle[0]} ${top + side}V${height + 83}H${middle[1]}V${top + side}`;
    draw("path", { class: "wire", d: beside ? over : round }, this.svg);
    this.input = this.frame(first, top, cell, "input u");
    this.output = this.frame(last, top, cell, "output");
    this.norm = this.buildNorm(); // below the convolution, which swallows it
    this.convolution = this.buildConvolution();
    set(this.input.filled, { d: squares(this.values.image, (value) => value, cell, first, top, 8, 1) });
    return height + box.height + (beside ? 40 : 20);
  }

  /** A map of 8×8 pixels: its name, its frame, and a path for each kind of mark. */
  frame(left, top, cell, name) {
    const group = draw("g", {}, this.svg);
    const title = draw("text", { class: "title", x: left, y: top - 12 }, group, name);
    draw("rect", { class: "plate", x: left, y: top, width: 8 * cell, height: 8 * cell }, group);
    const path = (kind) => draw("path", { class: kind }, group);
    return { left, top, title, filled: path("filled"), hollow: path("hollow"), wrong: path("wrong") };
  }

  buildConvolution() {
    const { width, height, top } = this.box;
    const group = draw("g", {}, this.svg);
    draw("rect", { class: "box", y: top, width, height, rx: 8 }, group);
    const title = draw("text", { class: "title", x: 16, y: top + 21 }, group);
    draw("rect", { class: "plate", x: 16, y: top + 32, width: 96, height: 96 }, group);
    const path = (kind) => draw("path", { class: kind }, group);
    const bias = draw("text", { class: "note", x: 16, y: top + height - 15 }, group);
    return { group, title, filled: path("filled"), hollow: path("hollow"), bias };
  }

  buildNorm() {
    const { width, height, top } = this.box;
    const group = draw("g", { class: "movable" }, this.svg);
    draw("rect", { class: "box held", y: top, width, height, rx: 8 }, group);
    draw("text", { class: "title", x: 16, y: top + 21 }, group, "batch norm");
    draw("rect", { class: "plate", x: 16, y: top + 32, width: 96, height: 96 }, group);
    const centre = { x: 64, y: top + 80 };
    draw("path", { class: "rail", d: `M16 ${centre.y}h96M${centre.x} ${top + 32}v96M16 ${top + 128}l96 -96` }, group);
    const map = draw("path", { class: "map" }, group);
    const words = draw("text", { class: "note", x: 16, y: top + height - 15 }, group);
    const hint = draw("path", { class: "chevrons dark" }, group);
    return { group, map, words, hint, centre };
  }

  /** Whether batch norm's slot is the right one; it is drawn to the other. */
  get behind() {
    return this.state.side === 0;
  }

  get distance() {
    return this.slots[1] - this.slots[0];
  }

  grasp({ x }) {
    const { melt } = this.state;
    const towards = this.behind ? -1 : 1;
    return (point) => this.change({ melt: melt + (towards * (point.x - x)) / this.distance });
  }

  /** The two maps into which batch norm is split, and both outputs: as it was, and melted. */
  compute({ side, padding, melt, beta }) {
    const { image, kernel, maps } = this.values;
    const [s, rest] = maps[side][padding];
    const t = rest + beta;
    const whole = { s, t };
    const moved = { s: s ** melt };
    const left = { s: s ** (1 - melt) };
    if (side === 0) {
      moved.t = melt * t;
      left.t = t - left.s * moved.t;
    } else {
      left.t = (1 - melt) * t;
      moved.t = t - moved.s * left.t;
    }
    const weight = kernel.map((w) => w * moved.s);
    const bias = side === 0 ? moved.t : moved.t * kernel.reduce((a, b) => a + b);
    const apply = (values, map) => values.map((value) => map.s * value + map.t);
    const through = (w, b, map) =>
      side === 0 ? apply(convolve(image, w, b, !padding), map) : convolve(apply(image, map), w, b, !padding);
    return { left, weight, bias, truth: through(kernel, 0, whole), y: through(weight, bias, left) };
  }

  update() {
    const now = (this.now = this.compute(this.state));
    const { left, weight, bias, truth, y } = now;
    const gaps = y.map((value, i) => Math.abs(value - truth[i]));
    const gap = Math.max(...gaps);
    const wrong = gaps.map((_, i) => i).filter((i) => gaps[i] > 1e-9);
    this.place();
    this.drawBoxes(left, weight, bias);
    this.drawOutput(y, truth, wrong);
    this.tell("scale", left.s, fixed(left.s, 2));
    this.tell("shift", left.t, fixed(left.t, 2));
    this.tell("bias", bias, fixed(bias, 2));
    this.tell("difference", gap, gap < 1e-9 ? short(gap) : fixed(gap, 2));
    this.tell("wrong", wrong.length, `${wrong.length} of ${y.length}`);
    write(this.output.title, wrong.length ? `output: ${wrong.length} wrong` : "output: unchanged");
    this.classList.toggle("spoilt", wrong.length > 0);
    const { side, padding, melt, beta } = this.state;
    const where = `Batch norm ${this.behind ? "behind the" : "before a"} convolution padded with ${padding ? "nothing" : "zeros"}`;
    return (
      `${where}, shift β ${fixed(beta, 2)}, ${fixed(100 * melt, 0)} % melted in: the output ` +
      (wrong.length ? `is wrong in ${wrong.length} of ${y.length} pixels, by up to ${fixed(gap, 2)}.` : "has not changed.")
    );
  }

  place() {
    const { melt } = this.state;
    const [one, other] = this.slots;
    const fixedAt = this.behind ? one : other;
    const moving = this.behind ? other - melt * this.distance : one + melt * this.distance;
    this.convolution.group.setAttribute("transform", `translate(${fixedAt} 0)`);
    this.norm.group.setAttribute("transform", `translate(${moving.toFixed(2)} 0)`);
    write(this.convolution.title, melt === 1 ? "both in one" : "convolution");
    const { width, top, height } = this.box;
    const [at, y, way] = [this.behind ? -6 : width + 6, top + height / 2 - 14, this.behind ? -1 : 1];
    set(this.norm.hint, { d: melt < 0.9 ? `M${at} ${y - 6}l${way * 6} 6l${-way * 6} 6` : "" });
  }

  drawBoxes(left, weight, bias) {
    const { top } = this.box;
    const most = 2 * Math.max(1, this.values.maps[this.state.side][this.state.padding][0]);
    const kernel = (pick) => squares(weight, pick, 32, 16, top + 32, 3, most);
    set(this.convolution.filled, { d: kernel((w) => w) });
    set(this.convolution.hollow, { d: kernel((w) => -w) });
    write(this.convolution.bias, `bias ${fixed(bias, 2)}`);
    const { centre, map, words } = this.norm;
    // The map over inputs from −3 to 3, within a plate that stands for −3 to 3 as well.
    const ends = [-3, 3].map((v) => [v, left.s * v + left.t]);
    const inside = clip(ends, 3).map(([v, w]) => `${(centre.x + 16 * v).toFixed(2)} ${(centre.y - 16 * w).toFixed(2)}`);
    set(map, { d: `M${inside.join("L")}` });
    const identity = left.s === 1 && Math.abs(left.t) < 1e-12;
    const sign = left.t < 0 ? MINUS : "+";
    write(words, identity ? "nothing is left" : `${fixed(left.s, 2)} v ${sign} ${fixed(Math.abs(left.t), 2)}`);
  }

  drawOutput(y, truth, wrong) {
    const size = Math.sqrt(y.length);
    const margin = ((8 - size) / 2) * this.cell;
    const { left, top, filled, hollow, wrong: frames } = this.output;
    const most = Math.max(...truth.map(Math.abs), ...y.map(Math.abs));
    const map = (values, pick) => squares(values, pick, this.cell, left + margin, top + margin, size, most);
    set(filled, { d: map(y, (value) => value) });
    set(hollow, { d: map(y, (value) => -value) });
    const c = this.cell;
    const corner = (i) => `M${left + margin + (i % size) * c + 1} ${top + margin + Math.floor(i / size) * c + 1}`;
    set(frames, { d: wrong.map((i) => `${corner(i)}h${c - 2}v${c - 2}h${2 - c}z`).join("") });
  }
}

/** Squares in a grid, of an area as large as what `pick` takes from each value; nothing where that is not above 0. */
function squares(values, pick, cell, left, top, columns, most) {
  let path = "";
  for (let i = 0; i < values.length; i++) {
    const share = pick(values[i]) / most;
    if (share <= 1e-12) continue;
    const side = (cell - 3) * Math.sqrt(Math.min(1, share));
    const x = left + ((i % columns) + 0.5) * cell - side / 2;
    const y = top + (Math.floor(i / columns) + 0.5) * cell - side / 2;
    path += `M${x.toFixed(2)} ${y.toFixed(2)}h${side.toFixed(2)}v${side.toFixed(2)}h${(-side).toFixed(2)}z`;
  }
  return path;
}

/** A line between two points, as much of it as lies between −end and end in height. */
function clip([[a, b], [c, d]], end) {
  const at = (w) => (d === b ? a : a + ((w - b) / (d - b)) * (c - a));
  const within = (v, w) => (Math.abs(w) <= end ? [v, w] : [at(Math.sign(w) * end), Math.sign(w) * end]);
  return [within(a, b), within(c, d)];
}

/** A 3×3 kernel over an 8×8 image, as torch's conv2d: no flip, zeros around the image if it is padded. */
function convolve(image, kernel, bias, padded) {
  const size = padded ? 8 : 6;
  return Array.from({ length: size * size }, (_, k) => {
    let sum = bias;
    for (let i = 0; i < 9; i++) {
      const row = Math.floor(k / size) + Math.floor(i / 3) - padded;
      const column = (k % size) + (i % 3) - padded;
      if (row >= 0 && row < 8 && column >= 0 && column < 8) sum += kernel[i] * image[8 * row + column];
    }
    return sum;
  });
}

customElements.define("sn-folding", Folding);
