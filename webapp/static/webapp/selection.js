// Which runs are chosen, over all pages of the list, until the tab is closed.

const KEY = "warmboard.chosen";
const LEAST = 2;
const MOST = 50;

export class Selection {
  #chosen = new Set(JSON.parse(sessionStorage.getItem(KEY) ?? "[]"));

  // `form` holds the check boxes, `bar` what can be done with the chosen runs.
  constructor(form, bar) {
    this.form = form;
    this.bar = bar;
    form.addEventListener("change", ({ target }) => target.name === "run" && this.set(target.value, target.checked));
    form.addEventListener("submit", (event) => this.#submit(event));
    bar.querySelector("#forget").addEventListener("click", () => this.#keep([]));
    bar.querySelector("#forget").hidden = false;
    addEventListener("pageshow", () => this.show()); // a browser that goes back shows its own idea of the boxes
    this.show();
  }

  set(runId, chosen) {
    if (chosen) this.#chosen.add(runId);
    else this.#chosen.delete(runId);
    this.#keep(this.#chosen);
  }

  // The boxes and the bar say what is chosen.
  show() {
    for (const box of this.#boxes) box.checked = this.#chosen.has(box.value);
    const count = this.#chosen.size;
    this.bar.classList.toggle("any", count > 0);
    this.bar.querySelector("#chosen-count").textContent = count ? `${count} chosen` : "";
    const compare = this.bar.querySelector("#compare");
    compare.textContent = `Compare (${count})`;
    compare.disabled = count < LEAST || count > MOST;
    compare.title = compare.disabled ? `Choose ${LEAST} to ${MOST} runs to compare` : "";
  }

  get #boxes() {
    return this.form.querySelectorAll('input[name="run"][type="checkbox"]');
  }

  #keep(runIds) {
    this.#chosen = new Set(runIds);
    sessionStorage.setItem(KEY, JSON.stringify([...this.#chosen]));
    this.show();
  }

  // The form sends the runs of other pages too.
  #submit(event) {
    if (event.submitter === this.bar.querySelector("#compare")) {
      event.preventDefault();
      location.assign(`/compare/?runs=${[...this.#chosen].map(encodeURIComponent).join(",")}`);
      return;
    }
    const here = new Set([...this.#boxes].map((box) => box.value));
    for (const runId of this.#chosen) {
      if (here.has(runId)) continue;
      const input = Object.assign(document.createElement("input"), { type: "hidden", name: "run", value: runId });
      this.form.append(input);
    }
  }
}
