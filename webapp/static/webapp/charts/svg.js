// A canvas context that draws SVG, so that the code that paints a chart on the screen makes its file too. It has the
// members that the painters use.

const ANCHORS = { left: "start", center: "middle", right: "end" };
const DROPS = { top: 0.8, middle: 0.35, alphabetic: 0 }; // em, from the given baseline to the alphabetic one
const SCRATCH = document.createElement("canvas").getContext("2d");

export class SvgContext {
  fillStyle = "#000";
  strokeStyle = "#000";
  globalAlpha = 1;
  lineWidth = 1;
  font = "10px sans-serif";
  textAlign = "left";
  textBaseline = "alphabetic";
  #dash = [];
  #path = "";
  #body = [];
  #stack = [];
  #groups = 0; // open ones since the last `save`
  #clips = 0;

  constructor(width, height, title) {
    Object.assign(this, { width, height, title });
  }

  text() {
    const [width, height] = [round(this.width), round(this.height)];
    return [
      `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}">`,
      `<title>${escaped(this.title)}</title>`,
      ...this.#body,
      "</svg>",
    ].join("");
  }

  save() {
    const { fillStyle, strokeStyle, globalAlpha, lineWidth, font, textAlign, textBaseline } = this;
    this.#stack.push([
      { fillStyle, strokeStyle, globalAlpha, lineWidth, font, textAlign, textBaseline },
      this.#dash,
      this.#groups,
    ]);
    this.#groups = 0;
  }

  restore() {
    this.#body.push("</g>".repeat(this.#groups));
    const [state, dash, groups] = this.#stack.pop();
    Object.assign(this, state);
    [this.#dash, this.#groups] = [dash, groups];
  }

  translate(x, y) {
    this.#open(`transform="translate(${round(x)} ${round(y)})"`);
  }

  scale(x, y) {
    this.#open(`transform="scale(${x} ${y})"`);
  }

  clip() {
    this.#clips += 1;
    const id = `clip-${this.#clips}`;
    this.#body.push(`<clipPath id="${id}"><path d="${this.#path}"/></clipPath>`);
    this.#open(`clip-path="url(#${id})"`);
  }

  setLineDash(dash) {
    this.#dash = dash;
  }

  beginPath() {
    this.#path = "";
  }

  moveTo(x, y) {
    this.#path += `M${round(x)} ${round(y)}`;
  }

  lineTo(x, y) {
    this.#path += `L${round(x)} ${round(y)}`;
  }

  closePath() {
    this.#path += "Z";
  }

  rect(x, y, width, height) {
    this.#path += `M${round(x)} ${round(y)}h${round(width)}v${round(height)}h${round(-width)}Z`;
  }

  // Whole circles only.
  arc(x, y, radius) {
    const half = (width) => `a${round(radius)} ${round(radius)} 0 1 0 ${round(width)} 0`;
    this.#path += `M${round(x - radius)} ${round(y)}${half(2 * radius)}${half(-2 * radius)}`;
  }

  fill() {
    this.#body.push(`<path d="${this.#path}" fill="${this.fillStyle}"${this.#opacity()}/>`);
  }

  stroke() {
    const dash = this.#dash.length ? ` stroke-dasharray="${this.#dash.map(round).join(" ")}"` : "";
    const line = `stroke="${this.strokeStyle}" stroke-width="${round(this.lineWidth)}" stroke-linejoin="round"${dash}`;
    this.#body.push(`<path d="${this.#path}" fill="none" ${line}${this.#opacity()}/>`);
  }

  fillRect(x, y, width, height) {
    if (!(width > 0 && height > 0)) return;
    const size = `x="${round(x)}" y="${round(y)}" width="${round(width)}" height="${round(height)}"`;
    this.#body.push(`<rect ${size} fill="${this.fillStyle}"${this.#opacity()}/>`);
  }

  fillText(text, x, y) {
    const [, weight, size, family] = /^(?:(\d+) )?([\d.]+)px (.*)$/.exec(this.font);
    const drop = DROPS[this.textBaseline] * size;
    const place = `x="${round(x)}" y="${round(y + drop)}" text-anchor="${ANCHORS[this.textAlign]}"`;
    const font = `font-family="${escaped(family)}" font-size="${size}" font-weight="${weight ?? 400}"`;
    this.#body.push(`<text ${place} ${font} fill="${this.fillStyle}"${this.#opacity()}>${escaped(text)}</text>`);
  }

  measureText(text) {
    SCRATCH.font = this.font;
    return SCRATCH.measureText(text);
  }

  #open(attribute) {
    this.#groups += 1;
    this.#body.push(`<g ${attribute}>`);
  }

  #opacity() {
    return this.globalAlpha === 1 ? "" : ` opacity="${this.globalAlpha}"`;
  }
}

const round = (value) => Number(value.toFixed(2));
const escaped = (text) =>
  text.replace(/[&<>"]/g, (sign) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" })[sign]);
