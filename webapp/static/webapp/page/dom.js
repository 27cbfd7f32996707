// Small helpers to build elements. Text always goes in as text, never as markup.

export function el(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  for (const child of children) {
    if (Array.isArray(child)) element.append(...child.filter(isSomething));
    else if (isSomething(child)) element.append(child);
  }
  return element;
}

const isSomething = (child) => child !== null && child !== undefined && child !== false && child !== "";

// As `el`, an element of SVG; a child may be a list.
export function svg(tag, attributes = {}, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes))
    if (value !== null && value !== undefined) element.setAttribute(name, value);
  element.append(...children.flat().filter(isSomething));
  return element;
}

// A small decorative picture of the given paths, in a square of 16.
export function icon(...paths) {
  const size = { viewBox: "0 0 16 16", width: 16, height: 16, "aria-hidden": "true" };
  return svg(
    "svg",
    size,
    paths.map((d) => svg("path", { d })),
  );
}

export function section(id, title, ...content) {
  return el("section", { id, "aria-labelledby": `${id}-title` }, el("h2", { id: `${id}-title` }, title), ...content);
}

// A table. `rows` are arrays of texts, the first of each the row's heading.
export function table(caption, head, rows, className = "data") {
  const body = el("tbody");
  for (const [name, ...cells] of rows) {
    body.append(
      el(
        "tr",
        {},
        el("th", { scope: "row" }, name),
        cells.map((cell) => el("td", {}, cell)),
      ),
    );
  }
  const titles = el(
    "tr",
    {},
    head.map((title) => el("th", { scope: "col" }, title)),
  );
  return el("table", { class: className }, el("caption", { class: "sr" }, caption), el("thead", {}, titles), body);
}

// Buttons, one of them pressed. `options` is [[value, label], …]. `press(value)` of the result presses another one.
export function choice(label, options, value, onChange) {
  const group = el("div", { class: "choice", role: "group", "aria-label": label });
  const press = (chosen) => {
    for (const button of group.children) button.setAttribute("aria-pressed", String(button.value === chosen));
  };
  for (const [option, text] of options) {
    group.append(
      el(
        "button",
        {
          type: "button",
          value: option,
          onclick: () => {
            press(option);
            onChange(option);
          },
        },
        text,
      ),
    );
  }
  press(value);
  group.press = press;
  return group;
}

// A button that is on or off; `onChange` gets which.
export function toggle(text, on, onChange, title = null) {
  const button = el("button", { type: "button", class: "button toggle", "aria-pressed": String(on), title }, text);
  button.addEventListener("click", () => onChange(button.getAttribute("aria-pressed") !== "true"));
  return button;
}

// `what` is the name of a text that is too long to read out.
export function copyButton(text, what = text) {
  const button = el("button", { type: "button", class: "quiet copy", "aria-label": `Copy ${what}` }, "copy");
  button.addEventListener("click", () => copy(button, text, "select and copy"));
  return button;
}

// Copies the text to the clipboard. For 2 s the button says "copied", or `otherwise` where the browser refuses, as it
// does on addresses that are not secure.
export async function copy(button, text, otherwise) {
  button.dataset.text ??= button.textContent;
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = "copied";
  } catch {
    button.textContent = otherwise;
  }
  setTimeout(() => {
    button.textContent = button.dataset.text;
  }, 2000);
}
