// The tool bar above line charts: axes, smoothing, zoom, and a link to the view.

import { choice, copy, el, toggle } from "../page/dom.js";
import { inNextFrame } from "../page/frames.js";
import { MOST } from "./smooth.js";
import { away, closer, everyGroup, left, right } from "./zoom.js";

// `steps` is the name of the charts' steps and `times` whether they have times; `update` changes both. `clock`: whether
// the charts have a clock in common; `problems` of times.js disable an axis, and say why. `before` and `after` are
// further controls; `link`: whether to add the link button.
// Returns {element, update}.
export function chartTools(
  view,
  permalink,
  { steps = "Step", times = true, clock = true, before = [], after = [], link = true } = {},
) {
  const x = choice(
    "Horizontal axis",
    [["step", steps], ...(clock ? [["time", "Clock"]] : []), ["relative", "Elapsed"]],
    view.x,
    (value) => view.set({ x: value }),
  );
  const why = el("span", { class: "muted", role: "status", hidden: true });
  const yLog = toggle("Log y", view.log, (log) => view.set({ log }), "Logarithmic vertical axes");
  const xLog = toggle("Log x", view.xLog, (on) => view.set({ xLog: on }), "Logarithmic horizontal axes: log(1 + x)");
  const smoothing = smoothingControls(view);
  const zoom = zoomButtons(view);
  const element = el(
    "div",
    { class: "tools chart-tools" },
    before,
    x,
    why,
    xLog,
    yLog,
    smoothing.element,
    zoom.element,
    after,
    link ? linkButton(permalink) : [],
  );

  // The view may change elsewhere.
  const show = () => {
    x.press(view.x);
    for (const [button, on] of [
      [yLog, view.log],
      [xLog, view.xLog],
    ])
      button.setAttribute("aria-pressed", String(on));
    xLog.disabled = view.x === "time";
    smoothing.show();
    zoom.show();
  };
  const tell = (problems) => {
    const buttons = [...x.children].filter(({ value }) => value !== "step");
    for (const button of buttons) {
      button.disabled = Boolean(problems[button.value]);
      button.title = problems[button.value] ? `The times can't be used: ${problems[button.value]}.` : "";
    }
    const [wrong] = buttons.filter(({ disabled }) => disabled);
    const only = buttons.every(({ disabled }) => disabled) ? "" : ` for ${wrong?.textContent}`;
    why.hidden = x.hidden || !wrong;
    why.textContent = why.hidden ? "" : `Times can't be used${only}: ${problems[wrong.value]}.`;
  };
  const update = (given) => {
    x.firstChild.textContent = given.steps ?? x.firstChild.textContent;
    x.hidden = !(given.times ?? !x.hidden);
    if (given.problems) tell(given.problems);
  };
  update({ times });
  show();
  addEventListener("viewchange", show);
  return { element, update };
}

export function linkButton(permalink) {
  const button = el(
    "button",
    { type: "button", class: "button copy-link", onclick: () => copyLink(button, permalink) },
    "Copy link",
  );
  return button;
}

export const helpButton = (show) =>
  el(
    "button",
    {
      type: "button",
      class: "quiet help-button",
      "aria-label": "Keyboard shortcuts",
      title: "Keyboard shortcuts (?)",
      onclick: show,
    },
    "?",
  );

export const copyLink = (button, permalink) =>
  copy(button, new URL(permalink.address, location).href, "copy it from the address bar");

function smoothingControls(view) {
  const amount = el("output", { class: "tabular", for: "smoothing" });
  const slider = el("input", { type: "range", id: "smoothing", min: "0", max: String(MOST), step: "0.01" });
  const smooth = inNextFrame(() => view.set({ smooth: { ...view.smooth, amount: Number(slider.value) } }));
  slider.addEventListener("input", () => {
    amount.textContent = slider.value;
    smooth();
  });
  const kind = choice(
    "Kind of smoothing",
    [
      ["ema", "EMA"],
      ["gaussian", "Gaussian"],
    ],
    view.smooth.kind,
    (value) => view.set({ smooth: { ...view.smooth, kind: value } }),
  );
  const element = el(
    "div",
    { class: "smoothing" },
    el("label", { for: "smoothing" }, "Smoothing"),
    slider,
    amount,
    kind,
  );
  const show = () => {
    slider.value = String(view.smooth.amount);
    amount.textContent = view.smooth.amount ? String(view.smooth.amount) : "off";
    kind.press(view.smooth.kind);
    kind.hidden = !view.smooth.amount;
  };
  return { element, show };
}

function zoomButtons(view) {
  const button = (text, name, act) =>
    el("button", { type: "button", "aria-label": name, title: name, onclick: () => everyGroup(view, act) }, text);
  const buttons = [
    button("−", "Zoom out", away),
    button("+", "Zoom in", closer),
    button("←", "Pan left", left),
    button("→", "Pan right", right),
  ];
  const reset = el("button", { type: "button", onclick: () => view.unzoom() }, "Reset zoom");
  const element = el(
    "div",
    {
      class: "choice zoom",
      role: "group",
      "aria-label": "Zoom",
      title: "Drag over a chart to zoom, Shift-drag to pan, double-click to show everything",
    },
    buttons,
    reset,
  );
  const show = () => {
    // A zoom of steps does not apply to the clock. Before there are charts, any zoom may apply.
    const whole = view.charts.size ? ![...view.charts].some((chart) => view.zooms.has(chart.group)) : !view.zooms.size;
    for (const one of [buttons[0], buttons[2], buttons[3], reset]) one.disabled = whole;
  };
  return { element, show };
}
